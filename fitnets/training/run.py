"""The state of a training run: weights, optimiser and the number of finished epochs."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fitnets.config import Training
from fitnets.training.optim import optimiser


class Run:
    """The state of a training run: everything that its epochs change, and so everything that a checkpoint must contain.

    The random numbers of an epoch (order, views, dropout) depend on the seed and the epoch's number only.
    """

    def __init__(self, module: nn.Module, training: Training, guided: int = 0):
        self.module, self.training = module, training
        self.optimizer = optimiser(training, module, guided)
        self.epoch = 0
        """The number of finished epochs."""
        self.best: dict[str, Tensor] = {}
        """The weights that `save_best` saved; empty until then."""

    def save_best(self) -> None:
        """Save the current weights as the best ones, replacing those saved before."""
        self.best = {name: tensor.clone() for name, tensor in state(self.module).items()}

    def restore_best(self) -> None:
        """Load the best weights into the module."""
        self.module.load_state_dict(self.best)

    def tensors(self) -> dict[str, Tensor]:
        """Weights, statistics and the optimiser's state, on the CPU; the best weights too."""
        tensors = {f"module.{name}": tensor for name, tensor in state(self.module).items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for index, parameter in enumerate(self._parameters()):
            for name, tensor in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{index}.{name}"] = tensor.detach().cpu().contiguous()
        return tensors

    def restore(self, epoch: int, tensors: Mapping[str, Tensor]) -> None:
        """Return to the state of `tensors`, taken after `epoch` epochs."""
        parameters = self._parameters()
        module: dict[str, Tensor] = {}
        for name, value in tensors.items():
            kind, field = name.split(".", 1)
            if kind in ("module", "best"):
                (module if kind == "module" else self.best)[field] = value
                continue
            index, field = field.split(".", 1)
            parameter = parameters[int(index)]
            # same memory layout as its parameter, which fused updates need
            place = torch.empty_like(parameter if value.shape == parameter.shape else value, device=parameter.device)
            self.optimizer.state[parameter][field] = place.copy_(value)
        self.module.load_state_dict(module)
        self.epoch = epoch

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def state(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and statistics on the CPU, to be written or compared."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
