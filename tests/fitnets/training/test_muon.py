"""Muon: its rule against PyTorch's and against numpy, which weights it moves, and at which rates."""

import re

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from fitnets.config import Training
from fitnets.distill.regressor import Regressor
from fitnets.errors import InputError
from fitnets.nets.network import Layer, Network, initialise
from fitnets.training.muon import COEFFICIENTS, STEPS, FilterMuon, orthogonalised
from fitnets.training.optim import apply_schedules, optimiser
from fitnets.values.base import explain
from fitnets.values.net import Conv, Dense, Net
from fitnets.values.updates import LrScale, MaxNorm, Muon
from tests.helpers import random_images, state_hash

NET = Net.staged((1, 8, 8), 10, ((4, 4), (6,)), pieces=1, norm="batch", dense=(Dense(width=5, pieces=1),))
MUON = Training(epochs=2, lr=0.1, optimizer="muon", schedule="linear")
SHAPES = [(16, 27), (24, 24), (40, 9)]


def drawn(net: Net) -> Network:
    """A network with drawn weights."""
    network = Network(net)
    initialise(network, "scaled", 0.0, 0)
    return network


def backward(module: nn.Module, seed: int) -> None:
    """Fresh gradients of some loss."""
    module.zero_grad()
    module(random_images((8, 1, 8, 8), seed)).square().mean().backward()


@pytest.mark.parametrize("shape", SHAPES)
def test_matrices_move_as_by_pytorchs_muon_in_float32(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's computes in bfloat16: here it is kept from it. It also moves tall matrices further, by sqrt(F / R)."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    start = random_images(shape)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    further = max(1.0, shape[0] / shape[1]) ** 0.5
    optimizer = FilterMuon([ours], lr=0.1, momentum=0.6, normalise=False)
    reference = torch.optim.Muon(
        [theirs], lr=0.1 / further, weight_decay=0.0, momentum=0.6, ns_coefficients=COEFFICIENTS, ns_steps=STEPS
    )
    for update in range(1, 6):
        gradient = random_images(shape, update)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        reference.step()
        assert torch.allclose(ours, theirs, rtol=0, atol=2e-6)
    assert float((ours - start).detach().norm()) > 0.2, "they moved"


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_filters_move_as_matrices_of_a_fixed_norm(memory_format: torch.memory_format) -> None:
    """By numpy, in whatever order the filters lie in memory."""
    shape = (6, 4, 3, 3)
    parameter = nn.Parameter(random_images(shape, dtype=torch.float64).to(memory_format=memory_format))
    optimizer = FilterMuon([parameter], lr=0.1, momentum=0.6)
    wanted, momentum = parameter.detach().numpy().reshape(6, 36).copy(), np.zeros((6, 36))
    a, b, c = 3.4445, -4.775, 2.0315
    for update in range(1, 5):
        gradient = random_images(shape, update, torch.float64)
        parameter.grad = gradient.to(memory_format=memory_format)
        optimizer.step()
        g = gradient.numpy().reshape(6, 36)
        momentum = 0.6 * momentum + g
        ahead = g + 0.6 * momentum
        left, values, right = np.linalg.svd(ahead / np.linalg.norm(ahead), full_matrices=False)
        for _ in range(3):
            values = a * values + b * values**3 + c * values**5
        wanted = wanted * np.sqrt(6) / np.linalg.norm(wanted) - 0.1 * (left * values) @ right
        assert np.allclose(parameter.detach().numpy().reshape(6, 36), wanted, rtol=1e-9)
    assert parameter.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("shape", SHAPES)
def test_five_steps_bring_every_singular_value_near_one(shape: tuple[int, int]) -> None:
    values = torch.linalg.svdvals(orthogonalised(random_images(shape), steps=5))
    assert float(values.min()) > 0.5 and float(values.max()) < 1.5


def test_no_gradient_at_all_moves_nothing_and_stays_finite() -> None:
    parameter = nn.Parameter(random_images((4, 2, 3, 3)))
    optimizer = FilterMuon([parameter], lr=0.1, momentum=0.6, normalise=False)
    before = parameter.detach().clone()
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.equal(parameter.detach(), before)


def by_muon(module: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """The names of the weights that Muon moves; the optimiser moves every one, once."""
    of = {id(p): "momentum" in group for group in optimizer.param_groups for p in group["params"]}
    names = {name: of[id(p)] for name, p in module.named_parameters()}
    assert len(of) == len(names) == sum(len(group["params"]) for group in optimizer.param_groups)
    return [name for name, muon in names.items() if muon]


def test_muon_moves_normalised_filters_and_nothing_else() -> None:
    convs = (Conv(width=4, pieces=1), Conv(width=4, pieces=2), Conv(width=4, pieces=1))
    mixed = drawn(NET.changed(convs=convs))
    assert by_muon(mixed, optimiser(MUON, mixed)) == ["layers.0.linear.weight", "layers.2.linear.weight"]
    layer = mixed.layers[2]
    assert isinstance(layer, Layer)
    layer.norm = None
    assert by_muon(mixed, optimiser(MUON, mixed)) == ["layers.0.linear.weight"]


def test_the_regressor_and_its_normalisation_are_adamws() -> None:
    learner = nn.Sequential(drawn(NET).prefix(2), Regressor((4, 4, 4), (5, 3, 3), "normalised", 1))
    assert by_muon(learner, optimiser(MUON, learner)) == ["0.0.linear.weight", "0.1.linear.weight"]


@pytest.mark.parametrize("net", [NET.changed(norm="none"), Net.staged((1, 8, 8), 10, ((4,),), norm="batch")])
def test_a_network_without_such_filters_is_refused(net: Net) -> None:
    got = '`optimizer` is "muon", but it moves only filters that are followed by batch normalisation and ReLU'
    with pytest.raises(InputError, match=re.escape(got)):
        optimiser(MUON, drawn(net))


def test_the_rest_moves_as_by_adamw_alone() -> None:
    ours, theirs = drawn(NET), drawn(NET)
    optimizer = optimiser(MUON.changed(muon=Muon(others_lr=0.03)), ours)
    filters = set(by_muon(ours, optimizer))
    of_adamw = [p for name, p in theirs.named_parameters() if name not in filters]
    reference = torch.optim.AdamW(of_adamw, lr=0.03, weight_decay=0.0, fused=True)
    theirs.load_state_dict(ours.state_dict())
    for seed in range(3):
        for module in (ours, theirs):
            backward(module, seed)
        apply_schedules(optimizer, MUON.changed(muon=Muon(others_lr=0.03), schedule="constant"), 1, 0, 1)
        optimizer.step()
        reference.step()
        weights = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            if name in filters:
                size: Tensor = (parameter - weights[name]).detach().norm()
                assert float(size) > 0.01
                weights[name].data.copy_(parameter.detach())
            else:
                assert torch.allclose(parameter, weights[name], rtol=1e-6, atol=1e-7), name


def test_both_rates_fall_linearly_to_0_and_momentum_is_muons_own() -> None:
    network = drawn(NET)
    scale = LrScale(conv=1.0, guided=0.25)
    training = MUON.changed(muon=Muon(momentum=0.7), lr_scale=scale)
    optimizer = optimiser(training, network, guided=2)
    found: dict[str, list[float]] = {}
    names = {id(p): name for name, p in network.named_parameters()}
    for update in range(8):
        apply_schedules(optimizer, training, update // 4 + 1, update % 4, 4)
        for group in optimizer.param_groups:
            assert group.get("momentum", 0.7) == 0.7
            for parameter in group["params"]:
                found.setdefault(names[id(parameter)], []).append(float(group["lr"]))
    left = [1 - update / 8 for update in range(8)]
    for name, rate in {
        "layers.0.linear.weight": 0.025,
        "layers.2.linear.weight": 0.1,
        "layers.0.linear.bias": 0.0025,
        "layers.0.norm.weight": 0.01,
        "layers.3.linear.weight": 0.01,
        "layers.4.1.weight": 0.01,
    }.items():
        assert found[name] == pytest.approx([rate * share for share in left])


def test_a_training_by_muon_depends_on_its_gradients_alone() -> None:
    def trained() -> str:
        network = drawn(NET)
        optimizer = optimiser(MUON, network)
        for update in range(4):
            apply_schedules(optimizer, MUON, update // 2 + 1, update % 2, 2)
            backward(network, update)
            optimizer.step()
        return state_hash(network)

    assert trained() == trained()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight_decay": 0.01}, "`weight_decay` is set, but `muon` scales filters to a norm of its own"),
        ({"max_norm": MaxNorm()}, "`max_norm` is set, but `muon` scales filters to a norm of its own"),
    ],
)
def test_norms_of_somebody_elses_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MUON.changed(**fields)
    assert message in explain(caught.value)


def test_trainings_of_before_have_the_digests_of_before() -> None:
    training = Training(epochs=2, lr=0.1)
    assert "muon" not in training.canonical()
    digest = "40d0506ba1ecc1049d2d4d92da2276b04c4eb819c6a4ec2811595ab5b9a11111"
    assert training.digest() == digest
    assert training.changed(optimizer="muon").digest() != MUON.changed(muon=Muon(others_lr=0.02)).digest()
