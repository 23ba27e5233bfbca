"""Costs: the paper's numbers exactly, and an independent count of the real modules on the meta device."""

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fitnets.nets.cost import cost, layers, params_and_macs
from fitnets.nets.network import Network
from fitnets.values.net import Conv, Dense, Net
from tests.helpers import REFERENCE, nets, paper_net

CIFAR = REFERENCE["datasets"]["cifar10"]
MNIST = REFERENCE["datasets"]["mnist"]
SVHN = REFERENCE["datasets"]["svhn"]
MAXOUT_NETS = {
    "cifar10-teacher": (CIFAR["input"], CIFAR["teacher"]),
    **{name: (CIFAR["input"], spec) for name, spec in CIFAR["students"].items()},
    "svhn-teacher": (SVHN["input"], SVHN["teacher"]),
}


def counts(net: Net) -> dict[str, int]:
    """In the reference's words and convention."""
    price = cost(net)
    return {"params": price.weights, "mults": price.macs}


@pytest.mark.parametrize("reading", ["fc2", "fc5"])
@pytest.mark.parametrize("name", MAXOUT_NETS)
def test_every_net_of_the_paper_costs_what_was_counted(name: str, reading: str) -> None:
    shape, spec = MAXOUT_NETS[name]
    units = spec["fc"][0]
    net = paper_net(shape, spec["conv"], [(units, int(reading[2]))], 10)
    assert counts(net) == spec["counted"][reading]


def test_the_published_counts_take_the_reading_with_two_pieces() -> None:
    published = {"cifar10-teacher": (9e6, 725e6), "fitnet1": (250e3, 30e6), "fitnet2": (862e3, 108e6)}
    published |= {"fitnet3_count_variant": (1.6e6, 392e6), "fitnet4": (2.5e6, 382e6)}
    for name, (params, mults) in published.items():
        shape, spec = MAXOUT_NETS[name]
        price = cost(paper_net(shape, spec["conv"], [tuple(spec["fc_for_reported_counts"])], 10))
        assert price.weights == pytest.approx(params, rel=0.02)
        assert price.macs == pytest.approx(mults, rel=0.01)


def test_the_student_named_for_svhn_is_fitnet_3() -> None:
    _, spec = MAXOUT_NETS["fitnet3"]
    assert (
        counts(paper_net(SVHN["input"], spec["conv"], [(500, 2)], 10)) == SVHN["student"]["counted_if_fitnet3"]["fc2"]
    )


@pytest.mark.parametrize(
    ("who", "convs", "counted"),
    [
        ("teacher", "conv", "fc2"),
        ("teacher", "conv_pylearn2", "pylearn2"),
        ("student", "conv", "fc2"),
        ("student", "conv_yaml", "yaml"),
    ],
)
def test_mnist_nets(who: str, convs: str, counted: str) -> None:
    spec = MNIST[who]
    assert counts(paper_net(MNIST["input"], spec[convs], [], 10)) == spec["counted"][counted]


@pytest.mark.parametrize("name", REFERENCE["figure2_depth_study"]["nets"])
def test_figure_2_nets_have_a_maxout_layer_of_500_units_and_2_pieces(name: str) -> None:
    spec = REFERENCE["figure2_depth_study"]["nets"][name]
    dense = (Dense(width=500, pieces=2),)
    net = Net.staged((3, 32, 32), 10, spec["blocks"], dense=dense)
    assert counts(net) == spec["counted"]
    assert net.depth == int(name[1:].split("_")[0])
    assert [len(widths) for widths in net.stages] == [len(widths) for widths in spec["blocks"]]


def test_staged_layout_is_that_of_fitnets_1_to_4() -> None:
    blocks = {
        "fitnet1": [[16, 16, 16], [32, 32, 32], [48, 48, 64]],
        "fitnet2": [[16, 32, 32], [48, 64, 80], [96, 96, 128]],
        "fitnet3": [[32, 48, 64, 64], [80] * 4, [128] * 3],
        "fitnet4": [[32, 32, 32, 48, 48], [80] * 6, [128] * 6],
    }
    for name, widths in blocks.items():
        spec = CIFAR["students"][name]
        net = Net.staged((3, 32, 32), 10, widths, dense=(Dense(width=500, pieces=2),))
        assert net == paper_net([3, 32, 32], spec["conv"], [(500, 2)], 10)
        assert net.depth == spec["layers"]


@pytest.mark.parametrize("who", ["cifar10", "svhn", "mnist"])
def test_maps_after_pooling_are_the_papers(who: str) -> None:
    spec = REFERENCE["datasets"][who]
    net = paper_net(spec["input"], spec["teacher"]["conv"], [], 10)
    assert [after[1:] for _, after in net.maps()] == [(size, size) for size in spec["teacher"]["maps_after_pool"]]


def test_aflw_nets_without_padding() -> None:
    """ReLU nets with one sigmoid output, so the output layer is one column here."""
    spec = REFERENCE["datasets"]["aflw"]
    wanted = spec["counted_all_unpadded_rgb"]
    nets = {
        "teacher_mults": [[128, 3, 0, 1, 2, 2], [512, 2, 0, 1, 1, 1], [512, 5, 0, 1, 1, 1]],
        "fitnet1_mults": [[width, 3, 0, 1, 1, 1] for width in spec["fitnet1"]["conv_units"]],
        "fitnet2_mults": [[width, 3, 0, 1, 1, 1] for width in spec["fitnet2"]["conv_units"]],
    }
    for name, convs in nets.items():
        net = paper_net([3, 16, 16], convs, [], 2, relu=True)
        macs = sum(row.macs for row in layers(net) if row.kind == "conv") + net.features
        assert macs == wanted[name]


@settings(max_examples=60)
@given(nets())
def test_cost_is_what_the_module_has_and_does(net: Net) -> None:
    with torch.device("meta"):
        network = Network(net).eval()
        x_BCHW = torch.empty(1, *net.input)
    price = cost(net)
    with FlopCounterMode(display=False) as counter:
        logits = network(x_BCHW)
    assert logits.shape == (1, net.classes)
    assert counter.get_total_flops() == 2 * price.macs
    assert sum(p.numel() for p in network.parameters()) == price.params
    linears = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sum(m.weight.numel() for m in linears) == price.weights
    statistics = sum(b.numel() for b in network.buffers() if b.is_floating_point())
    assert price.weight_bytes == 4 * (price.params + statistics)
    assert params_and_macs(net) == (price.params, price.macs)


@settings(max_examples=60)
@given(nets())
def test_each_layers_row_is_the_modules(net: Net) -> None:
    with torch.device("meta"):
        network = Network(net).eval()
        x = torch.empty(1, *net.input)
    for row, layer in zip(layers(net), network.layers, strict=True):
        with FlopCounterMode(display=False) as counter:
            x = layer(x)
        assert counter.get_total_flops() == 2 * row.macs
        assert tuple(x.shape[1:]) + (1, 1) * (x.ndim == 2) == row.shape
        assert sum(p.numel() for p in layer.parameters()) == row.params
    assert [row.number for row in layers(net)] == list(range(1, net.depth + 1))


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_shortcuts_cost_nothing_but_memory(pieces: int, norm: Literal["none", "batch"]) -> None:
    """Of one piece, three maps meet in a shortcut's addition: the layer's input, its map and their sum."""
    stages = ((4, 4, 4), (6, 6))
    plain = Net.staged((3, 8, 8), 10, stages, pieces=pieces, norm=norm)
    net = Net.staged((3, 8, 8), 10, stages, pieces=pieces, norm=norm, shortcuts=True)
    price = cost(net)
    assert net != plain and price.changed(peak_activation_bytes=0) == cost(plain).changed(peak_activation_bytes=0)
    with torch.device("meta"):
        network = Network(net).eval()
        x_BCHW = torch.empty(1, *net.input)
    with FlopCounterMode(display=False) as counter:
        network(x_BCHW)
    assert counter.get_total_flops() == 2 * price.macs
    if pieces == 1:
        assert [row.activations for row in layers(net)][1:3] == [3 * 4 * 64, 3 * 4 * 64]
        assert [row.activations for row in layers(plain)][1] == 2 * 4 * 64


def test_biases_and_pooling_are_free_and_every_piece_counts() -> None:
    one = Net(input=(3, 6, 6), convs=(Conv(width=4, pieces=1),), classes=2)
    three = one.changed(convs=(Conv(width=4, pieces=3),))
    pooled = one.changed(convs=(Conv(width=4, pieces=1, pool=6, pool_stride=6),))
    output = 2 * 4 * 36
    assert cost(one).macs == 4 * 3 * 9 * 36 + output
    assert cost(three).macs == 3 * (cost(one).macs - output) + output
    assert cost(pooled).macs == cost(one).macs - output + 2 * 4
    assert cost(one).params == cost(one).weights + 4 + 2
