"""The step of an optimiser that PyTorch does not have: each parameter from its gradient and one tensor of state."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Remembering(torch.optim.Optimizer):
    """Moves every parameter by itself, from its gradient and one tensor of its shape that is remembered, at first 0."""

    remembered: str

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; there is no closure."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state[self.remembered] = torch.zeros_like(parameter)
                self.move(parameter, parameter.grad, state[self.remembered], group)

    def move(self, parameter: Tensor, gradient: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        """Change `memory`, then `parameter`, in place."""
        raise NotImplementedError
