"""A search's command, to be killed: its processes are found, one of them is killed, it is started again."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from fitnets.errors import InputError
from search.read.candidates import Candidate
from search.read.reader import read
from search.storage.address import storage_url
from search.study import Study
from search.workers.logs import logs_folder


class Command:
    """`python -m search.run` in a folder of its own, to be started again and again."""

    def __init__(self, folder: Path, study: Study, workers: int, data: Path):
        self.folder, self.study = folder, study
        self.runs, self.logs = folder / "runs", logs_folder(folder / "runs", study.name)
        folder.mkdir()
        file = folder / "study.py"
        text = study.model_dump_json()
        file.write_text(f"from search.study import Study\nSTUDY = Study.model_validate_json({text!r})\n")
        options = ["--workers", str(workers), "--runs", str(self.runs), "--data", str(data.resolve())]
        self.words = [sys.executable, "-m", "search.run", str(file), *options]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it says goes to a file."""
        with (self.folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(self.words, cwd=self.folder, stdout=output, stderr=output)

    def ended(self) -> bool:
        """Whether it has come to an end."""
        assert self.process is not None
        return self.process.poll() is not None

    def processes(self) -> dict[int, bytes]:
        """All processes that came of it, Ray's too, by the folder that they are in, with their command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it is gone, or not ours
        return {pid: words for pid, words in found.items() if words}

    def strike(self, kind: str, rng: random.Random) -> bool:
        """Kill a process of that kind; False where there is none."""
        assert self.process is not None
        if kind == "driver":
            pids = [self.process.pid]
        elif kind == "worker":
            pids = [pid for pid, words in self.processes().items() if words.startswith(b"ray::Actor")]
        else:
            pids = [pid for pid, words in self.processes().items() if words.split(b"\0")[0].endswith(b"/raylet")]
        if self.ended() or not pids:
            return False
        os.kill(rng.choice(sorted(pids)), signal.SIGKILL)
        if kind == "driver":
            self.process.wait()
        return True

    def left(self, seconds: float = 90.0) -> int:
        """How many processes are still there so long after its end: Ray's agents look for their node once a minute."""
        until = time.monotonic() + seconds
        while (number := len(self.processes())) and time.monotonic() < until:
            time.sleep(0.2)
        return number

    def end(self) -> None:
        """Leave no process."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def written(self) -> int:
        """Bytes of the trials' logs: they grow with every epoch."""
        return sum(path.stat().st_size for path in self.logs.glob("*.log"))

    def candidates(self) -> list[Candidate]:
        """The study's trials; none before it is stored."""
        try:
            return list(read(storage_url(self.runs, None), self.study.name).candidates)
        except InputError:
            return []

    def said(self) -> str:
        """The end of what it said."""
        return (self.folder / "output.txt").read_text(errors="replace")[-2000:]
