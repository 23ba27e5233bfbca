"""The two stages: a Recipe to a generator of Reports, ending in a Result.

Shape suffixes: N images, B batch, K classes.
"""

import platform
from collections.abc import Generator

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from fitnets.config import Hint, Outcome, Recipe, Report, Result, Training
from fitnets.data import EVAL_BATCH, Images, accuracy
from fitnets.errors import InputError
from fitnets.fit import fit
from fitnets.hints import Regressor, Target, standardises
from fitnets.losses import hint_loss, kd_loss, lambda_at
from fitnets.models import Network, initialise
from fitnets.store import Store
from fitnets.teacher import Teacher, state
from fitnets.value import seed_of, sha256
from fitnets.views import Plan

CALIBRATION = 1024  # images over which a hint's channels are standardised, and R2 is told
REGRESSOR_RANGE = 0.05  # the paper's initial range for the regressor


def distill(recipe: Recipe, images: Images, teacher: Teacher, store: Store | None) -> Generator[Report, None, Result]:
    """Run a recipe: stage 1 up to the guided layer, if there is a hint, then stage 2 on the whole student.

    Yields a Report after every epoch; to stop a trial is to stop asking. Returns the Result.
    Raises InputError when student, hint and teacher do not fit each other, Diverged when a loss is not finite.
    """
    _check(recipe, images, teacher)
    student = Network(recipe.student)
    initialise(student, recipe.init, recipe.init_range, seed_of("student", recipe.seed))
    student.to(images.device)
    reports: list[Report] = []
    if recipe.hint is not None and recipe.stage1 is not None:
        for report in _stage1(student, recipe, recipe.hint, recipe.stage1, images, teacher):
            reports.append(report)
            yield report
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
        versions={"python": platform.python_version(), "torch": torch.__version__, "device": str(images.device)},
    )
    return Result(outcome, weights)


def _stage1(
    student: Network, recipe: Recipe, hint: Hint, training: Training, images: Images, teacher: Teacher
) -> Generator[Report]:
    """Eq. 3: the student's layers 1..guided and the regressor learn to predict the teacher's hint layer."""
    shape, pieces = teacher.hint_shapes[hint.hint - 1], teacher.hint_pieces[hint.hint - 1]
    guided_shape = recipe.student.maps()[hint.guided - 1][1]
    guided = student.prefix(hint.guided)
    regressor = Regressor(guided_shape, shape, hint.regressor, pieces)
    initialise(regressor, recipe.init, REGRESSOR_RANGE, seed_of("regressor", recipe.seed))
    learner = nn.Sequential(guided, regressor).to(images.device)
    target = Target(teacher.prefix(hint.hint), regressor.out).to(images.device)
    if hint.scale == "r2":
        some = torch.arange(min(CALIBRATION, len(images.train)), device=images.device)
        still = Plan.still(len(images.train), images.device)
        target.calibrate(images.views(still, some), centre=standardises(hint, pieces))
    plan_of = _plans(images)

    def epoch_loss(epoch: int):  # type: ignore[no-untyped-def]
        plan = plan_of(epoch)

        def loss(index_B: Tensor) -> Tensor:
            x_BCHW = images.views(plan, index_B)
            return hint_loss(learner(x_BCHW), target(x_BCHW), scale=hint.scale)

        return loss

    for epoch in fit(
        learner, epoch_loss, training, num_images=len(images.train), seed=recipe.seed, device=images.device
    ):
        yield Report(
            stage="stage 1",
            epoch=epoch.number,
            epochs=training.epochs,
            loss=epoch.loss,
            hint_r2=r2(learner, target, images),
            seconds=epoch.seconds,
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
        if lam == 0:
            return lambda index_B: nn.functional.cross_entropy(student(images.views(plan, index_B)), label_N[index_B])
        logits_NK = teacher.logits(images, epoch, store)

        def loss(index_B: Tensor) -> Tensor:
            return kd_loss(student(images.views(plan, index_B)), logits_NK[index_B], label_N[index_B], lam, distill)

        return loss

    for epoch in fit(
        student, epoch_loss, training, num_images=len(images.train), seed=recipe.seed + 1, device=images.device
    ):
        yield Report(
            stage="stage 2",
            epoch=epoch.number,
            epochs=training.epochs,
            loss=epoch.loss,
            val_accuracy=accuracy(student, images, images.val),
            lam=lambda_at(epoch.number, training.epochs, distill),
            seconds=epoch.seconds,
        )


@torch.no_grad()
def r2(learner: nn.Module, target: Target, images: Images) -> float:
    """How much of the hint's variance over validation images is predicted: 1 is all of it, 0 is the channels' means."""
    was_training = learner.training
    learner.eval()
    predicted, wanted, seen = [], [], 0
    for x_BCHW, _ in images.batches(images.val):
        predicted.append(learner(x_BCHW))
        wanted.append(target(x_BCHW))
        seen += len(x_BCHW)
        if seen >= max(CALIBRATION, EVAL_BATCH):
            break
    learner.train(was_training)
    wanted_BCHW = torch.cat(wanted)
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
