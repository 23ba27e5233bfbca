"""The sampler of one draw: a pure function of the study's seed and its history."""

from bisect import insort
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    _get_single_value,
)
from optuna.samplers import TPESampler
from optuna.samplers._tpe.sampler import _split_trials, default_gamma_multiobjective
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from fitnets.values.base import seed_of

RECENT = 250  # trials of each kind (trained, over the limits) that the sampler looks back on
FRONT = 100  # Pareto-optimal trials that it looks back on beside them, evenly thinned


class FastTPE(TPESampler):
    """Optuna's independent multi-objective TPE for one draw over the given trials, with one split for all parameters.

    The stock sampler ranks the whole history by non-domination once for every parameter. Over the same trials the
    proposals are equal (a test holds this, because it leans on Optuna's private parts).
    """

    def __init__(self, seed: int, trials: Sequence[FrozenTrial]):
        super().__init__(seed=seed)
        self._gamma = default_gamma_multiobjective
        self._trials = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)]
        self._finished = sum(t.state != TrialState.RUNNING for t in self._trials)
        self._split: tuple[list[FrozenTrial], list[FrozenTrial]] | None = None

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """One parameter's value, as the stock sampler draws it."""
        if self._finished < self._n_startup_trials:
            return self._random_sampler.sample_independent(study, trial, param_name, param_distribution)
        return self._sample(study, trial, {param_name: param_distribution})[param_name]

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if self._split is None:
            self._split = _split_trials(study, self._trials, default_gamma_multiobjective(self._finished))
        below, above = self._split
        good = self._build_parzen_estimator(study, search_space, below, handle_below=True)
        rest = self._build_parzen_estimator(study, search_space, above, handle_below=False)
        samples = good.sample(self._rng.rng, self._n_ei_candidates)
        best = self._compare(samples, self._compute_acquisition_func(samples, good, rest))
        return {name: search_space[name].to_external_repr(float(value)) for name, value in best.items()}

    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], study: optuna.Study
    ) -> dict[str, NDArray[np.float64]]:
        """As the stock one, which asks of every trial and parameter whether it is being drawn jointly: none is."""
        ((name, space),) = search_space.items()
        known = [trial.params[name] for trial in trials if name in trial.params]
        if isinstance(space, CategoricalDistribution):
            known = [space.to_internal_repr(value) for value in known]
        return {name: np.array(known, dtype=np.float64)}


class History:
    """A study's trials as the sampler needs them: each kind in order, and the Pareto front, kept up trial by trial."""

    def __init__(self, directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial] = ()):
        self._signs = np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions])
        self._complete: list[FrozenTrial] = []
        self._pruned: list[FrozenTrial] = []
        self._running: dict[int, FrozenTrial] = {}
        self.front: list[FrozenTrial] = []
        self._losses = np.empty((0, len(self._signs)))
        for trial in trials:
            self.update(trial)

    def update(self, trial: FrozenTrial) -> None:
        """Take in a trial that began or finished."""
        self._running.pop(trial.number, None)
        if trial.state == TrialState.RUNNING:
            self._running[trial.number] = trial
        elif trial.state == TrialState.PRUNED:
            insort(self._pruned, trial, key=lambda t: t.number)
        elif trial.state == TrialState.COMPLETE:
            insort(self._complete, trial, key=lambda t: t.number)
            self._extend_front(trial)

    def _extend_front(self, trial: FrozenTrial) -> None:
        loss = np.array(trial.values) * self._signs
        if _dominates(self._losses, loss).any():
            return
        stays = ~_dominates(loss, self._losses)
        self.front = [t for t, stay in zip(self.front, stays, strict=True) if stay] + [trial]
        self._losses = np.vstack([self._losses[stays], loss])

    def recalled(self, recent: int = RECENT, front: int = FRONT) -> list[FrozenTrial]:
        """The trials that the sampler looks back on: the newest of each kind, those running, and a thinned front.

        All of them while they are few. A function of the trials alone, so that a continued study draws alike.
        """
        kept = {t.number: t for t in (*self._complete[-recent:], *self._pruned[-recent:], *self._running.values())}
        if len(self._complete) > recent:
            ordered = sorted(zip(self._losses[:, 0], (t.number for t in self.front), self.front, strict=True))
            places = np.linspace(0, len(ordered) - 1, min(front, len(ordered))).round().astype(int)
            kept |= {ordered[place][1]: ordered[place][2] for place in places}
        return [kept[number] for number in sorted(kept)]


def _dominates(losses: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of `losses` is nowhere above `others` and somewhere below; rows are points, one may be a vector."""
    return np.asarray((losses <= others).all(-1) & (losses < others).any(-1))


def sampler_for(seed: int, draw: int, history: Sequence[FrozenTrial]) -> FastTPE:
    """The sampler of a study's draw number `draw` (from 0) that looks back on `history`.

    A sampler seeded once would repeat its first draws whenever a study is continued; seeded for each draw, a
    continued study goes on as an uninterrupted one would.
    """
    return FastTPE(seed_of("draw", seed, draw) % 2**32, history)


class Draw:
    """The part of an Optuna trial that a space's `suggest` uses; nothing of it is in the storage yet."""

    def __init__(self, study: optuna.Study, sampler: FastTPE, number: int, fixed: Mapping[str, Any]):
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}
        self._study, self._sampler, self._fixed = study, sampler, fixed
        self._trial = create_trial(state=TrialState.RUNNING)
        self._trial.number = number

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from low to high, in steps."""
        return int(self._suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from low to high."""
        return float(self._suggest(name, FloatDistribution(low, high, log=log)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self._suggest(name, CategoricalDistribution(choices))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._fixed:
            value = self._fixed[name]
        elif distribution.single():
            value = _get_single_value(distribution)
        else:
            value = self._sampler.sample_independent(self._study, self._trial, name, distribution)
        self.params[name], self.distributions[name] = value, distribution
        return value
