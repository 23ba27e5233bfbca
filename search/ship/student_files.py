"""A trained student's files: its stored weights, and its export. No torch: the export runs in a process of its own."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from fitnets import own_code
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.values.base import Value, sha256
from search import cli
from search.read.candidates import Candidate
from search.storage.address import shown, storage_url

PATIENCE = 1800.0  # seconds that an export may take


class File(Value):
    """One file to download."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The checksum, for the receiver to verify."""
        return sha256(self.content)


def weights(runs: Path, candidate: Candidate) -> File | None:
    """The student's safetensors file as the search stored it; None where it is missing or damaged."""
    if candidate.outcome is None:
        return None
    try:
        found = Store(runs / "store").get("student", candidate.outcome.weights_sha256)
    except ValueError:
        return None
    content = (found or {}).get("student.safetensors")
    return None if content is None else File(name="student.safetensors", content=content)


def command(study: str, trial: int, runs: Path, url: str, out: str, int8: bool = False) -> str:
    """The command that makes a student's files, and trains it again where its weights are missing."""
    argv = [*cli.command("export_one"), study, "--trial", str(trial), "--runs", str(runs), "--out", out]
    argv += ["--int8"] * int8
    argv += [] if url == storage_url(runs, None) else ["--storage", shown(url)]
    return shlex.join(argv)


def takes_too_long(candidate: Candidate) -> bool:
    """Whether training the student again would exceed `PATIENCE`, going by its first training."""
    return candidate.outcome is not None and candidate.outcome.seconds > PATIENCE


def exported(study: str, trial: int, runs: Path, url: str, train: bool = False, int8: bool = False) -> tuple[File, ...]:
    """The student's files, exported now. `train` allows a GPU, for a student that must be trained again.

    Raises InputError with the exporter's message when that fails.
    """
    with tempfile.TemporaryDirectory(prefix="fitnet-") as folder:
        as_here = [] if own_code.comes_first() else ["-P"]  # then modules of the current folder do not go first there
        argv = [sys.executable, *as_here, "-m", "search.export_one", study, "--trial", str(trial)]
        argv += ["--runs", str(runs), "--out", folder, *(["--int8"] * int8)]
        settings = {"FITNET_STORAGE": url} | ({} if train else {"CUDA_VISIBLE_DEVICES": ""})
        try:
            done = subprocess.run(
                argv, env=os.environ | settings, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired as error:
            by_hand = command(study, trial, runs, url, "DIR", int8)
            raise InputError(f"the export took longer than {PATIENCE:.0f} s: run it yourself, `{by_hand}`.") from error
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
            raise InputError(
                lines[-1].removeprefix("error: ") if lines else f"the export ended with {done.returncode}."
            )
        return tuple(File(name=path.name, content=path.read_bytes()) for path in sorted(Path(folder).iterdir()))
