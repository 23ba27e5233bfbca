"""A base for optimisers that PyTorch lacks: each parameter is updated from its gradient and one tensor of state."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def rate_of(group: dict[str, Any]) -> Tensor:
    """A group's learning rate as a tensor where its weights are, which a recorded step reads anew in each update.

    On a CPU in float64, as a number would be, which gives the same update bit for bit. CUDA's fused updates take
    float32 only.
    """
    device = group["params"][0].device
    return torch.tensor(group["lr"], dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)


class StateOptimizer(torch.optim.Optimizer):
    """Updates every parameter from its gradient and one state tensor of the same shape, initially 0."""

    state_name: str
    """The name of that tensor in the optimiser's state, and so in checkpoints."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; its learning rate becomes a tensor of its own."""
        super().add_param_group(param_group)
        self.param_groups[-1]["lr"] = rate_of(self.param_groups[-1])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; `closure` is ignored."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state[self.state_name] = torch.zeros_like(parameter)
                self.update(parameter, parameter.grad, state[self.state_name], group)

    def update(self, parameter: Tensor, gradient: Tensor, buffer: Tensor, group: dict[str, Any]) -> None:
        """Change `buffer`, then `parameter`, in place."""
        raise NotImplementedError
