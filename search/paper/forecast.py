"""How long an experiment takes on these workers, computed from a few timed batches."""

from collections.abc import Callable, Collection

from fitnets.config import Precision, Recipe, Training
from fitnets.nets.cost import layers
from fitnets.values.base import Value
from fitnets.values.net import Net
from search.paper.experiments import Experiment
from search.units import format_duration
from search.workers.facts import Facts, Speed

Measure = Callable[[Net, Training, Precision], Speed]


class Forecast(Value):
    """The work that is left, in seconds on one slot; trainings that may stop early count in full."""

    teacher: float
    tables: float
    """The teacher's passes over every view that stage 2 shows, shared by all runs."""
    runs: tuple[float, ...]
    """One for each of the experiment's runs, in their order; 0 for a run that is finished."""

    def line(self, missing: Collection[int], slots: int) -> str:
        """For people, in one line."""
        trained = sum(self.runs)
        total = self.teacher + (self.tables + trained) / slots
        return (
            f"{len(missing)} of {len(self.runs)} runs to train on {slots} slot(s): "
            f"teacher {format_duration(self.teacher)}, its tables {format_duration(self.tables)}, "
            f"runs {format_duration(trained)}; about {format_duration(total)} in all"
        )


def forecast(
    experiment: Experiment, facts: Facts, missing: Collection[int], has_teacher: bool, measure: Measure
) -> Forecast:
    """The forecast for the runs numbered in `missing`; `measure` gives seconds per image of a net's training step and
    forward pass.
    """
    known: dict[tuple[Net, Precision], Speed] = {}

    def speed(net: Net, training: Training, precision: Precision) -> Speed:
        if (net, precision) not in known:
            known[net, precision] = measure(net, training, precision)
        return known[net, precision]

    teacher, recipes = experiment.teacher, [recipe for _, _, recipe in experiment.runs()]
    views = {
        (recipe.precision, on_all, experiment.data.equivalent_epoch(epoch))
        for recipe in (recipes[number] for number in missing)
        if recipe.distill.lambda_start
        for on_all in range(1 + recipe.retrain)
        for epoch in range(1, recipe.stage2.last + 1)
    }
    passed = sum(facts.train + facts.val * on_all for _, on_all, _ in views)
    teacher_speed = Speed(train_step=0.0, forward=0.0)
    if views or not has_teacher:
        teacher_speed = speed(teacher.net, teacher.training, teacher.precision)
    return Forecast(
        teacher=0.0 if has_teacher else teacher.training.last * _epoch(facts, teacher_speed, teacher.retrain),
        tables=passed * teacher_speed.forward,
        runs=tuple(
            _run(recipe, facts, speed(recipe.student, recipe.stage2, recipe.precision)) if number in missing else 0.0
            for number, recipe in enumerate(recipes)
        ),
    )


def _run(recipe: Recipe, facts: Facts, speed: Speed) -> float:
    epochs = float(recipe.stage2.last)
    if recipe.guided is not None and recipe.stage1 is not None:
        macs = [row.macs for row in layers(recipe.student)]
        epochs += recipe.stage1.last * sum(macs[: recipe.guided]) / sum(macs)
    return epochs * _epoch(facts, speed, recipe.retrain)


def _epoch(facts: Facts, speed: Speed, retrain: bool) -> float:
    """An epoch's seconds; with `retrain`, together with its counterpart in the second training, on all images."""
    validation = speed.forward * facts.val
    first = speed.train_step * facts.train + validation
    return first + retrain * (speed.train_step * (facts.train + facts.val) + validation)
