"""The events that workers report to the search, and the methods that it calls on them. No ray, no optuna."""

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
    """A trial failed by its own fault and is not retried. `search.workers.faults` lists the kinds."""

    number: int
    kind: str
    message: str
    log: str = ""
    """The last lines of its log."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A trial's worker died: the trial is to go on with another worker, from its checkpoint if that one can read it."""

    number: int
    reason: str
    began: bool = True
    """False when the worker had died before the trial reached it."""


@dataclass(frozen=True, slots=True)
class EndedEarly:
    """A trial for which `stop` was called has ended, between two epochs."""

    number: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A line to print: a worker or a node came or went."""

    text: str


Event = EpochDone | Finished | Failed | WorkerLost | EndedEarly | Notice


class Workers(Protocol):
    """Where trials run: see `search.workers.crew` (Ray) and `search.workers.inline` (this process).

    After `stop`, a trial ends between two epochs: its slot is not free before, and its last event is EndedEarly, or
    Finished, Failed or WorkerLost where it had come to its end already. Reports may still come until then. `need` says
    how many slots the search could use at present.
    """

    @property
    def slots(self) -> int: ...
    def free(self) -> int: ...
    def submit(self, number: int, recipe: Recipe) -> None: ...
    def stop(self, number: int) -> None: ...
    def wait(self, seconds: float) -> list[Event]: ...
    def forget(self, number: int, recipe: Recipe) -> None: ...
    def need(self, slots: int) -> None: ...


class Stopped(RuntimeError):
    """The search stopped before its end; the message says why, and what to do.

    `repeats`: it says only why, and the same command would end in the same way.
    """

    def __init__(self, message: str, *, repeats: bool = False):
        super().__init__(message)
        self.repeats = repeats
