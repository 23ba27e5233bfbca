"""An exported student: its ONNX files, and what was measured of them. Needs torch."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from fitnets.export import Check, Deployed, Latency, OnnxModel
from fitnets.values.net import Shape
from search.read.candidates import Candidate
from search.ship.latencies import Measured, device


@dataclass(frozen=True)
class Runnable:
    """An ONNX file, opened, and its latency on this machine."""

    file: bytes
    model: OnnxModel
    latency: Latency

    @classmethod
    def of(cls, file: bytes, shape: Shape, threads: int = 1, batch: int = 1) -> "Runnable":
        """The file for images of this shape, timed now."""
        model = OnnxModel(file, threads)
        return cls(file, model, model.latency(shape, batch=batch))


@dataclass(frozen=True)
class Exported:
    """An exported student: its ONNX files."""

    candidate: Candidate
    weights: bytes
    retrained: bool
    deployed: Deployed
    float32: Runnable
    int8: Runnable | None

    @property
    def shipped(self) -> Runnable:
        """The file that was asked for."""
        return self.int8 or self.float32

    def measured(self, load: float) -> Measured:
        """Its latency and size as they are stored; `load` is the machine's load average before the timing."""
        latency = self.shipped.latency
        return Measured(
            p50_ms=latency.p50_ms,
            p90_ms=latency.p90_ms,
            threads=latency.threads,
            batch=latency.batch,
            device=device(),
            date=now(),
            load=load,
            precision="int8" if self.int8 else "float32",
            file_bytes=len(self.shipped.file),
        )

    @property
    def size_kb(self) -> float:
        """The size of the file that was asked for, in kB of 1,000 bytes."""
        return len(self.shipped.file) / 1000


class Accuracies(NamedTuple):
    """Of the exported files on the same images."""

    float32: Check
    int8: float | None

    @property
    def shipped(self) -> float:
        """Of the file that was asked for."""
        return self.float32.onnx_accuracy if self.int8 is None else self.int8

    @property
    def drop(self) -> float | None:
        """By how much the int8 file is less accurate; negative where it is more accurate, None without one."""
        return None if self.int8 is None else self.float32.onnx_accuracy - self.int8


class Tested(NamedTuple):
    """The one read of the test images."""

    accuracies: Accuracies
    students: int
    """How many students of the study have been tested so far."""
    teacher: float | None
    """The teacher's accuracy; None where it could not be opened."""


def now() -> str:
    """The time in UTC, as it is stored."""
    return datetime.now(UTC).isoformat(timespec="seconds")
