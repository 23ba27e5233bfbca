"""Runs a Recipe, as a generator of Reports that returns a Result: its stages, its checkpoints, its retraining."""

import platform
from collections.abc import Generator

import torch
from safetensors.torch import save as save_tensors

from fitnets.config import Outcome, Recipe, Report, Result
from fitnets.disk.store import Store, key
from fitnets.distill.stages import StageInputs, label_stage1, stage1, stage2
from fitnets.errors import InputError
from fitnets.images.images import Images, judged
from fitnets.nets.network import Network, initialise
from fitnets.nets.precision import use_ieee_float32
from fitnets.teacher.teacher import Teacher
from fitnets.training.checkpoints import Checkpoints
from fitnets.training.run import state
from fitnets.training.stopping import chosen_epoch
from fitnets.values.base import seed_of, sha256


def distill(
    recipe: Recipe, images: Images, teacher: Teacher, store: Store | None, *, keep: bool = False
) -> Generator[Report, None, Result]:
    """Run a recipe: stage 1 up to the guided layer, if there is a hint, then stage 2 on the whole student.

    Yields a Report after every epoch and returns the Result; a caller stops a trial by not asking for the next Report.
    An interrupted run continues from its last checkpoint in `store` and reports the earlier epochs again. The
    checkpoint of a finished run is deleted, unless `keep` is set: then, until `discard`, the run can be repeated
    without training. Raises InputError when student, hint and teacher do not fit together, Diverged when a loss is not
    finite.
    """
    use_ieee_float32()
    _check(recipe, images, teacher)
    run = run_key(recipe, images, teacher)
    result = yield from (_retrained if recipe.retrain else _once)(recipe, images, teacher, store, run)
    if not keep:
        discard(recipe, images, teacher, store)
    return result


def discard(recipe: Recipe, images: Images, teacher: Teacher, store: Store | None) -> None:
    """Delete the checkpoints of a run whose Result is stored."""
    run = run_key(recipe, images, teacher)
    for name in (run, _retraining_key(run)):
        Checkpoints(store, name).remove()


def _once(
    recipe: Recipe, images: Images, teacher: Teacher, store: Store | None, run: str
) -> Generator[Report, None, Result]:
    """Both stages, from the beginning or from a checkpoint, which is not deleted."""
    student = Network(recipe.student)
    initialise(student, recipe.init, recipe.init_range, seed_of("student", recipe.seed))
    student.to(images.device).to(memory_format=torch.channels_last)
    checkpoints = Checkpoints(store, run)
    yield from checkpoints.replayed()
    trial = StageInputs(recipe, images, teacher, store, checkpoints, student)
    if recipe.stage1 is not None and checkpoints.stage != "stage 2":
        if recipe.hint is not None:
            yield from stage1(trial, recipe.hint, recipe.stage1)
        elif recipe.label_hint is not None:
            yield from label_stage1(trial, recipe.label_hint, recipe.stage1)
    yield from stage2(trial)
    return _result(trial)


def _retrained(
    recipe: Recipe, images: Images, teacher: Teacher, store: Store | None, run: str
) -> Generator[Report, None, Result]:
    """A run to choose the epochs, then a second run of that length on training and validation images together."""
    first = yield from _once(recipe, images, teacher, store, run)
    second = _once(_retraining_recipe(recipe, first.outcome), images.whole(), teacher, store, _retraining_key(run))
    seconds = first.outcome.seconds
    while True:
        try:
            report = next(second)
        except StopIteration as stop:
            weights: bytes = stop.value.weights
            outcome = first.outcome.changed(weights_sha256=sha256(weights), seconds=seconds, retrained=True)
            return Result(outcome, weights, first.classes, first.right)
        seconds += report.seconds
        yield report.changed(retraining=True, val_accuracy=None, hint_r2=None)  # measured on images it trains on


def _retraining_recipe(recipe: Recipe, first: Outcome) -> Recipe:
    """The recipe with each stage stopped at the epoch that the first run chose; schedules are unchanged."""
    fixed = {"keep": "last", "patience": None}
    stage1 = None if recipe.stage1 is None else recipe.stage1.changed(until=first.stage1_epoch, **fixed)
    return recipe.changed(stage1=stage1, stage2=recipe.stage2.changed(until=first.stage2_epoch, **fixed))


def _retraining_key(run: str) -> str:
    """The name of the second run's checkpoints: it depends on the same things as the first run's."""
    return f"second-{run}"


def _result(trial: StageInputs) -> Result:
    recipe, reports = trial.recipe, trial.checkpoints.reports
    weights = save_tensors(state(trial.student))
    first = [report for report in reports if report.stage == "stage 1"]
    second = [report for report in reports if report.stage == "stage 2"]
    stage1_epoch = None if recipe.stage1 is None else chosen_epoch(recipe.stage1, [report.measure for report in first])
    stage2_epoch = chosen_epoch(recipe.stage2, [report.measure for report in second])
    accuracies = [report.measure for report in second]
    outcome = Outcome(
        val_accuracy=accuracies[stage2_epoch - 1],
        best_val_accuracy=max(accuracies),
        stage1_epoch=stage1_epoch,
        stage2_epoch=stage2_epoch,
        hint_r2=first[stage1_epoch - 1].hint_r2 if stage1_epoch is not None else None,
        seconds=sum(report.seconds for report in reports),
        weights_sha256=sha256(weights),
        teacher=trial.teacher.digest,
        data=trial.images.digest,
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": str(trial.images.device),
        },
    )
    return Result(outcome, weights, *judged(trial.student, trial.images, trial.images.val))


def result_of(stages: Generator[Report, None, Result]) -> Result:
    """Run a recipe to its end and discard the Reports."""
    while True:
        try:
            next(stages)
        except StopIteration as stop:
            result: Result = stop.value
            return result


def run_key(recipe: Recipe, images: Images, teacher: Teacher) -> str:
    """The name of a run's checkpoints: the recipe's digest, then a digest of everything else the run depends on."""
    context = key(
        teacher=teacher.digest,
        images=images.digest,
        views=images.data.views,
        torch=(torch.__version__, images.device.type),
    )
    return f"{recipe.digest()}-{context[:16]}"


def _check(recipe: Recipe, images: Images, teacher: Teacher) -> None:
    student = recipe.student
    if (student.input, student.classes) != (images.shape, len(images.classes)):
        raise InputError(
            f"the student takes images of {student.input} and tells {student.classes} classes apart, but the images "
            f"are {images.shape} with {len(images.classes)} classes: change `student.input` and `student.classes`."
        )
    if recipe.hint is not None and recipe.hint.hint > len(teacher.hint_shapes):
        raise InputError(
            f"`hint.hint` is {recipe.hint.hint}, but the teacher has {len(teacher.hint_shapes)} hint layers: "
            f"choose 1..{len(teacher.hint_shapes)}."
        )
