"""Optimisers against loops in numpy; learning rates over time."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from fitnets.config import Training
from fitnets.optim import FloorRMSprop, lr_at, optimiser

ADAM = Training(epochs=1, lr=0.1)


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
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = optimiser(ADAM.changed(optimizer="rmsprop"), [used, unused])
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused.detach(), torch.ones(2))
    assert not torch.equal(used.detach(), torch.ones(2))


def test_sgd_is_nesterovs() -> None:
    gradients = np.random.default_rng(1).standard_normal((6, 4))
    parameter = nn.Parameter(torch.zeros(4, 1, dtype=torch.float64))
    training = Training(epochs=1, lr=0.1, optimizer="sgd", momentum=0.9, weight_decay=0.01)
    optimizer = optimiser(training, [parameter])
    wanted, velocity = np.zeros(4), np.zeros(4)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)[:, None]
        optimizer.step()
        decayed = gradient + 0.01 * wanted
        velocity = 0.9 * velocity + decayed
        wanted = wanted - 0.1 * (decayed + 0.9 * velocity)
    assert np.allclose(parameter.detach().numpy()[:, 0], wanted)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_spares_biases_and_normalisation(name: Literal["adamw", "sgd"]) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))
    optimizer = optimiser(ADAM.changed(optimizer=name, weight_decay=0.1), network.parameters())
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {p.ndim > 1: decays[id(p)] for p in network.parameters()} == {True: 0.1, False: 0.0}
    assert len(decays) == len(list(network.parameters()))


def test_no_momentum_is_plain_descent() -> None:
    parameter = nn.Parameter(torch.zeros(3, 1))
    parameter.grad = torch.ones(3, 1)
    optimiser(Training(epochs=1, lr=0.5, optimizer="sgd", momentum=0.0), [parameter]).step()
    assert torch.equal(parameter.detach(), torch.full((3, 1), -0.5))


def test_constant_and_cosine() -> None:
    constant, cosine = ADAM.changed(schedule="constant"), ADAM.changed(schedule="cosine")
    assert [lr_at(share, constant) for share in (0.0, 0.5, 1.0)] == [0.1, 0.1, 0.1]
    assert [lr_at(share, cosine) for share in (0.0, 0.5, 1.0)] == pytest.approx([0.1, 0.05, 0.0])
    assert lr_at(1 / 3, cosine) == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi / 3)))


def test_one_cycle_rises_for_a_quarter_and_never_stands_still() -> None:
    cycle = ADAM.changed(schedule="one-cycle")
    assert lr_at(0.0, cycle) > 0
    assert lr_at(0.125, cycle) == pytest.approx(0.05)
    assert lr_at(0.25, cycle) == pytest.approx(0.1)
    assert lr_at(0.625, cycle) == pytest.approx(0.05)
    assert lr_at(1.0, cycle) == pytest.approx(0.0)
    rates = [lr_at(step / 100, cycle) for step in range(101)]
    assert rates[:25] == sorted(rates[:25])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert max(rates) == pytest.approx(0.1)
