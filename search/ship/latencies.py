"""Measured latencies: a file of timings beside the studies, by student and device. Reads and appends; no torch.

`python -m search.latency STUDY` appends to it, and so does `python -m search.pick` with a limit on latency. A latency
depends on the device: the pages show those of one device, by default this machine's, and `search.pick` uses only those
of its own machine.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from search.read.candidates import Candidate, Snapshot, Timing
from search.ship.json_lines import append, locked, records
from search.workers.machine import cores, processor

LATENCIES = "latencies.jsonl"
Precision = Literal["float32", "int8"]
BUSY = 0.5  # load average per core above which other processes distort a timing


class Measured(Timing):
    """A timing, and the precision and the size of the file that was timed."""

    precision: Precision = "float32"
    file_bytes: int | None = None
    """The ONNX file's size; None in records of an older version."""

    def how(self) -> str:
        """For people: float32, 1 thread, 1 image a pass."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.precision}, {threads}, {self.batch} image{'' if self.batch == 1 else 's'} a pass"


def device() -> str:
    """The device on which latencies are measured here, as it is stored with them."""
    return f"{processor()} (CPU, onnxruntime {version('onnxruntime')})"


def load() -> tuple[float, bool]:
    """This machine's load average over a minute, and whether that is too high for timings."""
    average = os.getloadavg()[0]
    return average, average > BUSY * cores()


def add(runs: Path, study: str, candidate: Candidate, timing: Timing) -> None:
    """Store a student's timing."""
    assert candidate.outcome is not None
    about = {"study": study, "trial": candidate.trial, "weights_sha256": candidate.outcome.weights_sha256}
    path = runs / LATENCIES
    with locked(path):
        append(path, {**about, **timing.model_dump(mode="json")})


def stored(runs: Path, study: str, wanted: str | None = None) -> dict[str, Measured]:
    """The newest timing of each student by its weights' SHA-256, of the device that `chosen` takes.

    Of float32, one thread and one image alone: what the axis compares is alike.
    """
    on = chosen(comparable(runs, study), wanted)
    return {} if on is None else of_device(runs, study, on)


def comparable(runs: Path, study: str) -> list[str]:
    """The devices with timings for the axis: float32, one thread and one image. The one that timed last comes last."""
    last: dict[str, None] = {}
    for _, timing in _rows(runs, study):
        if (timing.precision, timing.threads, timing.batch) == ("float32", 1, 1):
            last.pop(timing.device, None)
            last[timing.device] = None
    return list(last)


def chosen(devices: Sequence[str], wanted: str | None = None) -> str | None:
    """The device whose timings are shown: the wanted one, else this machine, else the last; None of none."""
    return next((name for name in (wanted, device()) if name in devices), devices[-1] if devices else None)


def file_sizes(runs: Path, study: str) -> dict[str, int]:
    """The size of each student's float32 ONNX file, by its weights' SHA-256, where one was measured on any device."""
    return {
        weights: timing.file_bytes
        for weights, timing in _rows(runs, study)
        if timing.precision == "float32" and timing.file_bytes is not None
    }


def of_device(runs: Path, study: str, device: str, precision: Precision = "float32") -> dict[str, Measured]:
    """The newest timing of each student on this device, one thread and one image, by its weights' SHA-256."""
    return {
        weights: timing
        for weights, timing in _rows(runs, study)
        if timing.device == device and timing.precision == precision and timing.threads == timing.batch == 1
    }


def of_student(runs: Path, study: str, weights_sha256: str) -> list[Measured]:
    """A student's newest timings, one for each device, precision, number of threads and batch, in that order."""
    newest = {
        (timing.device, timing.precision, timing.threads, timing.batch): timing
        for weights, timing in _rows(runs, study)
        if weights == weights_sha256
    }
    return [newest[key] for key in sorted(newest)]


def devices(runs: Path, study: str) -> list[str]:
    """The devices on which students of a study were timed."""
    return sorted({timing.device for _, timing in _rows(runs, study)})


def _rows(runs: Path, study: str) -> Iterator[tuple[str, Measured]]:
    """The records that this version can read, the newest last."""
    for row in records(runs / LATENCIES, study):
        try:
            yield (
                str(row.get("weights_sha256")),
                Measured.model_validate({n: row[n] for n in Measured.model_fields if n in row}),
            )
        except ValidationError:
            continue


def stamp(runs: Path) -> int | None:
    """A number that changes whenever a timing is added; None where nothing was ever timed."""
    try:
        return (runs / LATENCIES).stat().st_mtime_ns
    except OSError:
        return None


def attached(snapshot: Snapshot, timings: Mapping[str, Timing], sizes: Mapping[str, int] | None = None) -> Snapshot:
    """The study with its students' timings, and with the sizes of their files."""
    sizes = sizes or {}
    if not timings and not sizes:
        return snapshot
    rows = [
        c
        if c.outcome is None
        else c.model_copy(
            update={"timing": timings.get(c.outcome.weights_sha256), "file_bytes": sizes.get(c.outcome.weights_sha256)}
        )
        for c in snapshot.candidates
    ]
    return snapshot.model_copy(update={"candidates": tuple(rows)})
