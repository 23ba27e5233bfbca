"""The real driver with a thousand slots and ten thousand trials, in simulated time: what it costs, and where it grows.

    python -m bench.scale [--slots 1000] [--trials 10000] [--seconds 60] [--epochs 20] [--deaths 0.01]

`search.driver.loop.Search` with its ledger, sampler and SQLite storage runs against workers that only keep a queue of
events by simulated time: nothing sleeps, nothing is trained, and no Ray is involved (what Ray costs a driver is
measured by `bench.scale.cluster`). A trial's length is drawn within a fifth of `--seconds`; a share `--deaths` of all
starts ends with its worker's death at a random moment, and another worker takes the slot 5 s later. The driver's clock
is the simulated one, so it writes reports as often as it would. Exits with 1 unless every trial was finished exactly
once.

While a draw or a write takes real time, simulated time stands still: a driver that needs less than one CPU-second for
a simulated second keeps up, one that needs more does not.
"""

import argparse
import heapq
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import optuna

from bench.hardware import table, versions
from bench.synthetic import FRAME, STUDY, result_of
from fitnets.config import Recipe, Report
from fitnets.disk.store import Store
from search.driver import flight
from search.driver.loop import DIRECTIONS, Search
from search.storage.writer import open_storage
from search.study import Stopping
from search.workers.protocol import EndedEarly, EpochDone, Event, Finished, WorkerLost

RESTART_SECONDS = 5.0  # until another worker has taken a dead one's place
STEPS = 10  # lines printed while it runs


class Simulated:
    """Workers (see `search.workers.protocol.Workers`) whose trials are entries of a queue, in simulated time."""

    def __init__(self, slots: int, seconds: float, epochs: int, deaths: float):
        self.slots, self.seconds, self.epochs, self.deaths = slots, seconds, epochs, deaths
        self.now = 0.0
        """Simulated seconds since the start."""
        self.events = self.lost = 0
        self._free, self._draw = slots, random.Random(0)
        self._queue: list[tuple[float, int, int, Any]] = []  # time, order, trial, its event; None: a slot is free again
        self._order, self._recipes, self._stopped = 0, dict[int, Recipe](), set[int]()
        self._starts: Counter[int] = Counter()

    def free(self) -> int:
        """How many slots are idle."""
        return self._free

    def submit(self, number: int, recipe: Recipe) -> None:
        """Start trial `number`: its epochs, and its end or its worker's death."""
        self._free -= 1
        self._recipes[number] = recipe
        length = self.seconds * self._draw.uniform(0.8, 1.2)
        dies = length * self._draw.random() if self._draw.random() < self.deaths else None
        self._starts[number] += 1
        for epoch in range(1, self.epochs + 1):
            at = length * (epoch / self.epochs)
            if dies is not None and at > dies:
                self._add(dies, number, WorkerLost(number, "its process died"))
                return
            report = Report(
                stage="stage 2",
                epoch=epoch,
                epochs=self.epochs,
                loss=1 / epoch,
                val_accuracy=0.5,
                lam=2.0,
                seconds=length / self.epochs,
            )
            self._add(at, number, EpochDone(number, report))
        self._add(length, number, Finished(number, result_of(recipe)))

    def stop(self, number: int) -> None:
        """End trial `number` at its next event."""
        self._stopped.add(number)

    def wait(self, seconds: float) -> list[Event]:
        """What happens in the next tenth of a simulated second, or the first thing after it."""
        heard: list[Event] = []
        until = max(self.now + 0.1, self._queue[0][0]) if self._queue else self.now
        while self._queue and self._queue[0][0] <= until:
            self.now, _, number, event = heapq.heappop(self._queue)
            if event is None:
                self._free += 1
                continue
            if number in self._stopped:
                if not isinstance(event, EpochDone | Finished | WorkerLost) or self._recipes.pop(number, None) is None:
                    continue
                event = EndedEarly(number)
            if isinstance(event, WorkerLost):
                self._add(RESTART_SECONDS, number, None)
                self.lost += 1
            elif isinstance(event, EndedEarly | Finished):
                self._free += 1
            self.events += 1
            heard.append(event)
        self.now = max(self.now, until)
        return heard

    def need(self, slots: int) -> None:
        """There are as many as there are."""

    def forget(self, number: int, recipe: Recipe) -> None:
        """There are no checkpoints."""

    def _add(self, after: float, number: int, event: Any) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now + after, self._order, number, event))


def cpu() -> float:
    """CPU-seconds of this process so far."""
    return sum(os.times()[:2])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of a trial, on average")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--deaths", type=float, default=0.01, help="share of starts whose worker dies")
    parser.add_argument("--stopping", action="store_true", help="stop students at rungs, as the shipped studies do")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    workers = Simulated(arguments.slots, arguments.seconds, arguments.epochs, arguments.deaths)
    study = STUDY.changed(
        stopping=Stopping() if arguments.stopping else None,
        stage2=STUDY.stage2.changed(epochs=arguments.epochs),
    )
    done: Counter[int] = Counter()
    rows: list[list[str]] = []
    last = [0.0, 0.0, 0.0]

    def row(trials: int) -> None:
        used, now, events = cpu() - began, workers.now, workers.events
        spent, passed, heard = used - last[0], now - last[1], events - last[2]
        last[:] = used, now, events
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        rows.append(
            [f"{trials:,}", f"{now:,.0f}", f"{used:,.0f}", f"{spent / passed:.2f}", f"{heard / spent:,.0f}",
             f"{1e3 * spent * STEPS / arguments.trials:.0f}", f"{memory:,.0f}"]
        )  # fmt: skip
        print(" | ".join(rows[-1]), flush=True)

    def hear(search: Search, event: Event | None) -> None:
        ended = isinstance(event, Finished)
        if isinstance(event, Finished):
            done[event.number] += 1
        if ended and done.total() % max(1, arguments.trials // STEPS) == 0:
            row(done.total())

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        storage = open_storage(f"sqlite:///{folder}/studies.db")
        optuna.create_study(study_name=study.name, storage=storage, directions=DIRECTIONS)
        clock = SimpleNamespace(monotonic=lambda: workers.now)
        with patch.object(flight, "time", clock):
            began, real = cpu(), time.monotonic()
            search = Search(study, FRAME, storage, workers, Store(folder / "store"))
            search.run(arguments.trials, hear)
        used, seconds = cpu() - began, time.monotonic() - real
        stored = optuna.load_study(study_name=study.name, storage=storage).get_trials(deepcopy=False)
        states = Counter(trial.state.name for trial in stored)
        database = sum(file.stat().st_size for file in folder.glob("studies.db*"))
    print(versions("optuna", "sqlalchemy"))
    header = [
        "trials",
        "simulated s",
        "driver's CPU-s",
        "CPU-s per simulated s",
        "events per CPU-s",
        "ms a trial",
        "MB",
    ]
    print(table(header, rows))
    once = sum(times == 1 for times in done.values())
    again = len(done) - once
    print(
        f"{arguments.trials:,} trials on {arguments.slots:,} slots: {workers.now:,.0f} simulated s, {used:,.0f} CPU-s "
        f"({used / workers.now:.2f} cores; {seconds:,.0f} s of real time), {workers.events:,} events, "
        f"{workers.lost} workers died; finished once: {once:,}, more than once: {again}; states: {dict(states)}; "
        f"storage {database / 1e6:.0f} MB"
    )
    if not arguments.stopping and not once == len(done) == states["COMPLETE"] == len(stored) == arguments.trials:
        sys.exit(1)
