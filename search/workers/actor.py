"""A slot's process: a Trainer, and for each trial its log, its limit of time, and what became of it. No ray, no torch.

A trial is a stream of None (it has begun), a Report for each epoch, and at last its Result or its Fault.
"""

import faulthandler
import gc
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitnets.config import Data, Recipe, Report, Result
from search.workers.facts import Facts
from search.workers.faults import describe, over_time, spoils
from search.workers.logs import Log

Maker = Callable[[Data, str, str, bool], Any]
"""Makes a Trainer of the images, the folder of the data, that of the store, and whether there is a GPU."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a trial has failed, with the last lines of its log."""

    kind: str
    message: str
    log: str
    spoiled: bool = False
    """The process cannot be used any more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a trial's log goes, and how long it may take, in seconds; None: no log, no limit."""

    logs: str | None = None
    seconds: int | None = None
    """An epoch that ends later is the trial's last."""
    hung: float | None = None
    """An epoch that has not ended by then never will: the process is ended."""


def trainer(data: Data, data_dir: str, store_dir: str, gpu: bool) -> Any:
    """The real Trainer. One thread for each CPU slot: two share a core badly."""
    from search.workers.trainer import Trainer  # here, so that the driver does without torch

    return Trainer(data, data_dir, store_dir, "cuda" if gpu else "cpu", None if gpu else 1)


class Actor:
    """A Trainer in its own process. Made into a Ray actor by `RayWorkers`."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.limits = Limits()

    def hello(self) -> None:
        """Answers as soon as the process is there."""

    def open(self, make: Maker, data: Data, data_dir: str, store_dir: str, gpu: bool, limits: Limits) -> Facts:
        """Read the images, and say what they are."""
        self.trainer, self.limits = make(data, data_dir, store_dir, gpu), limits
        facts: Facts = self.trainer.facts()
        return facts

    def call(self, method: str, *arguments: Any) -> Any:
        """Any of the Trainer's plain methods."""
        return getattr(self.trainer, method)(*arguments)

    def stream(self, method: str, *arguments: Any) -> Iterator[Any]:
        """Any of the Trainer's generators: its items, then its result."""
        yield (yield from getattr(self.trainer, method)(*arguments))

    def train(self, number: int, recipe: Recipe) -> Iterator[Report | Result | Fault | None]:
        """Run trial `number`. Whatever it raises is told as a Fault: the process, and the next trial, go on."""
        limits = self.limits
        log = Log(Path(limits.logs) if limits.logs else None, number)
        log.began()
        yield None
        try:
            result = yield from self._timed(self.trainer.train(recipe), log)
            log.done()
            yield result
            return
        except (Exception, SystemExit) as error:  # a brought teacher's code may raise anything
            log.failed(error)
            kind, message = (error.kind, error.message) if isinstance(error, OverTime) else describe(error)
            fault = Fault(kind, message, log.last(), spoils(error))
        if not fault.spoiled:  # its process ends anyway, and a lost GPU would only raise again
            self._tidy()
        yield fault

    def _timed(self, stream: Generator[Report, None, Result], log: Log) -> Generator[Report, None, Result]:
        """A trial's Reports, logged. Epochs told again count with the time that they took when they were trained.

        Raises OverTime after the epoch in which the limit is reached.
        """
        seconds, before, began = self.limits.seconds, 0.0, time.monotonic()
        with _ended(self.limits.hung, log) as postpone:
            while True:
                try:
                    report = next(stream)
                except StopIteration as stop:
                    result: Result = stop.value
                    return result
                if report.replayed:
                    before += report.seconds
                    postpone(-before)
                else:
                    log.epoch(report)
                if seconds is not None and before + time.monotonic() - began > seconds:
                    raise OverTime(seconds)
                yield report

    @staticmethod
    def _tidy() -> None:
        """Give back what a failed trial held: its frames first, then the GPU's cached memory."""
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


class OverTime(Exception):
    """A trial took longer than it may."""

    def __init__(self, seconds: int):
        self.kind, self.message = over_time(seconds)
        super().__init__(self.message)


@contextmanager
def _ended(seconds: float | None, log: Log) -> Iterator[Callable[[float], None]]:
    """End this process after so many seconds in the context, whatever it hangs in, its stack in the log.

    Gives a function that moves the end by so many seconds.
    """
    if seconds is None:
        yield lambda by: None
        return
    began = time.monotonic()
    with log.path.open("a") if log.path is not None and log.path.exists() else nullcontext(sys.stderr) as file:

        def arm(by: float = 0.0) -> None:
            left = seconds + by - (time.monotonic() - began)
            faulthandler.dump_traceback_later(max(1.0, left), exit=True, file=file)

        arm()
        try:
            yield arm
        finally:
            faulthandler.cancel_dump_traceback_later()
