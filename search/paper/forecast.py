"""How long an experiment takes on these workers, from a few timed batches: arithmetic only."""

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
    """Seconds of work that is left, on one slot each; trainings that may stop early count whole."""

    teacher: float
    tables: float
    """The teacher's passes over every view that stage 2 shows, shared by all runs."""
    runs: tuple[float, ...]
    """One for each of the experiment's runs, in their order; 0 for a run that is finished."""

    def line(self, missing: Collection[int], slots: int) -> str:
        """For people."""
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
    """For the `missing` runs, by number; `measure` times a net's training step and forward pass for one image."""
    known: dict[tuple[Net, Precision], Speed] = {}

    def speed(net: Net, training: Training, precision: Precision) -> Speed:
        if (net, precision) not in known:
            known[net, precision] = measure(net, training, precision)
        return known[net, precision]

    teacher, recipes = experiment.teacher, [recipe for _, _, recipe in experiment.runs()]
    views = {
        (recipe.precision, whole, experiment.data.equivalent_epoch(epoch))
        for recipe in (recipes[number] for number in missing)
        if recipe.distill.lambda_start
        for whole in range(1 + recipe.retrain)
        for epoch in range(1, recipe.stage2.last + 1)
    }
    passed = sum(facts.train + facts.val * whole for _, whole, _ in views)
    its = Speed(train_step=0.0, forward=0.0)
    if views or not has_teacher:
        its = speed(teacher.net, teacher.training, teacher.precision)
    return Forecast(
        teacher=0.0 if has_teacher else teacher.training.last * _epoch(facts, its, teacher.retrain),
        tables=passed * its.forward,
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
    """An epoch's seconds; with its counterpart on all images, where a second training follows the first."""
    validation = speed.forward * facts.val
    first = speed.train_step * facts.train + validation
    return first + retrain * (speed.train_step * (facts.train + facts.val) + validation)
