"""Optimisers against loops in numpy; learning rates and momentum over time; norms and factors layer by layer."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fitnets.config import Training
from fitnets.distill.regressor import Regressor
from fitnets.nets.network import Network, initialise, parts
from fitnets.training.optim import (
    FloorRMSprop,
    apply_schedules,
    limit_norms,
    lr_at,
    momentum_at,
    norm_limits,
    optimiser,
)
from fitnets.values.net import Dense, Net
from fitnets.values.updates import ExponentialDecay, LinearDecay, LrScale, MaxNorm, Ramp
from tests.helpers import random_images

ADAM = Training(epochs=1, lr=0.1)
NET = Net.staged((1, 8, 8), 10, ((4, 4), (6,)), dense=(Dense(width=5, pieces=3),))


class Numbers(nn.Module):
    """Some numbers that are learnt."""

    def __init__(self, *shape: int):
        super().__init__()
        self.x = nn.Parameter(torch.zeros(*shape, dtype=torch.float64))


def share(training: Training, done: float) -> float:
    """The learning rate when the share `done` of a single epoch's thousand updates is done."""
    return lr_at(training, 1, round(1000 * done), 1000)


@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-7])
def test_floor_rmsprop_is_the_papers_rule(size: float) -> None:
    """Below 1e-5 the floor divides, as `max` and not as a sum."""
    gradients = size * np.random.default_rng(0).standard_normal((8, 6))
    parameter = nn.Parameter(torch.ones(6, dtype=torch.float64))
    optimizer = FloorRMSprop([parameter], lr=0.01)
    wanted, mean_square = np.ones(6), np.zeros(6)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        mean_square = 0.9 * mean_square + 0.1 * gradient**2
        wanted = wanted - 0.01 * gradient / np.maximum(np.sqrt(mean_square), 1e-5)
    assert np.allclose(parameter.detach().numpy(), wanted, rtol=1e-12)
    assert not np.allclose(wanted, 1.0)


def test_floor_rmsprop_leaves_a_parameter_without_gradient() -> None:
    used, unused = Numbers(2), Numbers(2)
    optimizer = optimiser(ADAM.changed(optimizer="rmsprop"), nn.ModuleList([used, unused]))
    used.x.grad = torch.ones(2, dtype=torch.float64)
    optimizer.step()
    assert torch.equal(unused.x.detach(), torch.zeros(2))
    assert not torch.equal(used.x.detach(), torch.zeros(2))


def test_sgd_is_nesterovs() -> None:
    gradients = np.random.default_rng(1).standard_normal((6, 4))
    module = Numbers(4, 1)
    training = Training(epochs=1, lr=0.1, optimizer="sgd", momentum=0.9, weight_decay=0.01)
    optimizer = optimiser(training, module)
    wanted, velocity = np.zeros(4), np.zeros(4)
    for gradient in gradients:
        module.x.grad = torch.tensor(gradient)[:, None]
        optimizer.step()
        decayed = gradient + 0.01 * wanted
        velocity = 0.9 * velocity + decayed
        wanted = wanted - 0.1 * (decayed + 0.9 * velocity)
    assert np.allclose(module.x.detach().numpy()[:, 0], wanted)


def test_the_teachers_descent_keeps_the_learning_rate_in_its_velocity() -> None:
    """pylearn2: v = m v - lr g, w = w + v, while m rises by the epoch and lr falls by the update."""
    gradients = np.random.default_rng(2).standard_normal((12, 4))
    training = Training(
        epochs=4, lr=0.1, optimizer="sgd", nesterov=False, momentum=0.5, momentum_ramp=Ramp(to=0.7, by=3),
        weight_decay=0.01, schedule=ExponentialDecay(divisor=1.5, least=0.004),
    )  # fmt: skip
    module = Numbers(4, 1)
    optimizer = optimiser(training, module)
    wanted, velocity = np.zeros(4), np.zeros(4)
    for update, gradient in enumerate(gradients):
        epoch, step = divmod(update, 3)
        apply_schedules(optimizer, training, epoch + 1, step, 3)
        module.x.grad = torch.tensor(gradient)[:, None]
        optimizer.step()
        momentum = (0.5, 0.6, 0.7, 0.7)[epoch]
        velocity = momentum * velocity - max(0.004, 0.1 / 1.5**update) * (gradient + 0.01 * wanted)
        wanted = wanted + velocity
    assert np.allclose(module.x.detach().numpy()[:, 0], wanted, rtol=1e-10)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_spares_biases_and_normalisation(name: Literal["adamw", "sgd"]) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))
    optimizer = optimiser(ADAM.changed(optimizer=name, weight_decay=0.1), network)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {p.ndim > 1: decays[id(p)] for p in network.parameters()} == {True: 0.1, False: 0.0}
    assert len(decays) == len(list(network.parameters()))


def test_weight_decay_spares_untied_biases() -> None:
    network = Network(NET.changed(biases="untied"))
    optimizer = optimiser(ADAM.changed(weight_decay=0.1), network)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {decays[id(p)] for name, p in network.named_parameters() if name.endswith("bias")} == {0.0}


def test_no_momentum_is_plain_descent() -> None:
    module = Numbers(3, 1)
    module.x.grad = torch.ones(3, 1, dtype=torch.float64)
    optimiser(Training(epochs=1, lr=0.5, optimizer="sgd", momentum=0.0), module).step()
    assert torch.equal(module.x.detach(), torch.full((3, 1), -0.5, dtype=torch.float64))


def test_constant_and_cosine() -> None:
    constant, cosine = ADAM.changed(schedule="constant"), ADAM.changed(schedule="cosine")
    assert [share(constant, done) for done in (0.0, 0.5, 1.0)] == [0.1, 0.1, 0.1]
    assert [share(cosine, done) for done in (0.0, 0.5, 1.0)] == pytest.approx([0.1, 0.05, 0.0])
    assert lr_at(cosine, 1, 1, 3) == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi / 3)))


def test_linear_falls_to_0_by_the_same_step_in_every_update() -> None:
    """And by the full length, wherever the training stops."""
    linear = Training(epochs=5, lr=0.1, schedule="linear", until=2)
    rates = [lr_at(linear, update // 4 + 1, update % 4, 4) for update in range(20)]
    assert rates == pytest.approx([0.1 * (20 - update) / 20 for update in range(20)])
    assert share(ADAM.changed(schedule="linear"), 1.0) == 0.0


def test_one_cycle_rises_for_a_quarter_and_never_stands_still() -> None:
    cycle = ADAM.changed(schedule="one-cycle")
    assert share(cycle, 0.0) > 0
    assert share(cycle, 0.125) == pytest.approx(0.05)
    assert share(cycle, 0.25) == pytest.approx(0.1)
    assert share(cycle, 0.625) == pytest.approx(0.05)
    assert share(cycle, 1.0) == pytest.approx(0.0)
    rates = [share(cycle, step / 100) for step in range(101)]
    assert rates[:25] == sorted(rates[:25])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert max(rates) == pytest.approx(0.1)


def test_the_cifar_teachers_rate_falls_to_one_per_cent_and_stays() -> None:
    """pylearn2's loop: one equal step before every epoch, the first included, and the end from `by` on."""
    training = Training(epochs=600, lr=0.17, schedule=LinearDecay(factor=0.01, by=500))
    step = (0.17 - 0.17 * 0.01) / 500
    wanted = [0.17 - step * epoch if epoch < 500 else 0.17 * 0.01 for epoch in range(1, 601)]
    assert [lr_at(training, epoch, 7, 20) for epoch in range(1, 601)] == pytest.approx(wanted, rel=1e-12)


def test_the_mnist_teachers_rate_is_divided_after_every_update() -> None:
    training = Training(epochs=500, lr=0.05, schedule=ExponentialDecay())
    rate = 0.05
    for update in range(2000):
        assert lr_at(training, update // 390 + 1, update % 390, 390) == pytest.approx(rate, rel=1e-9)
        rate /= 1.00004
    assert lr_at(training, 10_000, 0, 390) == 1e-6


def test_momentum_rises_by_epochs() -> None:
    training = Training(epochs=500, lr=0.17, optimizer="sgd", momentum=0.5, momentum_ramp=Ramp(to=0.65))
    assert [momentum_at(training, epoch) for epoch in (1, 250, 474)] == pytest.approx([0.5, 0.65, 0.65])
    assert momentum_at(training, 2) - momentum_at(training, 1) == pytest.approx(0.15 / 249)
    assert momentum_at(training.changed(momentum_ramp=None), 300) == 0.5


def learner() -> nn.Sequential:
    """A prefix of two convolutions and the paper's regressor, as stage 1 trains them."""
    return nn.Sequential(Network(NET).prefix(2), Regressor((4, 4, 4), (5, 3, 3), "paper", 2))


def test_parts_are_told_apart_in_a_network_and_in_a_learner() -> None:
    got = [(part.role, part.number) for part in parts(Network(NET))]
    assert got == [("conv", 1), ("conv", 2), ("conv", 3), ("dense", 4), ("output", 5)]
    assert [(part.role, part.number) for part in parts(learner())] == [("conv", 1), ("conv", 2), ("regressor", 0)]


def by_loops(weight: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Each filter of a (filters, ...) weight, scaled to its limit, one by one."""
    out = weight.copy()
    for filter_ in out:
        norm = math.sqrt(sum(float(w) ** 2 for w in filter_.flat))
        filter_ *= min(norm, limit) / (1e-7 + norm)
    return out


def test_norms_are_limited_for_each_linear_piece_alone() -> None:
    network = Network(NET).double()
    initialise(network, "scaled", 0.0, 0)
    limits = MaxNorm(convs=(0.9, 0.7), dense=1.1, output=0.5)
    before = [part.linear.weight.detach().numpy().copy() for part in parts(network)]
    limit_norms(norm_limits(limits, network))
    for part, weight, limit in zip(parts(network), before, (0.9, 0.7, 0.7, 1.1, 0.5), strict=True):
        norms = np.linalg.norm(weight.reshape(len(weight), -1), axis=1)
        assert norms.max() > limit, "the limit is felt"
        assert np.allclose(part.linear.weight.detach().numpy(), by_loops(weight, limit), rtol=1e-12)
    rows = [part.linear.weight.shape[0] for part in parts(network)]
    assert rows == [8, 8, 12, 15, 10], "a row is one linear piece of one unit"


def test_the_regressor_has_a_norm_of_its_own_and_small_weights_are_left() -> None:
    module = learner().double()
    initialise(module, "uniform", 0.005, 0)
    before = [part.linear.weight.detach().clone() for part in parts(module)]
    limit_norms(norm_limits(MaxNorm(regressor=0.01), module))
    *convs, regressor = [part.linear.weight.detach() for part in parts(module)]
    for weight, old in zip(convs, before, strict=False):
        assert torch.allclose(weight, old, rtol=1e-4, atol=0)
    assert float(regressor.flatten(1).norm(dim=1).max()) == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("name", ["adamw", "sgd", "rmsprop"])
def test_the_optimiser_keeps_the_norms_after_every_step(name: Literal["adamw", "sgd", "rmsprop"]) -> None:
    network = Network(NET)
    initialise(network, "scaled", 0.0, 0)
    optimizer = optimiser(ADAM.changed(optimizer=name, max_norm=MaxNorm()), network)
    for seed in range(3):
        optimizer.zero_grad()
        network(random_images((8, 1, 8, 8), seed)).square().mean().backward()
        optimizer.step()
        for part, limit in zip(parts(network), (0.9, 0.9, 0.9, 1.9, 1.9365), strict=True):
            assert float(part.linear.weight.detach().flatten(1).norm(dim=1).max()) < limit + 1e-5


def test_layers_learn_at_their_own_rates_and_guided_ones_at_a_further_factor() -> None:
    network = Network(NET)
    scale = LrScale(conv=0.05, dense=2.0, output=3.0, guided=0.1)
    training = Training(epochs=1, lr=1.0, optimizer="sgd", momentum=0.0, schedule="constant", lr_scale=scale)
    optimizer = optimiser(training, network, guided=2)
    apply_schedules(optimizer, training, 1, 0, 1)
    before = [p.detach().clone() for p in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    steps = [float((old - new).detach().mean()) for old, new in zip(before, network.parameters(), strict=True)]
    factors = [0.005, 0.005, 0.05, 2.0, 3.0]
    assert steps == pytest.approx([factor for factor in factors for _ in ("weight", "bias")], rel=1e-4)


def test_the_regressor_is_not_guided() -> None:
    training = ADAM.changed(lr_scale=LrScale(regressor=7.0, guided=0.1))
    optimizer = optimiser(training, learner(), guided=2)
    assert {group["scale"] for group in optimizer.param_groups} == {0.05 * 0.1, 7.0}
