"""What workers tell the search of its trials, and what the search asks of them. No ray, no optuna."""

from dataclasses import dataclass
from typing import Protocol

from fitnets.config import Recipe, Report, Result


@dataclass(frozen=True, slots=True)
class EpochDone:
    """A running trial finished an epoch."""

    number: int
    report: Report


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial finished."""

    number: int
    result: Result


@dataclass(frozen=True, slots=True)
class Failed:
    """A trial's own fault: it is not tried again. `search.workers.faults` has the kinds."""

    number: int
    kind: str
    message: str
    log: str = ""
    """The last lines of its log."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A trial's worker died: it goes on elsewhere, from its checkpoint where that can be read there."""

    number: int
    reason: str
    began: bool = True
    """False when the worker was dead before the trial came to it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A worker or a node came or went."""

    text: str


Event = EpochDone | Finished | Failed | WorkerLost | Notice


class Workers(Protocol):
    """Where trials run: see `search.workers.crew` (Ray) and `search.workers.inline` (this process)."""

    @property
    def slots(self) -> int: ...
    def free(self) -> int: ...
    def submit(self, number: int, recipe: Recipe) -> None: ...
    def wait(self, seconds: float) -> list[Event]: ...
    def forget(self, number: int, recipe: Recipe) -> None: ...


class Stopped(RuntimeError):
    """The search stopped before its end; the message says why, and what to change."""
