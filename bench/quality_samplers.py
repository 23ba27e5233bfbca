"""The samplers that `bench.quality` compares, over a table's students."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.samplers import NSGAIISampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from bench.quality_tables import Table
from search.driver.sampling import History, draw

DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE, StudyDirection.MINIMIZE)
POPULATION = 20  # of NSGA-II: Optuna's default of 50 would be random drawing at these budgets


class Sampler(Protocol):
    """Draws the students of one search."""

    def draw(self, number: int) -> int:
        """The student of trial `number`, which is in training from now on."""

    def end(self, number: int, values: Sequence[float] | None) -> None:
        """Trial `number` was fully trained, with these values, or stopped (None)."""


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

    def end(self, number: int, values: Sequence[float] | None) -> None:
        """Nothing is learnt."""


class Project:
    """The project's sampler and its history, used as in the driver."""

    def __init__(self, table: Table, seed: int):
        self._table, self._seed = table, seed
        self._history, self._trials = History(DIRECTIONS), dict[int, FrozenTrial]()

    def draw(self, number: int) -> int:
        """The student nearest to what TPE proposes; it becomes part of the history, in training."""
        trial = draw(self._history.directions, self._history.recalled(), self._seed, number)
        student = self._table.nearest(_suggested(trial, self._table))
        self._set(number, self._table.students[student].drawn, TrialState.RUNNING, None)
        return student

    def end(self, number: int, values: Sequence[float] | None) -> None:
        """A stopped trial is PRUNED and has no values."""
        state = TrialState.PRUNED if values is None else TrialState.COMPLETE
        self._set(number, self._trials[number].params, state, values)

    def _set(self, number: int, params: dict[str, Any], state: TrialState, values: Sequence[float] | None) -> None:
        trial = create_trial(params=params, distributions=self._table.space, state=state, values=values)
        trial.number = number
        self._trials[number] = trial
        self._history.update(trial)


class Genetic:
    """Optuna's NSGA-II, used through `ask` and `tell`."""

    def __init__(self, table: Table, seed: int):
        sampler = NSGAIISampler(population_size=POPULATION, seed=seed)
        storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(directions=DIRECTIONS, storage=storage, sampler=sampler)
        self._table, self._trials = table, dict[int, optuna.Trial]()

    def draw(self, number: int) -> int:
        """The student nearest to its proposal."""
        self._trials[number] = self._study.ask()
        return self._table.nearest(_suggested(self._trials[number], self._table))

    def end(self, number: int, values: Sequence[float] | None) -> None:
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
    "NSGA-II": Genetic,
    "MO-TPE": Project,
}
