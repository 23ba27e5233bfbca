"""The samplers that `bench.quality` compares, over a table's students."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.samplers import NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from bench.quality.tables import Table
from fitnets.nets.cost import Costs
from search.driver.sampling.proposals import CANDIDATES, Known
from search.driver.sampling.ranking import Features

DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE, StudyDirection.MINIMIZE)
POPULATION = 20  # of NSGA-II: Optuna's default of 50 would be random drawing at these budgets


class Sampler(Protocol):
    """Draws the students of one search."""

    def draw(self, number: int) -> int:
        """The student of trial `number`, which is in training from now on."""

    def end(self, number: int, values: Sequence[float] | None, rungs: Mapping[int, float]) -> None:
        """Trial `number` was fully trained, with these values, or stopped (None); its accuracies at rungs, by epoch."""


class RandomStudents:
    """Students in a random order, each once before any is repeated."""

    def __init__(self, table: Table, seed: int):
        self._chance, self._count = np.random.default_rng(seed), len(table.students)
        self._left: list[int] = []

    def draw(self, number: int) -> int:
        """The next one."""
        if not self._left:
            self._left = self._chance.permutation(self._count).tolist()
        return self._left.pop()

    def end(self, number: int, values: Sequence[float] | None, rungs: Mapping[int, float]) -> None:
        """Nothing is learnt."""


class Ours:
    """The project's choice among random students; here each student has a few of the parameters.

    A table's students are few, so one that has begun is left out. The driver leaves none out: its draws have continuous
    settings, which do not come again, and where a study fixes them all, its `duplicates` says what a repeat is.
    """

    def __init__(self, table: Table, seed: int):
        self._students, self._chance = table.students, np.random.default_rng(seed)
        costs = np.array([[student.params, student.macs] for student in table.students])
        cheapest, largest = (Costs(*map(int, ends)) for ends in (costs.min(0), costs.max(0)))
        self._known = Known(Features(table.space, cheapest, largest))
        self._began: list[int] = []  # by number

    def draw(self, number: int) -> int:
        """The one of CANDIDATES that promises most, among those that have not begun while there are any."""
        drawn = self._chance.permutation(len(self._students))
        fresh = drawn[~np.isin(drawn, self._began)]
        candidates = (fresh if len(fresh) else drawn)[:CANDIDATES].tolist()
        student: int = candidates[self._known.best([self._drawn(candidate) for candidate in candidates])]
        self._began.append(student)
        return student

    def end(self, number: int, values: Sequence[float] | None, rungs: Mapping[int, float]) -> None:
        """Stopped students are known by their rungs."""
        self._known.add(number, *self._drawn(self._began[number]), None if values is None else values[0], rungs)

    def _drawn(self, student: int) -> tuple[dict[str, Any], Costs]:
        known = self._students[student]
        return known.drawn, Costs(known.params, known.macs)


class Stock:
    """One of Optuna's samplers, used through `ask` and `tell`."""

    def __init__(self, table: Table, sampler: optuna.samplers.BaseSampler):
        storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(directions=DIRECTIONS, storage=storage, sampler=sampler)
        self._table, self._trials = table, dict[int, optuna.Trial]()

    def draw(self, number: int) -> int:
        """The student nearest to its proposal."""
        self._trials[number] = self._study.ask()
        return self._table.nearest(_suggested(self._trials[number], self._table))

    def end(self, number: int, values: Sequence[float] | None, rungs: Mapping[int, float]) -> None:
        """A stopped trial is PRUNED."""
        self._study.tell(self._trials.pop(number), values, TrialState.PRUNED if values is None else None)


def _suggested(trial: optuna.Trial, table: Table) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in table.space.items():
        match kind:
            case optuna.distributions.CategoricalDistribution():
                found[name] = trial.suggest_categorical(name, kind.choices)
            case optuna.distributions.IntDistribution():
                found[name] = trial.suggest_int(name, kind.low, kind.high, log=kind.log)
            case optuna.distributions.FloatDistribution():
                found[name] = trial.suggest_float(name, kind.low, kind.high, log=kind.log)
    return found


SAMPLERS: dict[str, Callable[[Table, int], Sampler]] = {
    "random": RandomStudents,
    "NSGA-II": lambda table, seed: Stock(table, NSGAIISampler(population_size=POPULATION, seed=seed)),
    "MO-TPE": lambda table, seed: Stock(table, TPESampler(seed=seed)),
    "ours": Ours,
}
