"""A base for optimisers that PyTorch lacks: each parameter is updated from its gradient and one tensor of state."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class StateOptimizer(torch.optim.Optimizer):
    """Updates every parameter from its gradient and one state tensor of the same shape, initially 0."""

    state_name: str
    """The name of that tensor in the optimiser's state, and so in checkpoints."""

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
