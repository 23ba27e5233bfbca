"""The optimiser, learning rate, momentum and norm limits that a `Training` value describes."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from fitnets.config import Training
from fitnets.nets.network import parts
from fitnets.training.muon import CombinedOptimizer, FilterMuon, muon_filters
from fitnets.training.state_optimizer import StateOptimizer, rate_of
from fitnets.values.updates import ExponentialDecay, LinearDecay, MaxNorm

FLOOR = 1e-5  # the smallest divisor of the paper's RMSProp (pylearn2's max_scaling 1e5)
WARM_UP = 0.25  # the share of a one-cycle schedule in which the learning rate rises


class FloorRMSprop(StateOptimizer):
    """RMSProp as the paper ran it: step = lr * g / max(sqrt(v), 1e-5), where v is a running mean of g^2, decay 0.9.

    `torch.optim.RMSprop` adds its epsilon instead; with tiny gradients, as in a deep net initialised within +-0.005,
    the two differ.
    """

    state_name = "mean_square"

    def __init__(self, params: Any, lr: float):
        super().__init__(params, {"lr": lr})

    def update(self, parameter: Tensor, gradient: Tensor, buffer: Tensor, group: dict[str, Any]) -> None:
        """One step along the gradient, divided by its root mean square."""
        buffer.mul_(0.9).addcmul_(gradient, gradient, value=0.1)
        parameter.addcdiv_(gradient * -group["lr"], buffer.sqrt().clamp_min_(FLOOR))


class ClassicalMomentum(StateOptimizer):
    """SGD as the paper's teachers were trained: v = momentum * v - lr * g, then v is added to the weights.

    `torch.optim.SGD` leaves the learning rate out of v; with a decaying learning rate, as theirs, the two differ.
    """

    state_name = "velocity"

    def __init__(self, params: Any, lr: float, momentum: float):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    def update(self, parameter: Tensor, gradient: Tensor, buffer: Tensor, group: dict[str, Any]) -> None:
        """One step by the velocity."""
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        buffer.mul_(group["momentum"]).addcmul_(gradient, -group["lr"])
        parameter.add_(buffer)


def optimiser(training: Training, module: nn.Module, guided: int = 0) -> torch.optim.Optimizer:
    """A new optimiser of the module's weights, which enforces `training.max_norm` after every step.

    Weight decay applies to matrices and filters only, not to biases and normalisation. The learning rate of the
    filters and biases of layers 1..`guided` is multiplied by `training.lr_scale.guided`; normalisation has the rate of
    the training. Learning rates are tensors: see `rate_of`.
    """
    groups = _groups(training, module, guided)
    if training.optimizer == "muon":
        optimizer: torch.optim.Optimizer = _muon(training, module, groups)
    elif training.optimizer == "rmsprop":
        optimizer = FloorRMSprop(groups, training.lr)
    elif training.optimizer == "adamw":
        optimizer = _adamw(groups, training.lr)
    elif training.nesterov:
        nesterov = training.momentum > 0
        optimizer = torch.optim.SGD(groups, lr=training.lr, momentum=training.momentum, nesterov=nesterov, fused=True)
        _with_rate_tensors(optimizer)
    else:
        optimizer = ClassicalMomentum(groups, training.lr, training.momentum)
    if training.max_norm is not None:
        limits = norm_limits(training.max_norm, module)
        optimizer.register_step_post_hook(lambda *_: limit_norms(limits))
    return optimizer


def apply_schedules(optimizer: torch.optim.Optimizer, training: Training, epoch: int, step: int, steps: int) -> None:
    """Set every group's learning rate and momentum for update `step` (from 0) of the `steps` in `epoch` (from 1)."""
    rate = lr_at(training, epoch, step, steps)
    for group in optimizer.param_groups:
        group["lr"].fill_(rate * group["scale"])
        if "momentum" in group:
            group["momentum"] = momentum_at(training, epoch)


def lr_at(training: Training, epoch: int, step: int, steps: int) -> float:
    """The learning rate of update `step` (from 0) of the `steps` in `epoch` (from 1)."""
    schedule = training.schedule
    if isinstance(schedule, LinearDecay):
        return training.lr * (1 - (1 - schedule.factor) * min(1.0, epoch / schedule.by))
    if isinstance(schedule, ExponentialDecay):
        updates = (epoch - 1) * steps + step
        return max(schedule.least, training.lr * math.exp(-updates * math.log(schedule.divisor)))
    if schedule == "constant":
        return training.lr
    progress = (epoch - 1 + step / steps) / training.epochs
    if schedule == "linear":
        return training.lr * (1 - progress)
    if schedule == "one-cycle":
        if progress < WARM_UP:
            return training.lr * max(progress, 0.01) / WARM_UP
        progress = (progress - WARM_UP) / (1 - WARM_UP)
    return training.lr * 0.5 * (1 + math.cos(math.pi * progress))


def momentum_at(training: Training, epoch: int) -> float:
    """The momentum in `epoch` (from 1)."""
    if training.optimizer == "muon":
        return training.muon.momentum
    ramp = training.momentum_ramp
    if ramp is None:
        return training.momentum
    return training.momentum + (ramp.to - training.momentum) * min(1.0, (epoch - 1) / (ramp.by - 1))


def norm_limits(max_norm: MaxNorm, module: nn.Module) -> list[tuple[Tensor, float]]:
    """Every weight of the module, with the largest norm allowed for its filters or columns."""
    limits = []
    for part in parts(module):
        limit = (
            max_norm.convs[min(part.number, len(max_norm.convs)) - 1]
            if part.role == "conv"
            else float(getattr(max_norm, part.role))
        )
        limits.append((part.linear.weight, limit))
    return limits


@torch.no_grad()
def limit_norms(limits: list[tuple[Tensor, float]]) -> None:
    """Scale every filter or column (a row of `weight`, one linear piece of one unit) down to its limit."""
    for weight, limit in limits:
        norm = weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.ndim - 1))
        weight.mul_(norm.clamp_max(limit) / (1e-7 + norm))


def _groups(training: Training, module: nn.Module, guided: int) -> list[dict[str, Any]]:
    """The module's parameters, grouped by their learning-rate factor and by whether weight decay applies."""
    scale_of: dict[int, float] = {}
    if training.lr_scale is not None:
        for part in parts(module):
            scale = float(getattr(training.lr_scale, part.role))
            if part.role != "regressor" and part.number <= guided:
                scale *= training.lr_scale.guided
            scale_of |= {id(parameter): scale for parameter in part.linear.parameters()}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        decays = parameter.ndim > 1 and not name.endswith("bias")
        groups.setdefault((scale_of.get(id(parameter), 1.0), decays), []).append(parameter)
    return [
        {"params": parameters, "scale": scale, "weight_decay": training.weight_decay if decays else 0.0}
        for (scale, decays), parameters in groups.items()
    ]


def _adamw(groups: list[dict[str, Any]], lr: float) -> torch.optim.AdamW:
    """Fused: the unfused one reads its step counter from a tensor for every parameter in every step."""
    is_cuda = groups[0]["params"][0].device.type == "cuda"
    optimizer = torch.optim.AdamW(groups, lr=lr, fused=True, capturable=is_cuda)
    _with_rate_tensors(optimizer)
    return optimizer


def _with_rate_tensors(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate_of(group)


def _muon(training: Training, module: nn.Module, groups: list[dict[str, Any]]) -> CombinedOptimizer:
    """Muon for the filters that it updates, AdamW for the rest; each group is split into the two."""
    filters = muon_filters(module)
    muon_groups, adamw_groups = [], []
    for group in groups:
        of_muon = [parameter for parameter in group["params"] if parameter in filters]
        of_adamw = [parameter for parameter in group["params"] if parameter not in filters]
        scale = group["scale"] * training.muon.others_lr / training.lr
        muon_groups += [{"params": of_muon, "scale": group["scale"]}] if of_muon else []
        adamw_groups += [group | {"params": of_adamw, "scale": scale}] if of_adamw else []
    optimizers: list[torch.optim.Optimizer] = [FilterMuon(muon_groups, training.lr, training.muon.momentum)]
    if adamw_groups:
        optimizers.append(_adamw(adamw_groups, training.muon.others_lr))
    return CombinedOptimizer(*optimizers)
