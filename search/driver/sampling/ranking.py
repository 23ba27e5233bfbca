"""Which of several students promises most, where costs are known before training and only the accuracy is not.

A ridge regression on the parameters of the draw and on the logarithms of both costs predicts a student's accuracy; the
student to train is the one with the largest expected gain in hypervolume at its known costs. On the tables of
`bench.quality` this finds larger fronts than Optuna's TPE, which models the costs as if they were unknown
(bench/RESULTS.md; what did not help is in bench/LOG.md).
"""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from fitnets.nets.cost import Costs

Floats = NDArray[np.float64]
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)  # of the ridge regression, for features of variance 1
MOST_LEVERAGE = 0.9  # beyond, a leave-one-out error would be more noise than error
QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 8) for i in range(8)])  # the accuracies that stand for all
REFERENCE = 1.1  # of the costs, where 1 is the space's largest: beyond it, so that the most accurate students count
UNIT = math.sqrt(12)  # a uniform number from 0 to 1, times this, has variance 1


class Features:
    """A student as numbers: costs, parameters and their squares, of about mean 0 and variance 1 over the space."""

    def __init__(self, space: Mapping[str, BaseDistribution], cheapest: Costs, largest: Costs):
        self._space = {name: kind for name, kind in space.items() if not kind.single()}
        low, high = np.log(cheapest), np.log(largest)
        self._low, self._range = low, np.where(high > low, high - low, 1.0)

    def __len__(self) -> int:
        kinds = self._space.values()
        return 5 + sum(len(k.choices) - 1 if isinstance(k, CategoricalDistribution) else 2 for k in kinds)

    def costs(self, costs: Costs) -> Floats:
        """The logarithms of both costs: 0 for the space's cheapest student, 1 for its largest."""
        scaled: Floats = (np.log(costs) - self._low) / self._range
        return scaled

    def of(self, params: Mapping[str, Any], costs: Costs) -> Floats:
        """The features of a student."""
        p, m = (self.costs(costs) - 0.5) * UNIT
        found = [p, m, p * p, m * m, p * m]
        for name, kind in self._space.items():
            if isinstance(kind, CategoricalDistribution):
                found += [float(params[name] == choice) for choice in kind.choices[1:]]
            else:
                place = (_share(kind, params[name]) - 0.5) * UNIT
                found += [place, place * place]
        return np.array(found)


def _share(kind: BaseDistribution, value: float) -> float:
    assert isinstance(kind, IntDistribution | FloatDistribution)
    low, high, at = (math.log(x) for x in (kind.low, kind.high, value)) if kind.log else (kind.low, kind.high, value)
    return (at - low) / (high - low)


def predicted(features: Floats, accuracies: Floats, candidates: Floats) -> tuple[Floats, Floats]:
    """Means and standard deviations of the candidates' accuracies, by ridge regression on those of known students.

    `features` has a row for each known student, `candidates` for each other one. Of PENALTIES, that with the smallest
    leave-one-out errors counts, for at first a space has more features than a study has students. The deviation is that
    of these errors, and grows with the distance from what is known.
    """
    center, mean = features.mean(0), accuracies.mean()
    squares, axes = np.linalg.eigh((features - center).T @ (features - center))
    x, y, new = (features - center) @ axes, accuracies - mean, (candidates - center) @ axes
    inverses = [1 / (squares + penalty) for penalty in PENALTIES]
    errors = [_left_out(x, y, inverse) for inverse in inverses]
    error = min(errors)
    inverse = inverses[errors.index(error)]
    return mean + new @ (inverse * (x.T @ y)), error * np.sqrt(1 + new**2 @ inverse)


def _left_out(x: Floats, y: Floats, inverse: Floats) -> float:
    """The root of the mean squared leave-one-out error; `inverse` is that of the penalised, diagonal x.T @ x."""
    leverage = np.minimum(x**2 @ inverse + 1 / len(y), MOST_LEVERAGE)
    errors = (y - x @ (inverse * (x.T @ y))) / (1 - leverage)
    return math.sqrt((errors**2).mean())


def expected_gains(finished: Floats, costs: Floats, means: Floats, spreads: Floats) -> Floats:
    """How much each candidate is expected to add to the hypervolume of the finished students.

    `finished` has a row (loss, parameters, multiply-adds) for each student, and `costs` one (parameters, multiply-adds)
    for each candidate, scaled so that 1 is the worst of each; costs count up to REFERENCE. `means` and `spreads` are of
    the candidates' losses.
    """
    front = finished[moocore.is_nondominated(finished)]
    worst = np.array([1.0, REFERENCE, REFERENCE])
    base = moocore.hypervolume(front, ref=worst)
    gains = np.empty((len(costs), len(QUANTILES)))
    for row, (cost, mean, spread) in enumerate(zip(costs, means, spreads, strict=True)):
        for column, quantile in enumerate(QUANTILES):
            with_it = np.vstack([front, [mean + spread * quantile, *cost]])
            gains[row, column] = moocore.hypervolume(with_it, ref=worst) - base
    means_of_gains: Floats = gains.mean(1)
    return means_of_gains
