"""How long an experiment takes on these workers, from a few timed batches: arithmetic only."""

from collections.abc import Callable

from fitnets.config import Precision, Recipe
from fitnets.cost import layers
from fitnets.net import Net
from fitnets.value import Value
from search.facts import Facts, Speed
from search.forecast import duration
from search.paper.experiments import Experiment

Measure = Callable[[Net, int, Precision], Speed]


class Forecast(Value):
    """Seconds of work, on one slot each."""

    teacher: float
    tables: float
    """The teacher's passes over every view that stage 2 shows, shared by all runs."""
    runs: tuple[float, ...]
    """One for each of the experiment's runs, in their order."""

    def line(self, missing: list[int], slots: int) -> str:
        """For people."""
        trained = sum(self.runs[number] for number in missing)
        tables = self.tables if missing else 0.0
        total = self.teacher + (tables + trained) / slots
        return (
            f"{len(missing)} of {len(self.runs)} runs to train on {slots} slot(s): teacher {duration(self.teacher)}, "
            f"its tables {duration(tables)}, runs {duration(trained)}; about {duration(total)} in all"
        )


def forecast(experiment: Experiment, facts: Facts, has_teacher: bool, measure: Measure) -> Forecast:
    """`measure` times a net's training step and forward pass for one image."""
    known: dict[tuple[Net, Precision], Speed] = {}

    def speed(net: Net, batch: int, precision: Precision) -> Speed:
        if (net, precision) not in known:
            known[net, precision] = measure(net, batch, precision)
        return known[net, precision]

    teacher = experiment.teacher
    its_speed = speed(teacher.net, teacher.training.batch, teacher.precision)
    epoch = its_speed.train_step * facts.train + its_speed.forward * facts.val
    recipes = [recipe for _, _, recipe in experiment.runs()]
    taught = max((recipe.stage2.epochs for recipe in recipes if recipe.distill.lambda_start), default=0)
    plans = len({experiment.data.alike(epoch) for epoch in range(1, taught + 1)})
    return Forecast(
        teacher=0.0 if has_teacher else teacher.training.epochs * epoch,
        tables=plans * its_speed.forward * facts.train,
        runs=tuple(
            _run(recipe, facts, speed(recipe.student, recipe.stage2.batch, recipe.precision)) for recipe in recipes
        ),
    )


def _run(recipe: Recipe, facts: Facts, speed: Speed) -> float:
    epoch = speed.train_step * facts.train + speed.forward * facts.val
    hinted = 0.0
    if recipe.hint is not None and recipe.stage1 is not None:
        macs = [row.macs for row in layers(recipe.student)]
        hinted = recipe.stage1.epochs * epoch * sum(macs[: recipe.hint.guided]) / sum(macs)
    return hinted + recipe.stage2.epochs * epoch
