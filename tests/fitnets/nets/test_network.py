"""Maxout against its definition, initialisation against its purpose, prefixes against hooks."""

import math
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fitnets.config import Distill
from fitnets.distill.losses import kd_loss
from fitnets.nets.network import GlobalMaxPool, Layer, Network, initialise, maxout, second_moment
from fitnets.values.net import Conv, Dense, Net
from tests.helpers import nets, random_images, state_hash


def layer_of(kind: Literal["conv", "dense"], pieces: int, width: int, dtype: torch.dtype) -> Layer:
    """A layer with drawn weights and biases."""
    linear = nn.Conv2d(3, pieces * width, 3, padding=1) if kind == "conv" else nn.Linear(3 * 6 * 5, pieces * width)
    layer = Layer(linear, pieces, None, None).to(dtype)
    generator = torch.Generator().manual_seed(pieces)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype))
    return layer


def by_definition(layer: Layer, x: Tensor) -> Tensor:
    """The whole linear map, then the largest of the pieces."""
    if isinstance(layer.linear, nn.Linear):
        x = x.flatten(1)
    pieces = layer.linear(x).chunk(layer.pieces, dim=1)
    largest: Tensor = pieces[0]
    for piece in pieces[1:]:
        largest = torch.maximum(largest, piece)
    return largest if layer.pieces > 1 else largest.clamp_min(0)


def gradients(out: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Of a sum that weighs every output differently."""
    weights = random_images(tuple(out.shape), 7).to(out.dtype)
    return torch.autograd.grad((out * weights).sum(), inputs)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_layer_is_the_largest_of_its_pieces(
    kind: Literal["conv", "dense"], pieces: int, dtype: torch.dtype, tolerance: float
) -> None:
    layer = layer_of(kind, pieces, 4, dtype)
    x = random_images((7, 3, 6, 5)).to(dtype).requires_grad_()
    out, wanted = layer(x), by_definition(layer, x)
    assert torch.allclose(out, wanted, rtol=tolerance, atol=10 * tolerance)
    inputs = [x, *layer.parameters()]
    for ours, theirs in zip(gradients(out, inputs), gradients(wanted, inputs), strict=True):
        assert torch.allclose(ours, theirs, rtol=tolerance, atol=100 * tolerance)


@pytest.mark.parametrize("pieces", [2, 3, 4, 5])
def test_maxout_takes_the_maximum_over_pieces_not_over_units(pieces: int) -> None:
    x = random_images((3, pieces * 4, 2, 2), dtype=torch.float64)
    assert torch.allclose(maxout(x, pieces), x.reshape(3, pieces, 4, 2, 2).amax(1), atol=1e-12)


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_normalised_layers_normalise_before_the_maximum(pieces: int) -> None:
    net = Net(input=(3, 6, 6), convs=(Conv(width=4, pieces=pieces),), classes=2, norm="batch")
    network = Network(net).double()
    initialise(network, "scaled", 0.0, 0)
    layer = network.layers[0]
    assert isinstance(layer, Layer) and layer.norm is not None
    x = random_images((16, 3, 6, 6), dtype=torch.float64)
    linear = layer.linear(x)
    scaled = (linear - linear.mean((0, 2, 3), keepdim=True)) / (
        linear.var((0, 2, 3), correction=0, keepdim=True) + 1e-5
    ).sqrt()
    wanted = scaled.reshape(16, pieces, 4, 6, 6).amax(1) if pieces > 1 else scaled.clamp_min(0)
    assert torch.allclose(layer(x), wanted, atol=1e-9)


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_shortcut_adds_the_input_before_activation_and_pooling(
    pieces: int, pool: int, norm: Literal["none", "batch"]
) -> None:
    """By definition: the input to each linear piece, then their maximum, or ReLU, then pooling."""
    second = Conv(width=4, pieces=pieces, pool=pool, pool_stride=pool, shortcut=True)
    net = Net(input=(3, 6, 6), convs=(Conv(width=4, pieces=pieces), second), classes=2, norm=norm)
    network = Network(net).double()
    initialise(network, "scaled", 0.0, 0)
    layer = network.layers[1]
    assert isinstance(layer, Layer)
    x = random_images((8, 4, 6, 6), 1, torch.float64).requires_grad_()

    def defined() -> Tensor:
        linear = layer.linear(x) if layer.norm is None else layer.norm(layer.linear(x))
        pieces_BPCHW = linear.reshape(8, pieces, 4, 6, 6) + x[:, None]
        largest = pieces_BPCHW.amax(1) if pieces > 1 else pieces_BPCHW[:, 0].clamp_min(0)
        return nn.functional.max_pool2d(largest, pool)

    out, wanted = layer(x), defined()
    assert torch.allclose(out, wanted, atol=1e-12)
    inputs = [x, *layer.parameters()]
    for ours, theirs in zip(gradients(out, inputs), gradients(wanted, inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-9)


def pooled_last(layer: Layer, x: Tensor) -> Tensor:
    """A ReLU layer in the order of the definition: normalisation, activation, pooling."""
    assert layer.norm is not None and layer.pool is not None
    pooled: Tensor = layer.pool(layer.norm(layer.linear(x)).relu())
    return pooled


@pytest.mark.parametrize("pool", [2, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_relu_after_pooling_is_relu_before_it_bit_for_bit(
    pool: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs and gradients, with channels whose scale is negative, and with the ties that bfloat16 makes."""
    net = Net(input=(3, 8, 8), convs=(Conv(width=6, pieces=1, pool=pool, pool_stride=2),), classes=2, norm="batch")
    network = Network(net)
    initialise(network, "scaled", 0.0, 0)
    layer = network.layers[0]
    assert isinstance(layer, Layer) and isinstance(layer.norm, nn.BatchNorm2d)
    layer.norm.weight.data.copy_(torch.tensor([1.0, -1.0, 0.5, -0.5, 2.0, -2.0]))
    layer.norm.bias.data.copy_(torch.linspace(-2.0, 2.0, 6))
    x = random_images((32, 3, 8, 8)).requires_grad_()
    inputs = [x, *layer.parameters()]
    sizes: list[tuple[int, ...]] = []
    relu = nn.functional.relu

    def noted(x: Tensor) -> Tensor:
        sizes.append(tuple(x.shape))
        return relu(x)

    monkeypatch.setattr(nn.functional, "relu", noted)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        out, wanted = layer(x), pooled_last(layer, x)
    assert sizes == [tuple(out.shape)], "taken of the pooled map"
    assert out.dtype == dtype and torch.equal(out, wanted)
    assert 0 < float((out == 0).float().mean()) < 1
    for ours, theirs in zip(gradients(out, inputs), gradients(wanted, inputs), strict=True):
        assert torch.equal(ours, theirs)


def test_global_pooling_equals_a_window_of_that_size() -> None:
    x = random_images((2, 3, 5, 7))
    assert torch.equal(GlobalMaxPool()(x), nn.functional.max_pool2d(x, (5, 7)))


@pytest.mark.parametrize(("rows", "columns"), [(3, 9), (9, 3)])
def test_a_window_larger_than_one_side_covers_it(rows: int, columns: int) -> None:
    net = Net(input=(1, rows, columns), convs=(Conv(width=2, pieces=1, pool=4, pool_stride=1),), classes=2)
    network = Network(net)
    initialise(network, "scaled", 0.0, 0)
    x = random_images((2, 1, rows, columns))
    layer = network.layers[0]
    assert isinstance(layer, Layer)
    long = 2 if rows > columns else 3
    wanted = layer.linear(x).clamp_min(0).unfold(long, 4, 1).amax(-1).amax(5 - long)
    assert torch.allclose(layer(x).flatten(2), wanted)
    assert network(x).shape == (2, 2)


@pytest.mark.parametrize(("pool", "stride", "out"), [(3, 2, 4), (4, 2, 3), (2, 2, 4), (4, 4, 2)])
def test_pooling_is_ceil_mode(pool: int, stride: int, out: int) -> None:
    """The reference's formula, by hand, on a map of 8: ceil((8 - pool) / stride) + 1."""
    net = Net(input=(1, 8, 8), convs=(Conv(width=2, pool=pool, pool_stride=stride),), classes=2)
    assert net.maps()[0][1] == (2, out, out)
    assert tuple(Network(net).prefix(1)(random_images((1, 1, 8, 8))).shape) == (1, 2, out, out)


@settings(max_examples=40)
@given(nets(), st.integers(0, 1000))
def test_prefix_equals_the_full_forward_at_every_layer(net: Net, seed: int) -> None:
    network = Network(net).eval()
    initialise(network, "scaled", 0.0, seed)
    x = random_images((3, *net.input), seed)
    seen: dict[int, Tensor] = {}

    def keep(number: int) -> Any:
        return lambda module, inputs, output: seen.__setitem__(number, output)

    for number, layer in enumerate(network.layers, start=1):
        layer.register_forward_hook(keep(number))
    with torch.no_grad():
        logits = network(x)
        whole = dict(seen)
        for number, wanted in whole.items():
            seen.clear()
            assert torch.equal(network.prefix(number)(x), wanted)
            assert set(seen) == set(range(1, number + 1)), "layers above the prefix were computed"
    assert torch.equal(logits, whole[net.depth])
    for number, (_, after) in enumerate(net.maps(), start=1):
        assert whole[number].shape[1:] == after


def test_prefix_shares_the_networks_weights() -> None:
    network = Network(Net.staged((1, 8, 8), 10, ((4,), (4,))))
    assert [id(p) for p in network.prefix(1).parameters()] == [id(p) for p in network.layers[0].parameters()]


@pytest.mark.parametrize("pieces", [1, 2, 3, 5])
def test_second_moment_against_monte_carlo(pieces: int) -> None:
    z = random_images((2_000_000 // pieces, pieces), 3)
    largest = z.amax(1) if pieces > 1 else z[:, 0].clamp_min(0)
    assert second_moment(pieces) == pytest.approx(float(largest.square().mean()), rel=0.01)


def test_second_moment_known_values() -> None:
    assert second_moment(1) == 0.5
    assert second_moment(2) == pytest.approx(1.0, abs=1e-6)
    assert second_moment(3) == pytest.approx(1 + math.sqrt(3) / (2 * math.pi), abs=1e-6)


@pytest.mark.parametrize("pieces", [1, 2, 3, 4])
def test_scaled_start_keeps_the_signals_second_moment_through_a_deep_net(pieces: int) -> None:
    """Unpadded, so that no zeros at the border thin the signal; wide, so that chance averages out."""
    convs = tuple(Conv(width=96, kernel=1, pad=0, pieces=pieces) for _ in range(12))
    network = Network(Net(input=(96, 4, 4), convs=convs, classes=10))
    initialise(network, "scaled", 0.0, 0)
    x = random_images((64, 96, 4, 4))
    with torch.no_grad():
        first, last = network.prefix(1)(x), network.prefix(12)(x)
    assert float(first.square().mean()) == pytest.approx(1.0, rel=0.15)
    assert 0.3 < float(last.square().mean()) < 3.0


def test_uniform_start_is_the_papers() -> None:
    network = Network(Net.staged((1, 8, 8), 10, ((16,), (16,)), dense=(Dense(width=9),)))
    initialise(network, "uniform", 0.005, 0)
    weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.ndim > 1])
    assert float(weights.abs().max()) <= 0.005
    assert float(weights.std()) == pytest.approx(0.005 / math.sqrt(3), rel=0.05)
    assert all(float(p.detach().abs().max()) == 0 for p in network.parameters() if p.ndim == 1)


@pytest.mark.parametrize("init", ["scaled", "uniform"])
def test_start_depends_on_the_seed_alone(init: Literal["scaled", "uniform"]) -> None:
    def start(seed: int, noise: int) -> str:
        torch.manual_seed(noise)
        network = Network(Net.staged((1, 8, 8), 10, ((4,), (4,))))
        initialise(network, init, 0.005, seed)
        return state_hash(network)

    assert start(1, 10) == start(1, 20)
    assert start(1, 10) != start(2, 10)


def test_deep_start_gives_every_piece_its_own_weights() -> None:
    """Equal pieces would make maxout linear, and they would stay equal."""
    network = Network(Net.staged((1, 8, 8), 10, ((4,), (4,))))
    initialise(network, "scaled", 0.0, 0)
    layer = network.layers[0]
    assert isinstance(layer, Layer)
    a, b = layer.linear.weight.chunk(2)
    assert not torch.allclose(a, b)


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_untied_biases_are_one_for_each_position(pieces: int) -> None:
    """Each filter's map plus that filter's own map of biases, before the maximum over pieces."""
    net = Net(input=(3, 6, 5), convs=(Conv(width=4, kernel=3, pad=1, pieces=pieces),), classes=2, biases="untied")
    network = Network(net).double()
    initialise(network, "scaled", 0.0, 0)
    layer = network.layers[0]
    assert isinstance(layer, Layer) and layer.linear.bias is not None
    assert float(layer.linear.bias.detach().abs().max()) == 0
    bias = random_images((pieces * 4, 6, 5), 1, torch.float64)
    layer.linear.bias.data.copy_(bias)
    x = random_images((2, 3, 6, 5), 2, torch.float64)
    linear = nn.functional.conv2d(x, layer.linear.weight, padding=1)
    maps = torch.stack([linear[:, filter_] + bias[filter_] for filter_ in range(pieces * 4)], 1)
    wanted = maps.reshape(2, pieces, 4, 6, 5).amax(1) if pieces > 1 else maps.clamp_min(0)
    assert torch.allclose(layer(x), wanted, atol=1e-12)


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_a_sigmoid_output_is_two_sided_cross_entropy_softened_before_the_sigmoid(tau: float) -> None:
    """In value and gradient: -t log s(z/tau) - (1-t) log(1 - s(z/tau)), from one number z for each image."""
    net = Net.staged((1, 8, 8), 2, ((4,),)).changed(output="sigmoid")
    network = Network(net).double()
    initialise(network, "scaled", 0.0, 0)
    x, taught = random_images((6, 1, 8, 8), dtype=torch.float64), random_images((6, 1), 1, torch.float64)
    label = torch.tensor([0, 1, 1, 0, 1, 0])
    logits = network(x)
    weight, bias = network.layers[-1].parameters()
    z = network.prefix(1)(x).flatten(1) @ weight[0] + bias
    assert torch.allclose(torch.softmax(logits / tau, 1)[:, 1], torch.sigmoid(z / tau), atol=1e-12)
    assert torch.equal(logits.argmax(1), (z > 0).long())
    distill = Distill(tau=tau, tau_squared=False)
    ours = kd_loss(logits, nn.functional.pad(taught, (1, 0)), label, 2.0, distill)
    target, student = torch.sigmoid(taught[:, 0] / tau), torch.sigmoid(z / tau)
    soft = -(target * student.log() + (1 - target) * (1 - student).log()).mean()
    theirs = nn.functional.binary_cross_entropy(torch.sigmoid(z), label.double()) + 2.0 * soft
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    inputs: list[Tensor] = list(network.parameters())
    for a, b in zip(gradients(ours, inputs), gradients(theirs, inputs), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_sigmoid_output_has_the_weights_of_one_unit() -> None:
    net = Net.staged((1, 8, 8), 2, ((4,),)).changed(output="sigmoid")
    assert [tuple(p.shape) for p in Network(net).layers[-1].parameters()] == [(1, 4), (1,)]
    with pytest.raises(ValueError, match=r"`classes` is 3, but a sigmoid tells 2 apart: choose `output=.softmax.`"):
        Net.staged((1, 8, 8), 3, ((4,),)).changed(output="sigmoid")
