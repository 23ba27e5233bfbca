"""The two stages: a Recipe to a generator of Reports, ending in a Result.

Shape suffixes: N images, B batch, K classes.
"""

import json
import platform
import time
from collections.abc import Generator

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from fitnets.config import Hint, Outcome, Recipe, Report, Result, Training
from fitnets.data import Images, accuracy
from fitnets.errors import InputError
from fitnets.fit import fit
from fitnets.hints import Hints, Regressor, Target, standardises
from fitnets.losses import hint_loss, kd_loss, lambda_at
from fitnets.models import Network, initialise
from fitnets.precision import computing
from fitnets.store import Store, key
from fitnets.teacher import Teacher, state
from fitnets.value import seed_of, sha256
from fitnets.views import Plan

REGRESSOR_RANGE = 0.05  # the paper's initial range for the regressor


def distill(recipe: Recipe, images: Images, teacher: Teacher, store: Store | None) -> Generator[Report, None, Result]:
    """Run a recipe: stage 1 up to the guided layer, if there is a hint, then stage 2 on the whole student.

    Yields a Report after every epoch; to stop a trial is to stop asking. Returns the Result.
    Raises InputError when student, hint and teacher do not fit each other, Diverged when a loss is not finite.
    """
    _check(recipe, images, teacher)
    student = Network(recipe.student)
    initialise(student, recipe.init, recipe.init_range, seed_of("student", recipe.seed))
    student.to(images.device).to(memory_format=torch.channels_last)
    reports: list[Report] = []
    prefix, reused = None, False
    if recipe.hint is not None and recipe.stage1 is not None:
        prefix = prefix_key(recipe, images, teacher)
        stored = store.get("prefix", prefix) if store is not None else None
        reused = stored is not None
        stage1 = _stage1(student, recipe, recipe.hint, recipe.stage1, images, teacher, store)
        for report in stage1 if stored is None else _replayed(student.prefix(recipe.hint.guided), stored):
            reports.append(report)
            yield report
        if store is not None and stored is None:
            store.put("prefix", prefix, _kept(student.prefix(recipe.hint.guided), reports))
    for report in _stage2(student, recipe, images, teacher, store):
        reports.append(report)
        yield report
    weights = save_tensors(state(student))
    accuracies = [report.val_accuracy for report in reports if report.val_accuracy is not None]
    r2s = [report.hint_r2 for report in reports if report.hint_r2 is not None]
    outcome = Outcome(
        val_accuracy=accuracies[-1],
        best_val_accuracy=max(accuracies),
        hint_r2=r2s[-1] if r2s else None,
        seconds=sum(report.seconds for report in reports),
        weights_sha256=sha256(weights),
        teacher=teacher.digest,
        data=images.digest,
        prefix=prefix,
        prefix_reused=reused,
        versions={"python": platform.python_version(), "torch": torch.__version__, "device": str(images.device)},
    )
    return Result(outcome, weights)


def result_of(stages: Generator[Report, None, Result]) -> Result:
    """Run a recipe to its end, and let nobody hear of the epochs."""
    while True:
        try:
            next(stages)
        except StopIteration as stop:
            result: Result = stop.value
            return result


def prefix_key(recipe: Recipe, images: Images, teacher: Teacher) -> str:
    """The digest of everything that stage 1 depends on, and of nothing else: trials with equal keys share it."""
    assert recipe.hint is not None and recipe.stage1 is not None
    student, data = recipe.student, images.data
    return key(
        layers=student.changed(convs=student.convs[: recipe.hint.guided], dense=(), classes=2).model_dump(mode="json"),
        hint=recipe.hint.model_dump(mode="json"),
        stage1=recipe.stage1.model_dump(mode="json"),
        init=(recipe.init, recipe.init_range, recipe.seed, recipe.precision),
        teacher=teacher.digest,
        images=images.digest,
        views=(data.shift, data.flip, data.seed),
        torch=(torch.__version__, images.device.type),
    )


def _kept(guided: nn.Module, reports: list[Report]) -> dict[str, bytes]:
    """A trained prefix as files."""
    told = json.dumps([report.model_dump(mode="json") for report in reports]).encode()
    return {"prefix.safetensors": save_tensors(state(guided)), "reports.json": told}


def _replayed(guided: nn.Module, stored: dict[str, bytes]) -> Generator[Report]:
    """Stage 1 as an earlier trial ran it: its Reports, so that the curves are whole, in no time; then its weights."""
    for report in json.loads(stored["reports.json"]):
        yield Report.model_validate(report | {"seconds": 0.0})
    guided.load_state_dict(load_tensors(stored["prefix.safetensors"]))


def _stage1(
    student: Network,
    recipe: Recipe,
    hint: Hint,
    training: Training,
    images: Images,
    teacher: Teacher,
    store: Store | None,
) -> Generator[Report]:
    """Eq. 3: the student's layers 1..guided and the regressor learn to predict the teacher's hint layer."""
    shape, pieces = teacher.hint_shapes[hint.hint - 1], teacher.hint_pieces[hint.hint - 1]
    guided_shape = recipe.student.maps()[hint.guided - 1][1]
    regressor = Regressor(guided_shape, shape, hint.regressor, pieces)
    initialise(regressor, recipe.init, REGRESSOR_RANGE, seed_of("regressor", recipe.seed))
    learner = nn.Sequential(student.prefix(hint.guided), regressor)
    learner.to(images.device).to(memory_format=torch.channels_last)
    target = Target(teacher.prefix(hint.hint), regressor.out).to(images.device)
    hints = Hints(teacher, hint.hint, target, images, recipe.precision, store)
    if hint.scale == "r2":
        target.measure(hints.still(images.train, "calibration"), centre=standardises(hint, pieces))
    wanted_BCHW = target.scaled(hints.still(images.val, "validation"))
    plan_of = _plans(images)

    def epoch_loss(epoch: int):  # type: ignore[no-untyped-def]
        plan, hint_of = plan_of(epoch), hints.epoch(epoch)

        def loss(index_B: Tensor) -> Tensor:
            x_BCHW = images.views(plan, index_B)
            with computing(recipe.precision, images.device):
                predicted_BCHW = learner(x_BCHW)
            return hint_loss(predicted_BCHW, target.scaled(hint_of(index_B, x_BCHW)), scale=hint.scale)

        return loss

    for epoch in fit(
        learner, epoch_loss, training, num_images=len(images.train), seed=recipe.seed, device=images.device
    ):
        began = time.perf_counter()
        score = r2(learner, wanted_BCHW, images)
        yield Report(
            stage="stage 1",
            epoch=epoch.number,
            epochs=training.epochs,
            loss=epoch.loss,
            hint_r2=score,
            seconds=epoch.seconds + time.perf_counter() - began,
        )


def _stage2(
    student: Network, recipe: Recipe, images: Images, teacher: Teacher, store: Store | None
) -> Generator[Report]:
    """Eq. 2: the whole student on the labels and the teacher's softened logits, lambda decaying."""
    training, distill = recipe.stage2, recipe.distill
    plan_of = _plans(images)
    label_N = images.train.label_N

    def epoch_loss(epoch: int):  # type: ignore[no-untyped-def]
        plan, lam = plan_of(epoch), lambda_at(epoch, training.epochs, distill)
        taught_NK = teacher.logits(images, epoch, store, recipe.precision) if lam else None

        def loss(index_B: Tensor) -> Tensor:
            with computing(recipe.precision, images.device):
                logits_BK = student(images.views(plan, index_B))
            if taught_NK is None:
                return nn.functional.cross_entropy(logits_BK.float(), label_N[index_B])
            return kd_loss(logits_BK, taught_NK[index_B], label_N[index_B], lam, distill)

        return loss

    for epoch in fit(
        student, epoch_loss, training, num_images=len(images.train), seed=recipe.seed + 1, device=images.device
    ):
        began = time.perf_counter()
        right = accuracy(student, images, images.val)
        yield Report(
            stage="stage 2",
            epoch=epoch.number,
            epochs=training.epochs,
            loss=epoch.loss,
            val_accuracy=right,
            lam=lambda_at(epoch.number, training.epochs, distill),
            seconds=epoch.seconds + time.perf_counter() - began,
        )


@torch.no_grad()
def r2(learner: nn.Module, wanted_BCHW: Tensor, images: Images) -> float:
    """How much of the first validation images' hints is predicted: 1 is all of it, 0 is the channels' means."""
    was_training = learner.training
    learner.eval()
    predicted, missing = [], len(wanted_BCHW)
    for x_BCHW, _ in images.batches(images.val):
        predicted.append(learner(x_BCHW[:missing]))
        missing -= len(predicted[-1])
        if not missing:
            break
    learner.train(was_training)
    error = (torch.cat(predicted) - wanted_BCHW).square().sum()
    spread = (wanted_BCHW - wanted_BCHW.mean((0, 2, 3), keepdim=True)).square().sum()
    return float(1 - error / spread.clamp_min(1e-12))


def _plans(images: Images):  # type: ignore[no-untyped-def]
    return lambda epoch: Plan.draw(len(images.train), epoch, images.data, images.device)


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
