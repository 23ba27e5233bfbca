"""Muon for the filters of normalised convolutions and AdamW for the rest, as one optimiser.

Muon (Jordan et al. 2024) orthogonalises the momentum of a matrix before updating along it. `torch.optim.Muon` takes
matrices only and computes in bfloat16, so 4-D filters are updated here, in the weights' own precision; a test compares
the update rule with torch's. As in airbench94 (the same authors), a filter tensor is scaled to a fixed norm before
every update. Batch normalisation undoes the scale of a filter, so this changes only the relative size of the update.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fitnets.errors import InputError
from fitnets.nets.network import Layer
from fitnets.training.state_optimizer import StateOptimizer

COEFFICIENTS = (3.4445, -4.775, 2.0315)  # of the quintic Newton-Schulz iteration: steep at 0, so that few steps suffice
STEPS = 3
EPSILON = 1e-7  # the smallest norm that is divided by


class FilterMuon(StateOptimizer):
    """Muon with Nesterov momentum on weights of (filters, ...), each read as a matrix (filters, rest).

    `normalise`: before an update, scale the weight to the norm sqrt(filters), so that a filter's norm is about 1.
    """

    state_name = "momentum"

    def __init__(self, params: Any, lr: float, momentum: float, *, normalise: bool = True):
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self._normalise = normalise

    def update(self, parameter: Tensor, gradient: Tensor, buffer: Tensor, group: dict[str, Any]) -> None:
        """One step along the orthogonalised Nesterov momentum."""
        buffer.mul_(group["momentum"]).add_(gradient)
        ahead = gradient.add(buffer, alpha=group["momentum"])
        if self._normalise:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm().clamp_min(EPSILON))
        parameter.addcmul_(orthogonalised(ahead.flatten(1)).view_as(parameter), -group["lr"])


def orthogonalised(matrix_FR: Tensor, steps: int = STEPS) -> Tensor:
    """The matrix (F, R) with its singular values moved towards 1, by a few Newton-Schulz iterations."""
    a, b, c = COEFFICIENTS
    tall = matrix_FR.size(0) > matrix_FR.size(1)
    x = matrix_FR.T if tall else matrix_FR
    x = x / x.norm().clamp_min(EPSILON)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class CombinedOptimizer(torch.optim.Optimizer):
    """Several optimisers of different parameters as one, sharing their groups and state."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self._optimizers = optimizers
        for optimizer in optimizers:
            optimizer.state = self.state  # the groups are already shared dictionaries

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of each optimiser; `closure` is ignored."""
        for optimizer in self._optimizers:
            optimizer.step()


def muon_filters(module: nn.Module) -> set[Tensor]:
    """The filters that Muon updates: those of ReLU convolutions directly followed by batch normalisation.

    Raises InputError when there are none.
    """
    found = {
        part.linear.weight
        for part in module.modules()
        if isinstance(part, Layer)
        and isinstance(part.linear, nn.Conv2d)
        and isinstance(part.norm, nn.BatchNorm2d)
        and part.pieces == 1
    }
    if not found:
        raise InputError(
            '`optimizer` is "muon", but it moves only filters that are followed by batch normalisation and ReLU, and '
            'this network has none: give it `norm="batch"` and `pieces=1`, or choose "adamw".'
        )
    return found
