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
from search.driver.sampling.draw import Draw, Proposal
from search.driver.sampling.ranking import Features, expected_gains, predicted
from search.space import Frame, extreme, params_of, recipe_of, student_of, suggest
from search.study import Study
from search.workers.protocol import Stopped

FIRST = 3  # so many students are trained before accuracies are predicted; until then, the next one is any
CANDIDATES = 64
CROWD = 250  # beyond so many running students, a choice is made among CROWDED: drawing a candidate takes 0.3 ms
CROWDED = 8
REJECTS = 200  # after so many draws in a row over the limits, no more are made


class Known:
    """The trained students of a study, as rows of numbers: what the choice of the next one rests on.

    Students below the accuracy `least` gain nothing, once one above it is known.
    """

    def __init__(self, features: Features, least: float | None = None):
        self.features, self._least = features, least
        self._rows, self._costs = np.empty((64, len(features))), np.empty((64, 2))
        self._accuracies = np.full(64, np.nan)  # by number, so that the order in which they end changes nothing
        self._threads = ThreadpoolController()

    def add(self, number: int, params: Mapping[str, Any], costs: Costs, accuracy: float) -> None:
        """Student `number` was trained to its end."""
        while number >= len(self._rows):
            self._rows, self._costs = (np.vstack([old, np.empty_like(old)]) for old in (self._rows, self._costs))
            self._accuracies = np.concatenate([self._accuracies, np.full_like(self._accuracies, np.nan)])
        self._rows[number], self._costs[number] = self.features.of(params, costs), self.features.costs(costs)
        self._accuracies[number] = accuracy

    def best(self, candidates: Sequence[tuple[Mapping[str, Any], Costs]]) -> int:
        """The place of the candidate to train next; the first one while fewer than FIRST students are known.

        On one thread: the sums come out the same however many cores there are, and students train on the others.
        """
        with self._threads.limit(limits=1, user_api="blas"):
            return self._best(candidates)

    def _best(self, candidates: Sequence[tuple[Mapping[str, Any], Costs]]) -> int:
        trained = np.flatnonzero(~np.isnan(self._accuracies))
        if len(trained) < FIRST or len(candidates) == 1:
            return 0
        accuracies = self._accuracies[trained]
        features = np.array([self.features.of(params, costs) for params, costs in candidates])
        costs_of = np.array([self.features.costs(costs) for _, costs in candidates])
        means, spreads = predicted(self._rows[trained], accuracies, features)
        best, worst = accuracies.max(), accuracies.min()
        if self._least is not None and self._least < best:
            worst = self._least
        scale = (best - worst) or 1.0
        finished = np.column_stack([(best - accuracies) / scale, self._costs[trained]])
        return int(expected_gains(finished, costs_of, (best - means) / scale, spreads / scale).argmax())


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
        """Note the students that were trained to their end since the last call."""
        self._unfinished += range(self._seen, len(trials))
        self._seen = len(trials)
        for trial in [trials[number] for number in self._unfinished]:
            if trial.state == TrialState.COMPLETE:
                price = Cost.model_validate(trial.user_attrs["cost"])
                self._known.add(trial.number, trial.params, Costs(price.params, price.macs), trial.values[0])
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
