"""What a net costs, by arithmetic on its layers: without tensors or training, in microseconds.

The tests check it against the same nets on the meta device and against the paper's own numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from fitnets.config import Cost
from fitnets.nets.footprint import FLOAT_BYTES, held
from fitnets.values.net import Net, Shape


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted of one layer by itself."""

    kind: Literal["conv", "dense", "output"]
    shape: Shape
    """Channels, rows, columns after pooling."""
    weights: int
    params: int
    buffers: int
    macs: int


@dataclass(frozen=True, slots=True)
class LayerCost(Counts):
    """The cost of one layer; layers are numbered from 1, the output layer is the last."""

    number: int
    activations: int
    """The most numbers that are alive while one of its operators runs, for one image (see `fitnets.nets.footprint`)."""


class Costs(NamedTuple):
    """The costs that a search weighs accuracy against."""

    params: int
    macs: int


def layers(net: Net) -> tuple[LayerCost, ...]:
    """The cost of each layer, from the input up."""
    counted = enumerate(zip(_counts(net), held(net), strict=True), start=1)
    return tuple(LayerCost(**asdict(counts), number=n, activations=alive) for n, (counts, alive) in counted)


def params_and_macs(net: Net) -> Costs:
    """The net's parameters and multiply-adds, in a fraction of the time of `cost`: a search asks it of many nets."""
    rows = list(_counts(net))
    return Costs(sum(row.params for row in rows), sum(row.macs for row in rows))


def cost(net: Net) -> Cost:
    """The whole net's cost."""
    rows = layers(net)
    return Cost(
        params=sum(row.params for row in rows),
        weights=sum(row.weights for row in rows),
        macs=sum(row.macs for row in rows),
        weight_bytes=FLOAT_BYTES * sum(row.params + row.buffers for row in rows),
        peak_activation_bytes=FLOAT_BYTES * max(row.activations for row in rows),
    )


def total_cost(nets: Sequence[Net]) -> Cost:
    """The cost of several nets that run one after the other on each image, as an ensemble's members do."""
    costs = [cost(net) for net in nets]
    return Cost(
        params=sum(each.params for each in costs),
        weights=sum(each.weights for each in costs),
        macs=sum(each.macs for each in costs),
        weight_bytes=sum(each.weight_bytes for each in costs),
        peak_activation_bytes=max(each.peak_activation_bytes for each in costs),
    )


def _counts(net: Net) -> Iterator[Counts]:
    """The counts of each layer, from the input up."""
    channels = net.input[0]
    for conv, ((units, map_height, map_width), after) in zip(net.convs, net.maps(), strict=True):
        filters = conv.pieces * units
        weights = filters * channels * conv.kernel**2
        positions = map_height * map_width
        norm, buffers = _norm(net, filters)
        params = weights + filters * (positions if net.biases == "untied" else 1) + norm
        yield Counts("conv", after, weights, params, buffers, weights * positions)
        channels = after[0]
    inputs = net.features
    for dense in net.dense:
        filters = dense.pieces * dense.width
        weights = inputs * filters
        norm, buffers = _norm(net, filters)
        yield Counts("dense", (dense.width, 1, 1), weights, weights + filters + norm, buffers, weights)
        inputs = dense.width
    weights = inputs * net.outputs
    yield Counts("output", (net.classes, 1, 1), weights, weights + net.outputs, 0, weights)


def _norm(net: Net, filters: int) -> tuple[int, int]:
    """Trained numbers and running statistics of a layer's batch normalisation."""
    return (2 * filters, 2 * filters) if net.norm == "batch" else (0, 0)
