"""How long a study will take on this machine, from a few timed batches."""

import math
import random
import statistics
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NamedTuple

from fitnets.config import Brought, Data, Ensemble, Recipe, Trained
from fitnets.nets.cost import cost, layers
from fitnets.values.base import Value
from fitnets.values.net import Net
from fitnets.values.table_sizes import hint_table_bytes, hint_tables, logit_table_bytes, meeting_map
from search.driver.sampling.draw import Draw
from search.space import Frame, recipe_of, suggest
from search.study import Study
from search.units import format_bytes, format_duration
from search.workers.facts import Facts, Speed, StoredTable

if TYPE_CHECKING:
    from search.workers.crew import RayWorkers

DRAWS = 300


class Forecast(Value):
    """What a study will take. Times in seconds of wall clock, sizes in bytes."""

    trials: int
    slots: int
    epochs: int
    """Of all trials together, both stages; fewer than their full length where some are expected to be stopped."""
    teacher_seconds: float
    """0 when it is trained already."""
    tables_seconds: float
    """Of the teacher's passes that still have to fill tables, which all trials share."""
    trial_seconds: float
    """A typical trial's."""
    total_seconds: float
    disk_bytes: int
    """Of everything, the tables that are not filled yet included."""
    table_bytes: int
    """Of the tables that are not filled yet. A brought teacher's hints are left out: its shapes are unknown before."""
    feasible: float
    """The share of random draws that are within the limits."""
    stopped: float = 0.0
    """The share of the trials that are expected to be stopped at a rung."""

    def lines(self) -> list[str]:
        """The forecast as lines to print."""
        stopped = f", as about {self.stopped:.0%} are stopped early" if self.stopped else ""
        tables = f"; {format_bytes(self.table_bytes)} of it are the teacher's tables" if self.table_bytes else ""
        return [
            f"{self.trials} trial{'s' * (self.trials != 1)} on {self.slots} slot(s), {self.epochs:,} epochs in all"
            f"{stopped}; {self.feasible:.0%} of random students are within the limits",
            f"teacher {format_duration(self.teacher_seconds)}, its tables {format_duration(self.tables_seconds)}, "
            f"a trial about {format_duration(self.trial_seconds)}",
            f"about {format_duration(self.total_seconds)} in all, and {format_bytes(self.disk_bytes)} of disk{tables}",
        ]


def forecast_and_actual(forecast_seconds: float, actual_seconds: float) -> str:
    """A line to print after a run: how long it was forecast to take, and how long it took."""
    return f"forecast {format_duration(forecast_seconds)}, took {format_duration(actual_seconds)}"


def draws(study: Study, frame: Frame) -> list[Recipe]:
    """Recipes as a random sampler would draw them, the same at every call."""
    trial = Draw(random.Random(study.seed))
    return [recipe_of(suggest(trial, study.space), study.space, frame) for _ in range(DRAWS)]


def typical(study: Study, frame: Frame, known: Sequence[Recipe] = ()) -> tuple[Recipe, float, float]:
    """A student of median cost within the limits, the mean cost relative to it, and the share of draws within them.

    The mean is of the study's trials: of the students that are `known` before, and for the rest of random draws.
    """
    priced = [(cost(recipe.student), recipe) for recipe in draws(study, frame)]
    fitting = [(price.macs, index, recipe) for index, (price, recipe) in enumerate(priced) if study.allows(price)]
    chosen = sorted(fitting or [(price.macs, i, recipe) for i, (price, recipe) in enumerate(priced)])
    macs, _, median = chosen[len(chosen) // 2]
    drawn, begun = statistics.fmean(row[0] for row in chosen), [cost(r.student).macs for r in _within(study, known)]
    mean = (sum(begun) + drawn * (study.trials - len(begun))) / study.trials
    return median, mean / macs, len(fitting) / DRAWS


def _within(study: Study, known: Sequence[Recipe]) -> list[Recipe]:
    """As many of these students as the study trains: those over its limits are left out."""
    return [recipe for recipe in known if study.allows(cost(recipe.student))][: study.trials]


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
    stopped: Sequence[float] = (),
    known: Sequence[Recipe] = (),
    stored: AbstractSet[StoredTable] = frozenset(),
) -> Forecast:
    """`student` was measured on `typical`'s student. `teacher_epochs` is 0 for a teacher that needs no training.

    `stopped` is for each rung of the study the share of the students at it that stop there; `known` are the students
    that are trained before the sampler's own; `stored` are the teacher's tables that are filled already.
    """
    median, relative, feasible = typical(study, frame, known)
    n, val = facts.train, facts.val
    step, evaluation = student.train_step * relative * n, student.forward * relative * val
    recipes = [*_within(study, known), *draws(study, frame)][: study.trials]
    hints = hint_work(recipes, n, teacher_net, study.data, stored)
    stage2_epochs, full = stage2_work(study, stopped)
    trained = (study.stage1.epochs * 0.6 + stage2_epochs) * (step + evaluation)
    trial = trained + hints.live * teacher.forward * n
    teacher_seconds = teacher_epochs * (teacher.train_step * n + teacher.forward * val)
    plans = sum((epoch, None) not in stored for epoch in logit_epochs(study.data, study.stage2.epochs))
    tables = (plans + hints.passes) * teacher.forward * n
    table_bytes = plans * logit_table_bytes(n, len(facts.classes)) + hints.table_bytes
    return Forecast(
        trials=study.trials,
        slots=slots,
        epochs=round(study.trials * (study.stage1.epochs + stage2_epochs)),
        teacher_seconds=teacher_seconds,
        tables_seconds=tables,
        trial_seconds=trial,
        total_seconds=teacher_seconds + (tables + trial * study.trials) / slots,
        disk_bytes=table_bytes
        + math.ceil(study.trials * full) * cost(median.student).weight_bytes
        + (n + val) * facts.shape[0] * facts.shape[1] * facts.shape[2],
        table_bytes=table_bytes,
        feasible=feasible,
        stopped=1 - full,
    )


def measured_forecast(
    study: Study,
    facts: Facts,
    teacher: Trained | Brought | Ensemble,
    frame: Frame,
    workers: "RayWorkers",
    stopped: Sequence[float],
    known: Sequence[Recipe],
) -> Forecast:
    """The forecast from timings on one slot; `stopped` and `known` as in `forecast`."""
    recipe = typical(study, frame)[0]
    epochs_with_tables = logit_epochs(study.data, max(study.stage1.epochs, study.stage2.epochs))
    student = workers.measure(recipe.student, recipe.stage2, recipe.precision, recipe.distill)
    if isinstance(teacher, Brought):
        net, epochs, speed = None, 0, workers.measure_brought(teacher, study.stage2.batch)
    else:
        net, (epochs, speed) = teacher.members[0].net, teacher_work(teacher, workers)  # hints: the first member's
    return forecast(
        study,
        facts,
        frame,
        student,
        speed,
        net,
        teacher_epochs=epochs,
        slots=workers.slots,
        stopped=stopped,
        known=known,
        stored=workers.stored_tables(teacher, recipe.precision, epochs_with_tables),
    )


def teacher_work(teacher: Trained | Ensemble, workers: "RayWorkers") -> tuple[int, Speed]:
    """The epochs that the members still have to train, in all; their mean step, and a forward pass through all."""
    epochs = [0 if workers.has(member) else member.training.epochs for member in teacher.members]
    speeds = [workers.measure(each.net, each.training, each.precision, whole_node=True) for each in teacher.members]
    steps = sum(number * speed.train_step for number, speed in zip(epochs, speeds, strict=True))
    train_step = steps / sum(epochs) if any(epochs) else speeds[0].train_step
    return sum(epochs), Speed(train_step=train_step, forward=sum(speed.forward for speed in speeds))


def logit_epochs(data: Data, epochs: int) -> list[int]:
    """The epochs, of the first `epochs`, that have a table of logits: the first of all that have the same views."""
    return sorted({data.equivalent_epoch(epoch) for epoch in range(1, epochs + 1)})


def stage2_work(study: Study, stopped: Sequence[float]) -> tuple[float, float]:
    """A trial's mean number of epochs of stage 2, and the share of the trials that are trained to their end.

    `stopped` as in `forecast`.
    """
    rungs = study.stopping.rung_epochs(study.stage2.epochs) if study.stopping else ()
    epochs, before, going_on = 0.0, 0, 1.0
    for epoch, share in zip(rungs, stopped, strict=True):
        epochs += going_on * (epoch - before)
        before, going_on = epoch, going_on * (1 - share)
    return epochs + going_on * (study.stage2.epochs - before), going_on


class HintWork(NamedTuple):
    """What hints cost besides the students' training. A pass is the teacher's, over all training images."""

    table_bytes: int = 0
    passes: float = 0.0
    """To fill the tables, beyond the passes that compute the logits of the same views."""
    live: float = 0.0
    """Passes for one recipe's hints where no table holds them; part of a pass counts as a fraction."""


def hint_work(
    recipes: Sequence[Recipe],
    num_images: int,
    teacher: Net | None,
    data: Data,
    stored: AbstractSet[StoredTable] = frozenset(),
) -> HintWork:
    """The work for these recipes on the views of `data`, where the tables `stored` are filled already.

    A teacher whose net is unknown (None) fills no table and makes whole passes.
    """
    hinted = [(recipe, recipe.hint, recipe.stage1) for recipe in recipes if recipe.hint and recipe.stage1]
    if teacher is None:
        return HintWork(live=sum(training.epochs for _, _, training in hinted) / len(recipes))
    shapes, below = [after for _, after in teacher.maps()], _shares(teacher)
    tables = dict.fromkeys(stored, 0)
    passes = live = 0.0
    for recipe, hint, training in hinted:
        out = meeting_map(recipe.student.maps()[hint.guided - 1][1], shapes[hint.hint - 1])
        for epoch in map(data.equivalent_epoch, range(1, training.epochs + 1)):
            needed = hint_tables(hint.hint, out, num_images, shapes, epoch)
            missing = [table for table in needed if (epoch, table) not in tables]
            if not needed:
                live += below[hint.hint - 1]
            elif needed[0] in missing:
                # the pass that computes this epoch's logits for stage 2 fills the table too, and is counted there
                with_logits = epoch <= recipe.stage2.epochs and not any(seen == epoch for seen, _ in tables)
                passes += 0.0 if with_logits else max(below[layer - 1] for layer, _ in missing)
                for layer, size in missing:
                    tables[epoch, (layer, size)] = hint_table_bytes(num_images, shapes[layer - 1][0], size)
    return HintWork(sum(tables.values()), passes, live / len(recipes))


def _shares(net: Net) -> list[float]:
    """The share of a teacher's multiply-adds up to each hint layer."""
    macs = [row.macs for row in layers(net)]
    return [sum(macs[: number + 1]) / sum(macs) for number in range(len(net.convs))]
