"""A search's command that can be killed: finds its processes, kills one of them, and starts it again."""

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
from search.workers.logs import logs_folder, trained_epochs


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
        self.arguments = [sys.executable, "-m", "search.run", str(file), *options]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with its output appended to a file."""
        with (self.folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(self.arguments, cwd=self.folder, stdout=output, stderr=output)

    def ended(self) -> bool:
        """Whether it has ended."""
        assert self.process is not None
        return self.process.poll() is not None

    def processes(self) -> dict[int, bytes]:
        """The command lines of all its processes, Ray's included, which are found by their working folder."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended, or belongs to another user
        return {pid: line for pid, line in found.items() if line}

    def kill(self, kind: str, rng: random.Random) -> bool:
        """Kill a process of that kind; False if there is none."""
        assert self.process is not None
        if kind == "driver":
            pids = [self.process.pid]
        elif kind == "worker":
            pids = [pid for pid, line in self.processes().items() if line.startswith(b"ray::Actor")]
        else:
            pids = [pid for pid, line in self.processes().items() if line.split(b"\0")[0].endswith(b"/raylet")]
        if self.ended() or not pids:
            return False
        os.kill(rng.choice(sorted(pids)), signal.SIGKILL)
        if kind == "driver":
            self.process.wait()
        return True

    def left(self, seconds: float = 90.0) -> int:
        """How many processes remain `seconds` after its end: Ray's agents look for their node once a minute."""
        until = time.monotonic() + seconds
        while (number := len(self.processes())) and time.monotonic() < until:
            time.sleep(0.2)
        return number

    def end(self) -> None:
        """Kill all its processes."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def written(self) -> int:
        """The size of the trials' logs in bytes, which grows with every epoch."""
        return sum(path.stat().st_size for path in self.logs.glob("*.log"))

    def epochs(self) -> int:
        """How many different epochs the trials' logs hold."""
        return sum(len(set(trained_epochs(path))) for path in self.logs.glob("*.log"))

    def candidates(self) -> list[Candidate]:
        """The study's trials; none before it is stored."""
        try:
            return list(read(storage_url(self.runs, None), self.study.name).candidates)
        except InputError:
            return []

    def output_tail(self) -> str:
        """The end of its output."""
        return (self.folder / "output.txt").read_text(errors="replace")[-2000:]
