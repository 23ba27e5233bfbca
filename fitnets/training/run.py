"""Where a training stands: weights, optimiser and the number of epochs that are done."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fitnets.config import Training
from fitnets.training.optim import optimiser


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
        """The weights that `save_best` saved; empty before."""

    def save_best(self) -> None:
        """Keep the weights as they are now, in the place of those kept before."""
        self.best = {name: tensor.clone() for name, tensor in state(self.module).items()}

    def restore_best(self) -> None:
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


def state(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and statistics on the CPU, to be written or compared."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
