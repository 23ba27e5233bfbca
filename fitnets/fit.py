"""The one training loop. Teacher, hint stage and KD stage differ only in the loss they pass."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fitnets.config import Training
from fitnets.errors import Diverged
from fitnets.optim import optimiser, steer
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


class Run:
    """Where a training stands: everything that its epochs change, and so all that a checkpoint has to hold.

    What an epoch draws at random (order, views, dropout) follows from the seed and the epoch's number instead.
    """

    def __init__(self, module: nn.Module, training: Training, guided: int = 0):
        self.module, self.training = module, training
        self.optimizer = optimiser(training, module, guided)
        self.epoch = 0
        """How many epochs are done."""
        self.best: dict[str, Tensor] = {}
        """The weights that `keep_these` kept; empty before."""

    def keep_these(self) -> None:
        """Keep the weights as they are now, in the place of those kept before."""
        self.best = {name: tensor.clone() for name, tensor in state(self.module).items()}

    def take_kept(self) -> None:
        """Give the module the weights that were kept."""
        self.module.load_state_dict(self.best)

    def tensors(self) -> dict[str, Tensor]:
        """Weights, statistics and the optimiser's state, on the CPU; the kept weights too."""
        held = {f"module.{name}": tensor for name, tensor in state(self.module).items()}
        held |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for index, parameter in enumerate(self._parameters()):
            for name, tensor in self.optimizer.state.get(parameter, {}).items():
                held[f"optimizer.{index}.{name}"] = tensor.detach().cpu().contiguous()
        return held

    def restore(self, epoch: int, tensors: Mapping[str, Tensor]) -> None:
        """Stand where `tensors` were taken: after `epoch` epochs."""
        parameters = self._parameters()
        module: dict[str, Tensor] = {}
        for name, value in tensors.items():
            kind, field = name.split(".", 1)
            if kind in ("module", "best"):
                (module if kind == "module" else self.best)[field] = value
                continue
            index, field = field.split(".", 1)
            parameter = parameters[int(index)]
            # laid out in memory as its parameter: fused updates walk both side by side
            place = torch.empty_like(parameter if value.shape == parameter.shape else value, device=parameter.device)
            self.optimizer.state[parameter][field] = place.copy_(value)
        self.module.load_state_dict(module)
        self.epoch = epoch

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def fit(run: Run, epoch_loss: EpochLoss, *, num_images: int, seed: int, device: torch.device) -> Iterator[Epoch]:
    """Train from where `run` stands, yielding after each epoch so that the caller may evaluate, keep, or stop asking.

    Raises Diverged when an epoch's mean loss is not a finite number.
    """
    training, optimizer = run.training, run.optimizer
    steps_per_epoch = max(1, num_images // training.batch)
    run.module.train()
    while run.epoch < training.last:
        number = run.epoch + 1
        began = time.perf_counter()
        loss = epoch_loss(number)
        order = torch.Generator().manual_seed(seed_of("order", seed, number))
        total = torch.zeros((), device=device)
        with _dice(seed_of("steps", seed, number), device):
            for step, index_B in enumerate(shuffled(num_images, training.batch, order, device)):
                steer(optimizer, training, number, step, steps_per_epoch)
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
        run.epoch = number
        yield Epoch(number, mean_loss, time.perf_counter() - began)


@contextmanager
def _dice(seed: int, device: torch.device) -> Iterator[None]:
    """What the steps draw (dropout) follows from `seed`; the caller's own generators are left as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def state(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and statistics on the CPU, to be written or compared."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
