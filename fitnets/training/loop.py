"""The training loop, shared by teacher, stage 1 and stage 2, which differ only in the loss they pass."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from fitnets.config import Report, Stage
from fitnets.errors import Diverged
from fitnets.images.views import shuffled
from fitnets.training.checkpoints import Checkpoints
from fitnets.training.optim import apply_schedules
from fitnets.training.run import Run
from fitnets.training.step import Step, quickest
from fitnets.training.stopping import chosen_epoch, is_over
from fitnets.values.base import seed_of

EpochLoss = Callable[[int], Callable[[Tensor], Tensor]]
"""For an epoch (from 1): a function from an index batch to its loss, a scalar on the device."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The result of one epoch: its number (from 1), mean loss, and seconds."""

    number: int
    loss: float
    seconds: float


def fit(run: Run, epoch_loss: EpochLoss, *, num_images: int, seed: int, device: torch.device) -> Iterator[Epoch]:
    """Train `run` onwards, yielding after each epoch so that the caller can evaluate, save, or stop iterating.

    Raises Diverged when an epoch's mean loss is not a finite number.
    """
    training, optimizer = run.training, run.optimizer
    run.module.train()
    while run.epoch < training.last:
        number = run.epoch + 1
        began = time.perf_counter()
        order = torch.Generator().manual_seed(seed_of("order", seed, number))
        batches = list(shuffled(num_images, training.batch, order, device))
        step = Step(optimizer, epoch_loss(number), batches[0])
        update = quickest(step)
        with _seeded(seed_of("steps", seed, number), device):
            for position, index_B in enumerate(batches):
                apply_schedules(optimizer, training, number, position, len(batches))
                step.index_B.copy_(index_B)
                update()
        mean_loss = float(step.total) / len(batches)  # the epoch's only read from the device
        del step, update  # they hold the epoch's tables: free them before the next epoch's are loaded
        if not math.isfinite(mean_loss):
            raise Diverged(
                f"the loss became {mean_loss} in epoch {number}: lower the learning rate (now {training.lr:g})."
            )
        run.epoch = number
        yield Epoch(number, mean_loss, time.perf_counter() - began)


def reported(
    stage: Stage,
    run: Run,
    epoch_loss: EpochLoss,
    score: Callable[[int], dict[str, float]],
    checkpoints: Checkpoints,
    *,
    num_images: int,
    seed: int,
    device: torch.device,
) -> Generator[Report]:
    """Train a stage, from its checkpoint if there is one: a Report for each epoch, recorded before it is yielded.

    `score` returns the fields of an epoch's Report beside its loss. At the end the module has the weights that
    `Training.keep` selects. Batch orders and dropout depend on `seed` and the stage's name, so that no two stages draw
    the same. Raises Diverged when a loss or a score is not finite, after deleting the checkpoints.
    """
    checkpoints.resume(run, stage)
    training = run.training
    measures = [report.measure for report in checkpoints.reports if report.stage == stage]
    epochs = fit(run, epoch_loss, num_images=num_images, seed=seed_of(stage, seed), device=device)
    try:
        while not is_over(training, measures):
            epoch = next(epochs)
            began = time.perf_counter()
            scores = score(epoch.number)
            for name, value in scores.items():
                if not math.isfinite(value):  # the last step of an epoch may diverge after its loss was computed
                    raise Diverged(
                        f"`{name}` became {value} in epoch {epoch.number}: lower the learning rate "
                        f"(now {training.lr:g})."
                    )
            report = Report.model_validate(
                {"stage": stage, "epoch": epoch.number, "epochs": training.last, "loss": epoch.loss}
                | scores
                | {"seconds": epoch.seconds + time.perf_counter() - began}
            )
            measures.append(report.measure)
            if training.keep == "best" and chosen_epoch(training, measures) == epoch.number:
                run.save_best()
            checkpoints.add(run, report)
            yield report
    except Diverged:
        checkpoints.remove()
        raise
    checkpoints.write(run)  # always at the end of a stage
    if training.keep == "best":
        run.restore_best()


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers drawn inside (dropout) depend on `seed`; the caller's generators are restored afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
