"""Stage 1 and stage 2 as generators of Reports: their losses and scores. Nothing here stores a result.

Shape suffixes: B batch, N images, K classes, C channels, H rows, W columns.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitnets.config import Hint, LabelHint, Recipe, Report, Stage, Training
from fitnets.disk.store import Store
from fitnets.distill.losses import hint_loss, kd_loss, lambda_at
from fitnets.distill.regressor import Regressor, Target, can_centre
from fitnets.images.images import Images, Split, accuracy
from fitnets.images.views import Plan
from fitnets.nets.network import Network, initialise
from fitnets.nets.precision import computing
from fitnets.teacher.hints import Hints, sample
from fitnets.teacher.teacher import Teacher
from fitnets.training.checkpoints import Checkpoints
from fitnets.training.loop import EpochLoss, reported
from fitnets.training.run import Run
from fitnets.values.base import seed_of

REGRESSOR_RANGE = 0.05  # the paper's initial range for the regressor


@dataclass(frozen=True, slots=True)
class StageInputs:
    """A recipe and everything that its stages need; `student` is what they train."""

    recipe: Recipe
    images: Images
    teacher: Teacher
    store: Store | None
    checkpoints: Checkpoints
    student: Network

    def views(self, epoch: int) -> Callable[[Tensor], Tensor]:
        """For an epoch (from 1): a function from an index batch to its network input BCHW."""
        plan = Plan.draw(len(self.images.train), epoch, self.images.data, self.images.device)
        return lambda index_B: self.images.views(plan, index_B)

    def trained(
        self, stage: Stage, run: Run, epoch_loss: EpochLoss, score: Callable[[int], dict[str, float]]
    ) -> Generator[Report]:
        """Train one stage to its end; see `reported`."""
        num_images, device = len(self.images.train), self.images.device
        settings: Any = {"num_images": num_images, "seed": self.recipe.seed, "device": device}
        return reported(stage, run, epoch_loss, score, self.checkpoints, **settings)


def stage1(trial: StageInputs, hint: Hint, training: Training) -> Generator[Report]:
    """Eq. 3: the student's layers 1..guided and the regressor learn to predict the teacher's hint layer."""
    recipe, images, teacher = trial.recipe, trial.images, trial.teacher
    shape, pieces = teacher.hint_shapes[hint.hint - 1], teacher.hint_pieces[hint.hint - 1]
    guided_shape = recipe.student.maps()[hint.guided - 1][1]
    regressor = Regressor(guided_shape, shape, hint.regressor, pieces)
    initialise(regressor, recipe.init, REGRESSOR_RANGE, seed_of("regressor", recipe.seed))
    learner = nn.Sequential(trial.student.prefix(hint.guided), regressor)
    learner.to(images.device).to(memory_format=torch.channels_last)
    target = Target().to(images.device)
    logit_epochs = recipe.stage2.epochs if recipe.distill.lambda_start or recipe.distill.lambda_end else 0
    hints = Hints(teacher, hint.hint, regressor.out, images, recipe.precision, trial.store, logit_epochs=logit_epochs)
    if hint.scale == "r2":
        target.measure(hints.unaugmented(images.train, "calibration"), centre=can_centre(hint, pieces))
    val_target_BCHW, val_sample = target(hints.unaugmented(images.val, "validation")), sample(images.val)

    def epoch_loss(epoch: int) -> Callable[[Tensor], Tensor]:
        views, hint_of = trial.views(epoch), hints.epoch(epoch)

        def loss(index_B: Tensor) -> Tensor:
            x_BCHW = views(index_B)
            with computing(recipe.precision, images.device):
                predicted_BCHW = learner(x_BCHW)
            return hint_loss(predicted_BCHW, target(hint_of(index_B, x_BCHW)), scale=hint.scale)

        return loss

    def score(epoch: int) -> dict[str, float]:
        return {"hint_r2": r2(learner, val_target_BCHW, images, val_sample)}

    return trial.trained("stage 1", Run(learner, training), epoch_loss, score)


def label_stage1(trial: StageInputs, label_hint: LabelHint, training: Training) -> Generator[Report]:
    """Section 3.1's alternative: the student's layers 1..guided and a softmax on top of them learn the labels."""
    images, label_N = trial.images, trial.images.train.label_N
    learner = nn.Sequential(trial.student.prefix(label_hint.guided), label_head(trial.recipe, label_hint))
    learner.to(images.device).to(memory_format=torch.channels_last)

    def epoch_loss(epoch: int) -> Callable[[Tensor], Tensor]:
        views = trial.views(epoch)

        def loss(index_B: Tensor) -> Tensor:
            with computing(trial.recipe.precision, images.device):
                logits_BK = learner(views(index_B))
            return F.cross_entropy(logits_BK.float(), label_N[index_B])

        return loss

    def score(epoch: int) -> dict[str, float]:
        return {"val_accuracy": accuracy(learner, images, images.val)}

    return trial.trained("stage 1", Run(learner, training), epoch_loss, score)


def stage2(trial: StageInputs) -> Generator[Report]:
    """Eq. 2: the whole student learns the labels and the teacher's softened logits, while lambda decays.

    A joint label hint adds the cross-entropy of its own softmax to the loss.
    """
    recipe, images, student = trial.recipe, trial.images, trial.student
    training, distill, label_N = recipe.stage2, recipe.distill, images.train.label_N
    joint = recipe.label_hint if recipe.label_hint is not None and recipe.label_hint.joint else None
    learner: nn.Module = student
    if joint is not None:
        learner = Joint(student, joint.guided, label_head(recipe, joint)).to(images.device)

    def epoch_loss(epoch: int) -> Callable[[Tensor], Tensor]:
        views, lam = trial.views(epoch), lambda_at(epoch, training.epochs, distill)
        teacher_NK = trial.teacher.logits(images, epoch, trial.store, recipe.precision) if lam else None

        def loss(index_B: Tensor) -> Tensor:
            with computing(recipe.precision, images.device):
                logits_BK = learner(views(index_B))
            joint_loss: Tensor | float = 0.0
            if joint is not None:
                logits_BK, guided_BK = logits_BK
                joint_loss = F.cross_entropy(guided_BK.float(), label_N[index_B])
            if teacher_NK is None:
                return F.cross_entropy(logits_BK.float(), label_N[index_B]) + joint_loss
            return kd_loss(logits_BK, teacher_NK[index_B], label_N[index_B], lam, distill) + joint_loss

        return loss

    def score(epoch: int) -> dict[str, float]:
        lam = lambda_at(epoch, training.epochs, distill)
        return {"val_accuracy": accuracy(student, images, images.val), "lam": lam}

    guided = recipe.guided if recipe.stage1 is not None else None
    return trial.trained("stage 2", Run(learner, training, guided or 0), epoch_loss, score)


def label_head(recipe: Recipe, label_hint: LabelHint) -> nn.Sequential:
    """The logits of a softmax on the guided layer, with newly drawn weights."""
    features = math.prod(recipe.student.maps()[label_hint.guided - 1][1])
    head = nn.Sequential(nn.Flatten(), nn.Linear(features, recipe.student.classes))
    initialise(head, recipe.init, recipe.init_range, seed_of("label hint", recipe.seed))
    return head


class Joint(nn.Module):
    """A student and a softmax on its guided layer, computed in one pass."""

    def __init__(self, student: Network, guided: int, head: nn.Module):
        super().__init__()
        self.student, self.guided, self.head = student, guided, head

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Images BCHW to the student's logits BK and those of the softmax on the guided layer, BK."""
        guided_BCHW = self.student.prefix(self.guided)(x_BCHW)
        x = guided_BCHW
        for layer in self.student.layers[self.guided :]:
            x = layer(x)
        return x, self.head(guided_BCHW)


@torch.no_grad()
def r2(learner: nn.Module, target_BCHW: Tensor, images: Images, split: Split) -> float:
    """R2 of the predicted hints of a split, whose targets are `target_BCHW`: 1 is perfect, 0 is the channels' means."""
    was_training = learner.training
    learner.eval()
    predicted_BCHW = torch.cat([learner(x_BCHW) for x_BCHW, _ in images.batches(split)])
    learner.train(was_training)
    error = (predicted_BCHW - target_BCHW).square().sum()
    total = (target_BCHW - target_BCHW.mean((0, 2, 3), keepdim=True)).square().sum()
    return float(1 - error / total.clamp_min(1e-12))
