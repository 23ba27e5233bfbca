"""The next draw: Optuna's multi-objective TPE, as a function of the study's seed, the draw's number and the history."""

import copy
import math
from bisect import insort
from collections.abc import Container, Mapping, Sequence
from typing import Any

import moocore
import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from fitnets.values.base import seed_of

RECENT = 250  # newest trials of each kind (trained, stopped, over the limits, running) that the sampler sees
COMPLETE_SHARE = 0.1  # at least, of those among them that were trained: TPE takes so many as its good ones
FRONT = 100  # Pareto-optimal trials that it sees besides, at equal steps along the front


class History:
    """A study's trials as the sampler needs them: each kind in order of number, and the Pareto front."""

    def __init__(self, directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial] = ()):
        self.directions = list(directions)
        self._signs = np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions])
        self._complete: list[FrozenTrial] = []
        self._stopped: list[FrozenTrial] = []
        self._over_limits: list[FrozenTrial] = []
        self._running: dict[int, FrozenTrial] = {}
        self._front: list[FrozenTrial] = []
        self._unranked: list[FrozenTrial] = []  # completed since the front was computed
        for trial in trials:
            self.update(trial)

    def update(self, trial: FrozenTrial) -> None:
        """Add a trial that began or finished; one that failed is removed."""
        self._running.pop(trial.number, None)
        if trial.state == TrialState.RUNNING:
            self._running[trial.number] = trial
        elif trial.state == TrialState.PRUNED:
            is_over = max(trial.constraints.values(), default=0.0) > 0
            insort(self._over_limits if is_over else self._stopped, trial, key=lambda t: t.number)
        elif trial.state == TrialState.COMPLETE:
            insort(self._complete, trial, key=lambda t: t.number)
            self._unranked.append(trial)

    @property
    def front(self) -> list[FrozenTrial]:
        """The complete trials that no other one dominates; of equal ones, all."""
        if self._unranked:
            trials = [*self._front, *self._unranked]
            losses = np.array([trial.values for trial in trials]) * self._signs
            optimal = moocore.is_nondominated(losses, keep_weakly=True)
            self._front = [trial for trial, is_optimal in zip(trials, optimal, strict=True) if is_optimal]
            self._unranked = []
        return self._front

    def recalled(self, recent: int = RECENT, front: int = FRONT) -> list[FrozenTrial]:
        """The trials that the sampler sees: the newest of each kind, and part of the front.

        While there are few trials, it sees all. Stopped ones are left out, the oldest first, where COMPLETE_SHARE would
        not be reached: TPE would take some of them for good ones. Which trials it sees depends on the trials alone, not
        on the order of `update`, so that a continued study draws as an uninterrupted one does.
        """
        complete, over_limits = self._complete[-recent:], self._over_limits[-recent:]
        running = [self._running[number] for number in sorted(self._running)[-recent:]]
        seen = {t.number: t for t in (*complete, *over_limits, *running)}
        if len(self._complete) > recent and front:
            ordered = sorted(self.front, key=lambda t: (t.values[0] * self._signs[0], t.number))
            indices = np.linspace(0, len(ordered) - 1, min(front, len(ordered))).round().astype(int)
            seen |= {ordered[index].number: ordered[index] for index in indices}
        finished = sum(trial.state == TrialState.COMPLETE for trial in seen.values())
        room = min(recent, math.floor(finished * (1 / COMPLETE_SHARE - 1) + 1e-9))
        seen |= {t.number: t for t in self._stopped[max(0, len(self._stopped) - room) :]}
        return [seen[number] for number in sorted(seen)]


def draw(
    directions: Sequence[StudyDirection],
    history: Sequence[FrozenTrial],
    seed: int,
    number: int,
    fixed: Mapping[str, Any] | None = None,
) -> optuna.Trial:
    """A study's draw `number` (from 0): a trial to call `suggest_*` on, with the `fixed` parameters set.

    The trial belongs to a study in memory that holds only `history`, so nothing of it is in the storage. The sampler is
    seeded for each draw: seeded once, it would repeat its first draws whenever a study is continued.
    """
    sampler = TPESampler(seed=seed_of("draw", seed, number) % 2**32)
    study = optuna.create_study(directions=directions, storage=Recalled(history), sampler=sampler, study_name="history")
    if fixed:
        study.enqueue_trial(dict(fixed))
    return study.ask()


class Recalled(optuna.storages.InMemoryStorage):
    """A storage in memory of one study, which begins with the trials of `history` and holds no copies of them.

    Optuna's own would copy each of them whole, for every draw. The sampler looks only at the order of their numbers,
    and leaves out the trial that it draws for by its number, which is 0 here: theirs begin at 1.
    """

    def __init__(self, history: Sequence[FrozenTrial]):
        super().__init__()
        self._history = [copy.copy(trial) for trial in history]
        for trial in self._history:
            trial.number += 1

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The history's, as they are, then the study's own."""
        wanted = [trial for trial in self._history if states is None or trial.state in states]
        return [*wanted, *super().get_all_trials(study_id, deepcopy, states)]
