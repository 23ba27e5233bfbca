"""A simulated search: an event queue of asynchronous workers, with epochs as time and a table's curves as students."""

import heapq
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.quality.rules import Arm
from bench.quality.samplers import Sampler
from bench.quality.tables import Table
from search.driver.stopping import Peer, Stopping

WORKERS = 8
STAGE1 = 1 / 3  # of stage 2's epochs; always trained in full
MOST_STARTED = 6  # times the budget in trainings, as a search of small students may never spend its multiply-adds


@dataclass
class Searched:
    """What had been spent when each student finished its training, and the hypervolume from then on."""

    epochs: list[float] = field(default_factory=list)
    """In full trainings."""
    macs: list[float] = field(default_factory=list)
    """Epochs weighted by multiply-adds, in full trainings of the table's mean student."""
    volumes: list[float] = field(default_factory=list)
    started: int = 0
    stopped: int = 0

    def at(self, spent: NDArray[np.float64], *, by_macs: bool = False) -> NDArray[np.float64]:
        """The hypervolume after each amount in `spent`."""
        places = np.searchsorted(self.macs if by_macs else self.epochs, spent, side="right")
        return np.array([0.0, *self.volumes])[places]


def searched(table: Table, sampler: Sampler, arm: Arm, seed: int, trainings: float, workers: int = WORKERS) -> Searched:
    """One search, until it has spent the epochs and the multiply-adds of `trainings` full trainings.

    Every worker is always training: stage 1, then stage 2 up to the next rung, where the rule decides, or to the end.
    The amount spent includes students in training. Events at the same time are in order of trial number.
    """
    goes_on = None if arm.make is None else arm.make(seed)
    rungs = () if goes_on is None else Stopping().rung_epochs(table.epochs)
    stages = (*rungs, table.epochs)
    whole = table.epochs * (1 + STAGE1)
    found = Searched()
    queue: list[tuple[float, int, int]] = []  # (time, trial, place in `stages`)
    training: dict[int, tuple[int, int]] = {}  # by trial: the student, and which of its curves
    reached: dict[int, dict[int, float]] = {}  # by trial: its accuracies at rungs, by epoch
    drawn = Counter[int]()
    finished: list[tuple[int, float]] = []
    now = epochs = macs = 0.0

    def begin() -> None:
        number = found.started
        found.started += 1
        student = sampler.draw(number)
        reached[number] = {}
        training[number] = student, drawn[student] % len(table.students[student].curves)
        drawn[student] += 1
        heapq.heappush(queue, (now + STAGE1 * table.epochs + stages[0], number, 0))

    for _ in range(workers):
        begin()
    while min(epochs, macs) < trainings and found.started < MOST_STARTED * trainings:
        then, number, place = heapq.heappop(queue)
        running = sum(table.students[student].macs for student, _ in training.values())
        epochs += (then - now) * len(training) / whole
        macs += (then - now) * running / (whole * table.mean_macs)
        now = then
        student, curve = training[number]
        known, epoch = table.students[student], stages[place]
        accuracy = float(known.curves[curve][epoch - 1])
        if epoch < table.epochs:
            assert goes_on is not None
            reached[number][epoch] = accuracy
            if goes_on(epoch, Peer(number=number, accuracy=accuracy, params=known.params, macs=known.macs)):
                heapq.heappush(queue, (now + stages[place + 1] - epoch, number, place + 1))
                continue
            found.stopped += 1
            sampler.end(number, None, reached[number])
        else:
            values = [accuracy, float(np.log10(known.params)), float(np.log10(known.macs))]
            sampler.end(number, values, reached[number])
            finished.append((student, accuracy))
            found.epochs.append(epochs)
            found.macs.append(macs)
            found.volumes.append(table.hypervolume(finished))
        del training[number]
        begin()
    return found
