"""How long a study will take on this machine, from a few timed batches: arithmetic only."""

import random
import statistics
from collections.abc import Sequence
from typing import Any

from fitnets.config import Recipe
from fitnets.cost import cost, layers
from fitnets.net import Net
from fitnets.value import Value
from search.facts import Facts, Speed
from search.space import Frame, recipe_of, suggest
from search.study import Study

DRAWS = 300


class Drawn:
    """Draws like a random sampler, without a study: the part of an Optuna trial that `suggest` uses."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from low to high, in steps."""
        return self._random.randrange(low, high + 1, step)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from low to high; `log` draws its logarithm evenly."""
        return low * (high / low) ** self._random.random() if log else self._random.uniform(low, high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self._random.choice(choices)


class Forecast(Value):
    """What a study will take. Times in seconds of wall clock, sizes in bytes."""

    trials: int
    slots: int
    epochs: int
    """Of all trials together, both stages."""
    teacher_seconds: float
    """0 when it is trained already."""
    tables_seconds: float
    """One teacher pass for each epoch of stage 2, shared by all trials."""
    trial_seconds: float
    """A typical trial's."""
    total_seconds: float
    disk_bytes: int
    feasible: float
    """The share of random draws that are within the limits."""

    def lines(self) -> list[str]:
        """The forecast for people."""
        return [
            f"{self.trials} trials on {self.slots} slot(s), {self.epochs:,} epochs in all; "
            f"{self.feasible:.0%} of random students are within the limits",
            f"teacher {duration(self.teacher_seconds)}, its tables {duration(self.tables_seconds)}, "
            f"a trial about {duration(self.trial_seconds)}",
            f"about {duration(self.total_seconds)} in all, and {self.disk_bytes / 2**20:,.0f} MB of disk",
        ]


def typical(study: Study, frame: Frame) -> tuple[Recipe, float, float]:
    """A student of median cost within the limits, the mean cost relative to it, and the share of draws within them."""
    drawn = Drawn(study.seed)
    recipes = [recipe_of(suggest(drawn, study.space), study.space, frame) for _ in range(DRAWS)]
    priced = [(cost(recipe.student), recipe) for recipe in recipes]
    fitting = [
        (price.macs, index, recipe)
        for index, (price, recipe) in enumerate(priced)
        if max(study.over_budget(price.params, price.macs).values(), default=0.0) <= 0
    ]
    chosen = sorted(fitting or [(price.macs, i, recipe) for i, (price, recipe) in enumerate(priced)])
    macs, _, median = chosen[len(chosen) // 2]
    return median, statistics.fmean(row[0] for row in chosen) / macs, len(fitting) / DRAWS


def forecast(
    study: Study,
    facts: Facts,
    frame: Frame,
    student: Speed,
    teacher: Speed,
    teacher_net: Net | None,
    *,
    teacher_epochs: int,
    slots: int,
) -> Forecast:
    """`student` was measured on `typical`'s student. `teacher_epochs` is 0 for a teacher that needs no training."""
    _, relative, feasible = typical(study, frame)
    n, val = facts.train, facts.val
    step, evaluation = student.train_step * relative * n, student.forward * relative * val
    hint_pass = teacher.forward * _hint_share(teacher_net) * n
    trial = study.stage1.epochs * (step * 0.6 + hint_pass + evaluation * 0.6) + study.stage2.epochs * (
        step + evaluation
    )
    teacher_seconds = teacher_epochs * (teacher.train_step * n + teacher.forward * val)
    tables = study.stage2.epochs * teacher.forward * n
    classes = len(facts.classes)
    return Forecast(
        trials=study.trials,
        slots=slots,
        epochs=study.trials * (study.stage1.epochs + study.stage2.epochs),
        teacher_seconds=teacher_seconds,
        tables_seconds=tables,
        trial_seconds=trial,
        total_seconds=teacher_seconds + tables + trial * study.trials / slots,
        disk_bytes=2 * n * classes * study.stage2.epochs
        + study.trials * cost(typical(study, frame)[0].student).weight_bytes
        + (n + val) * facts.shape[0] * facts.shape[1] * facts.shape[2],
        feasible=feasible,
    )


def _hint_share(net: Net | None) -> float:
    """The mean share of the teacher's multiply-adds that lies below a hint layer."""
    if net is None:
        return 1.0
    macs = [row.macs for row in layers(net)]
    below = [sum(macs[: number + 1]) for number in range(len(net.convs))]
    return statistics.fmean(below) / sum(macs)


def duration(seconds: float) -> str:
    """Seconds for people: 8 s, 3 min 20 s, 5 h 10 min, 3 d 4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
