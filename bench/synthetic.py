"""A search problem without training: a formula in place of a student, to measure the driver and the sampler.

Accuracy rises with the logarithm of the multiply-adds and saturates, has an optimum in depth, learning rates, tau and
the guided layer's height (which interacts with the hint layer's), and a little noise fixed by the recipe's digest.
Its numbers rank samplers; they mean nothing for students.
"""

import math
import random
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from fitnets.config import Outcome, Recipe, Report, Result
from fitnets.nets.cost import cost
from fitnets.values.per_class import PerClass
from search.driver.sampling.draw import Draw
from search.read import pareto
from search.space import Frame, recipe_of, suggest
from search.study import Study, find_study
from search.workers.protocol import EpochDone, Event, Finished

UNLIMITED = {"max_params": None, "max_macs": None, "stopping": None}
STUDY: Study = find_study("cifar10_paper").changed(name="synthetic", first=(), **UNLIMITED)
FRAME: Frame = STUDY.frame((3, 32, 32), 10, 3)
REPORTS = tuple(
    Report(stage="stage 1", epoch=epoch, epochs=10, loss=1 / epoch, hint_r2=0.5, seconds=1.0) for epoch in range(1, 11)
) + tuple(
    Report(stage="stage 2", epoch=epoch, epochs=25, loss=1 / epoch, val_accuracy=0.5, lam=2.0, seconds=1.0)
    for epoch in range(1, 26)
)

CLASSES = PerClass.counted([[455 if predicted == true else 5 for predicted in range(10)] for true in range(10)])


def accuracy_of(recipe: Recipe, noise: float = 0.003) -> float:
    """The formula: about 0.5 to 0.95."""
    assert recipe.hint is not None and recipe.stage1 is not None
    digest = random.Random(recipe.digest())
    size = math.log10(cost(recipe.student).macs)
    best_depth = 4 + 2 * (size - 5)
    height = recipe.hint.guided / len(recipe.student.convs)
    aim = 0.3 + 0.15 * recipe.hint.hint
    loss = 0.5 * math.exp(-0.7 * (size - 5))
    loss += 0.004 * (recipe.student.depth - best_depth) ** 2 / 4
    loss += 0.15 * (height - aim) ** 2
    loss += 0.02 * math.log10(recipe.stage1.lr / 3e-3) ** 2 + 0.06 * math.log10(recipe.stage2.lr / 2e-3) ** 2
    loss += 0.02 * math.log(recipe.distill.tau / 4) ** 2 + 0.01 * math.log(recipe.distill.lambda_start / 3) ** 2
    return max(0.1, 0.96 - loss + digest.gauss(0.0, noise))


def values_of(recipe: Recipe) -> list[float]:
    """The objective values for Optuna: accuracy, and the logarithms of parameters and multiply-adds."""
    price = cost(recipe.student)
    return [accuracy_of(recipe), math.log10(price.params), math.log10(price.macs)]


def result_of(recipe: Recipe) -> Result:
    """A finished trial with the formula's accuracy and one kilobyte of weights."""
    accuracy = accuracy_of(recipe)
    outcome = Outcome(
        val_accuracy=accuracy,
        best_val_accuracy=accuracy,
        hint_r2=0.5,
        seconds=35.0,
        weights_sha256=recipe.digest(),
        teacher="0" * 64,
        data="0" * 64,
        versions={"python": "", "torch": "", "device": "cpu"},
    )
    return Result(outcome, bytes(1024), CLASSES)


class Instant:
    """Workers (see `search.workers.protocol.Workers`) that finish at once: every epoch's report, then the result."""

    def __init__(self, slots: int):
        self.slots = slots
        self._running: deque[tuple[int, Recipe]] = deque()

    def free(self) -> int:
        """How many slots are idle."""
        return self.slots - len(self._running)

    def submit(self, number: int, recipe: Recipe) -> None:
        """Start trial `number`."""
        self._running.append((number, recipe))

    def stop(self, number: int) -> None:
        """Every trial is over as soon as it is seen."""

    def wait(self, seconds: float) -> list[Event]:
        """The oldest trial, from its first epoch to its end."""
        number, recipe = self._running.popleft()
        return [*(EpochDone(number, report) for report in REPORTS), Finished(number, result_of(recipe))]

    def need(self, slots: int) -> None:
        """There are as many as there are."""

    def forget(self, number: int, recipe: Recipe) -> None:
        """There are no checkpoints."""


def quick_history(
    study: optuna.Study,
    storage: optuna.storages.BaseStorage,
    finished: int,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Fill a study with finished trials: random ones, then children of its front; each with `more` attributes."""
    front, chance = list[FrozenTrial](), random.Random(0)
    study_id = storage.get_study_id_from_name(study.study_name)
    for number in range(finished):
        parent = chance.choice(front).params if number > 50 and front else None
        drawn = Draw(chance, {name: value for name, value in (parent or {}).items() if chance.random() < 0.75})
        recipe = recipe_of(suggest(drawn, STUDY.space), STUDY.space, FRAME)
        attributes = {
            "recipe": recipe.model_dump(mode="json"),
            "cost": cost(recipe.student).model_dump(mode="json"),
            "digest": recipe.digest(),
            "outcome": result_of(recipe).outcome.model_dump(mode="json"),
            **more,
        }
        trial = create_trial(
            state=TrialState.COMPLETE,
            values=values_of(recipe),
            params=drawn.params,
            distributions=drawn.distributions,
            user_attrs=attributes,
        )
        storage.create_new_trial(study_id, trial)
        trial.number = number
        front.append(trial)
        front = [front[i] for i in pareto.front([(-t.values[0], t.values[1], t.values[2]) for t in front])]
