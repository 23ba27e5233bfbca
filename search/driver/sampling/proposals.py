"""The next student of a study: of many random ones within its limits, the one that promises most.

It is a function of the study's seed and of its trials so far, whichever driver asks.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import ThreadpoolController

from fitnets.config import Cost, Recipe
from fitnets.nets.cost import Costs, cost, params_and_macs
from fitnets.values.base import seed_of
from search.driver.ledger import is_stopped
from search.driver.rungs import arrivals
from search.driver.sampling.draw import Draw, Proposal
from search.driver.sampling.ranking import Features, Floats, expected_gains, predicted
from search.space import Frame, extreme, params_of, recipe_of, student_of, suggest
from search.study import Study
from search.workers.protocol import Stopped

FIRST = 3  # so many students have ended before accuracies are predicted; until then, the next one is any
CANDIDATES = 64
CROWD = 250  # beyond so many running students, a choice is made among CROWDED: drawing a candidate takes 0.3 ms
CROWDED = 8
REJECTS = 200  # after so many draws in a row over the limits, no more are made


class Known:
    """The students of a study that have ended, as rows of numbers: what the choice of the next one rests on.

    A stopped student counts with the accuracy that it would have reached: that of its last rung, and what trained
    students gained from there on, on average. Without it, the like of stopped students would be begun again
    (bench/LOG.md). Students below the accuracy `least` gain nothing, once one above it is known.
    """

    def __init__(self, features: Features, least: float | None = None):
        self.features, self._least = features, least
        self._rows, self._costs = np.empty((64, len(features))), np.empty((64, 2))
        self._accuracies = np.full(64, np.nan)  # by number, so that the order in which they end changes nothing
        self._rungs = dict[int, Floats]()  # accuracies by number, for the epoch of each rung
        self._threads = ThreadpoolController()

    def add(
        self, number: int, params: Mapping[str, Any], costs: Costs, accuracy: float | None, rungs: Mapping[int, float]
    ) -> None:
        """Student `number` was trained to its end, or stopped (None); `rungs` has its accuracies by epoch."""
        while number >= len(self._rows):
            self._rows, self._costs = (np.vstack([old, np.empty_like(old)]) for old in (self._rows, self._costs))
            self._accuracies = _longer(self._accuracies, len(self._rows))
        self._rows[number], self._costs[number] = self.features.of(params, costs), self.features.costs(costs)
        if accuracy is not None:
            self._accuracies[number] = accuracy
        for epoch, reached in rungs.items():
            self._rungs[epoch] = _longer(self._rungs.get(epoch, np.empty(0)), len(self._rows))
            self._rungs[epoch][number] = reached

    def best(self, candidates: Sequence[tuple[Mapping[str, Any], Costs]]) -> int:
        """The place of the candidate to train next; the first one while fewer than FIRST students are known.

        On one thread: the sums come out the same however many cores there are, and students train on the others.
        """
        with self._threads.limit(limits=1, user_api="blas"):
            return self._best(candidates)

    def _best(self, candidates: Sequence[tuple[Mapping[str, Any], Costs]]) -> int:
        expected = self._expected()
        ended = ~np.isnan(expected)
        if np.count_nonzero(ended) < FIRST or len(candidates) == 1:
            return 0
        accuracies = expected[ended]
        features = np.array([self.features.of(params, costs) for params, costs in candidates])
        costs_of = np.array([self.features.costs(costs) for _, costs in candidates])
        means, spreads = predicted(self._rows[ended], accuracies, features)
        best, worst = accuracies.max(), accuracies.min()
        if self._least is not None and self._least < best:
            worst = self._least
        scale = (best - worst) or 1.0
        finished = np.column_stack([(best - accuracies) / scale, self._costs[ended]])
        return int(expected_gains(finished, costs_of, (best - means) / scale, spreads / scale).argmax())

    def _expected(self) -> Floats:
        """By number: a student's accuracy, or that which a stopped one would have reached; NaN for all others.

        NaN also for students that stopped at a rung which no trained one has passed.
        """
        expected = np.full_like(self._accuracies, np.nan)
        for epoch in sorted(self._rungs):  # the last rung of each student counts
            reached = _longer(self._rungs[epoch], len(expected))
            gains = self._accuracies - reached
            if not np.isnan(gains).all():
                expected = np.where(np.isnan(reached), expected, reached + np.nanmean(gains))
        return np.where(np.isnan(self._accuracies), expected, self._accuracies)


def _longer(values: Floats, rows: int) -> Floats:
    """The same values, and NaN up to this many."""
    return np.concatenate([values, np.full(rows - len(values), np.nan)])


class Proposals:
    """The students that one study proposes."""

    def __init__(self, study: Study, frame: Frame):
        self.study, self.frame = study, frame
        ends = [params_and_macs(extreme(study.space, frame, end).student) for end in (0, 1)]
        largest = Costs(
            min(ends[1].params, study.max_params or ends[1].params), min(ends[1].macs, study.max_macs or ends[1].macs)
        )
        anything = Draw(random.Random(0))
        suggest(anything, study.space)
        self._known = Known(Features(anything.distributions, ends[0], largest), study.min_accuracy)
        self._unfinished: list[int] = []
        self._seen = 0

    def named(self, recipe: Recipe) -> Proposal:
        """A student designed by hand, with the parameters of the nearest draw."""
        draw = Draw(random.Random(0), params_of(recipe, self.study.space, self.frame))
        suggest(draw, self.study.space)
        return self._proposal(draw, recipe)

    def next(self, trials: Sequence[FrozenTrial]) -> Proposal:
        """The next student, given all trials so far. Raises Stopped after REJECTS draws in a row over the limits."""
        self._learn(trials)
        most = CANDIDATES if len(self._unfinished) <= CROWD else CROWDED
        candidates = list(self._within(random.Random(seed_of("draw", self.study.seed, len(trials))), most))
        if not candidates:
            raise Stopped(
                f"{REJECTS} draws in a row were over the limits: raise `max_params` or `max_macs`, or lower "
                "`base_width`, `multiplier` or `depth` in the study's space."
            )
        draw, _ = candidates[self._known.best([(draw.params, costs) for draw, costs in candidates])]
        return self._proposal(draw, recipe_of(draw.params, self.study.space, self.frame))

    def _learn(self, trials: Sequence[FrozenTrial]) -> None:
        """Note the students that were trained to their end, or stopped, since the last call."""
        self._unfinished += range(self._seen, len(trials))
        self._seen = len(trials)
        for trial in [trials[number] for number in self._unfinished]:
            if trial.state == TrialState.COMPLETE or is_stopped(trial):
                price = Cost.model_validate(trial.user_attrs["cost"])
                accuracy = trial.values[0] if trial.state == TrialState.COMPLETE else None
                rungs = {arrival.epoch: arrival.accuracy for arrival in arrivals(trial.user_attrs)}
                self._known.add(trial.number, trial.params, Costs(price.params, price.macs), accuracy, rungs)
        self._unfinished = [number for number in self._unfinished if not trials[number].state.is_finished()]

    def _within(self, chance: random.Random, most: int) -> Iterator[tuple[Draw, Costs]]:
        """Up to `most` random students within the limits."""
        found = rejected = 0
        while found < most and rejected < REJECTS:
            draw = Draw(chance)
            costs = params_and_macs(student_of(suggest(draw, self.study.space), self.study.space, self.frame))
            if not self.study.allows(costs):
                rejected += 1
                continue
            found, rejected = found + 1, 0
            yield draw, costs

    def _proposal(self, draw: Draw, recipe: Recipe) -> Proposal:
        price = cost(recipe.student)
        return Proposal(recipe, price, self.study.excess(price), draw.params, draw.distributions)
