"""A slot's process: a Trainer, and each trial's log, time limit, and result or fault. No ray, no torch.

A trial is a stream of None (it has begun), a Report for each epoch, and finally its Result or its Fault; one that is
stopped has neither.
"""

import faulthandler
import gc
import os
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

Maker = Callable[[Data, str, str, float], Any]
"""Makes a Trainer from the data set, the data folder, the store's folder, and the share of a GPU that it has, or 0."""
CONTEXT_BYTES = 600 * 2**20  # of a GPU's memory that a process takes before it trains: CUDA and its libraries, about


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a trial has failed, with the last lines of its log."""

    kind: str
    message: str
    log: str
    spoiled: bool = False
    """The process can no longer be used."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The folder of a trial's log, and how long it may take, in seconds; None: no log, no limit."""

    logs: str | None = None
    seconds: int | None = None
    """The trial ends after the epoch in which it passes this limit."""
    hung: float | None = None
    """A trial that has not ended by then hangs: its process is ended."""


def trainer(data: Data, data_dir: str, store_dir: str, gpu: float) -> Any:
    """The real Trainer, with one thread for each CPU slot: two threads would compete for its core.

    On a GPU it is kept within its share of the memory, so that a trial that needs more fails alone: Ray's fractions
    are bookkeeping, and without a limit it would take the memory of the trials beside it.
    """
    from search.workers.trainer import Trainer  # here, so that the driver need not import torch

    if gpu:
        import torch

        memory = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(memory_share(gpu, memory))
    return Trainer(data, data_dir, store_dir, "cuda" if gpu else "cpu", None if gpu else 1)


def memory_share(gpu: float, memory: int) -> float:
    """The share of a GPU's `memory` (bytes) that torch may allocate for a slot that has the share `gpu` of that GPU.

    What CUDA itself takes comes out of the slot's share too, but never more than half of it.
    """
    return max(gpu / 2, gpu - CONTEXT_BYTES / memory)


class Actor:
    """A Trainer in its own process. `RayWorkers` makes it a Ray actor."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.limits = Limits()

    def hello(self, folder: str | None) -> None:
        """Go to the driver's folder, if this is its machine.

        Returns once the process has started, and what it was asked to do before is over.
        """
        if folder is not None:
            os.chdir(folder)

    def open(self, make: Maker, data: Data, data_dir: str, store_dir: str, limits: Limits, gpu: float) -> Facts:
        """Read the images and describe them."""
        self.trainer, self.limits = make(data, data_dir, store_dir, gpu), limits
        facts: Facts = self.trainer.facts()
        return facts

    def call(self, method: str, *arguments: Any) -> Any:
        """Call one of the Trainer's plain methods."""
        return getattr(self.trainer, method)(*arguments)

    def stream(self, method: str, *arguments: Any) -> Iterator[Any]:
        """Run one of the Trainer's generators: its items, then its result."""
        yield (yield from getattr(self.trainer, method)(*arguments))

    def train(
        self, number: int, recipe: Recipe, is_stopped: Callable[[], bool]
    ) -> Iterator[Report | Result | Fault | None]:
        """Run trial `number`, until `is_stopped` between two epochs.

        Whatever it raises becomes a Fault: the process goes on to the next trial.
        """
        limits = self.limits
        log = Log(Path(limits.logs) if limits.logs else None, number)
        log.began()
        yield None
        try:
            result = yield from self._timed(self.trainer.train(recipe), log, is_stopped)
            if result is None:
                log.stopped()
                return
            log.done()
            yield result
            return
        except (Exception, SystemExit) as error:  # a brought teacher's code may raise anything
            log.failed(error)
            kind, message = (error.kind, error.message) if isinstance(error, OverTime) else describe(error)
            fault = Fault(kind, message, log.last(), spoils(error))
        if not fault.spoiled:  # its process ends anyway, and a lost GPU would only raise again
            self._free_memory()
        yield fault

    def _timed(
        self, stream: Generator[Report, None, Result], log: Log, is_stopped: Callable[[], bool]
    ) -> Generator[Report, None, Result | None]:
        """A trial's Reports, logged, and its Result: None where it was stopped.

        A replayed epoch counts with the seconds that its training took. Raises OverTime after the epoch in which the
        limit is passed.
        """
        seconds, replayed, began = self.limits.seconds, 0.0, time.monotonic()
        with _killed_after(self.limits.hung, log) as postpone:
            while not is_stopped():
                try:
                    report = next(stream)
                except StopIteration as stop:
                    result: Result = stop.value
                    return result
                if report.replayed:
                    replayed += report.seconds
                    postpone(-replayed)
                else:
                    log.epoch(report)
                if seconds is not None and replayed + time.monotonic() - began > seconds:
                    raise OverTime(seconds)
                yield report
            stream.close()
            return None

    @staticmethod
    def _free_memory() -> None:
        """Free what a failed trial held: its frames first, then the GPU memory that torch caches."""
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


class OverTime(Exception):
    """A trial passed its time limit."""

    def __init__(self, seconds: int):
        self.kind, self.message = over_time(seconds)
        super().__init__(self.message)


@contextmanager
def _killed_after(seconds: float | None, log: Log) -> Iterator[Callable[[float], None]]:
    """End this process after `seconds` in the context, wherever it hangs, with its stack in the log.

    Yields a function that postpones that by a number of seconds.
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
