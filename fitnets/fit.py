"""The one training loop. Teacher, hint stage and KD stage differ only in the loss they pass."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fitnets.config import Training
from fitnets.errors import Diverged
from fitnets.optim import lr_at, optimiser
from fitnets.value import seed_of
from fitnets.views import shuffled

EpochLoss = Callable[[int], Callable[[Tensor], Tensor]]
"""For an epoch (from 1): the loss of an index batch, a scalar on the device."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch's news: its number (from 1), mean loss, and seconds."""

    number: int
    loss: float
    seconds: float


def fit(
    module: nn.Module, epoch_loss: EpochLoss, training: Training, *, num_images: int, seed: int, device: torch.device
) -> Iterator[Epoch]:
    """Train `module`, yielding after each epoch so that the caller may evaluate, report, or stop asking.

    Raises Diverged when an epoch's mean loss is not a finite number.
    """
    optimizer = optimiser(training, module.parameters())
    steps_per_epoch = max(1, num_images // training.batch)
    module.train()
    for number in range(1, training.epochs + 1):
        began = time.perf_counter()
        loss = epoch_loss(number)
        order = torch.Generator().manual_seed(seed_of("order", seed, number))
        total = torch.zeros((), device=device)
        for step, index_B in enumerate(shuffled(num_images, training.batch, order, device)):
            done = (number - 1 + step / steps_per_epoch) / training.epochs
            for group in optimizer.param_groups:
                group["lr"] = lr_at(done, training)
            step_loss = loss(index_B)
            step_loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += step_loss.detach()
        del loss  # it may hold the epoch's tables: the next epoch's would come on top of them
        mean_loss = float(total) / steps_per_epoch  # the epoch's only device read
        if not math.isfinite(mean_loss):
            raise Diverged(
                f"the loss became {mean_loss} in epoch {number}: lower the learning rate (now {training.lr:g})."
            )
        yield Epoch(number, mean_loss, time.perf_counter() - began)
