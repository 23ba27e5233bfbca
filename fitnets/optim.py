"""Optimisers and learning-rate schedules by value."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from fitnets.config import Training

FLOOR = 1e-5  # the smallest divisor of the paper's RMSProp (pylearn2's max_scaling 1e5)
WARM_UP = 0.25  # the share of a one-cycle that the learning rate rises for


class FloorRMSprop(torch.optim.Optimizer):
    """RMSProp as the paper ran it: step = lr * g / max(sqrt(v), 1e-5), v a running mean of g^2 with decay 0.9.

    `torch.optim.RMSprop` adds its epsilon instead; where gradients are tiny, as in a deep net started at +-0.005,
    the two differ.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; there is no closure."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["mean_square"] = torch.zeros_like(parameter)
                mean_square: Tensor = state["mean_square"]
                mean_square.mul_(0.9).addcmul_(parameter.grad, parameter.grad, value=0.1)
                parameter.addcdiv_(parameter.grad, mean_square.sqrt().clamp_min_(FLOOR), value=-group["lr"])


def optimiser(training: Training, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """A fresh optimiser; weight decay is on matrices and filters only, not on biases and normalisation."""
    parameters = list(parameters)
    if training.optimizer == "rmsprop":
        return FloorRMSprop(parameters, training.lr)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if training.optimizer == "sgd":
        nesterov = training.momentum > 0
        return torch.optim.SGD(groups, lr=training.lr, momentum=training.momentum, nesterov=nesterov, fused=True)
    # fused: the unfused one reads its step counter from a tensor, once for every parameter and step
    return torch.optim.AdamW(groups, lr=training.lr, fused=True)


def lr_at(progress: float, training: Training) -> float:
    """The learning rate when the share `progress` of all steps is done, 0 to 1."""
    if training.schedule == "constant":
        return training.lr
    if training.schedule == "one-cycle":
        if progress < WARM_UP:
            return training.lr * max(progress, 0.01) / WARM_UP
        progress = (progress - WARM_UP) / (1 - WARM_UP)
    return training.lr * 0.5 * (1 + math.cos(math.pi * progress))
