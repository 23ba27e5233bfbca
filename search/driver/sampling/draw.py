"""A student to train, and random draws from a space, with what Optuna stores of them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from fitnets.config import Cost, Recipe

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Proposal:
    """A student to train."""

    recipe: Recipe
    cost: Cost
    excess: dict[str, float]
    """By how much it is over each limit of the study; at most 0 within it."""
    params: dict[str, Any]
    """Its parameters in the space, or those of the nearest draw."""
    distributions: dict[str, BaseDistribution]


class Draw:
    """Draws parameters at random, the `fixed` ones excepted: the part of an Optuna trial that `suggest` uses."""

    def __init__(self, chance: random.Random, fixed: Mapping[str, Any] = NOTHING):
        self._chance, self._fixed = chance, fixed
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer from low to high, in steps of `step`; `log` changes nothing but the distribution."""
        value = self._chance.randrange(low, high + 1, step)
        return int(self._noted(name, IntDistribution(low, high, step=step, log=log), value))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from low to high; with `log`, uniform in its logarithm."""
        share = self._chance.random()
        value = low * (high / low) ** share if log else low + (high - low) * share
        return float(self._noted(name, FloatDistribution(low, high, log=log), min(value, high)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self._noted(name, CategoricalDistribution(choices), self._chance.choice(choices))

    def _noted(self, name: str, distribution: BaseDistribution, drawn: Any) -> Any:
        self.distributions[name] = distribution
        self.params[name] = self._fixed.get(name, drawn)
        return self.params[name]
