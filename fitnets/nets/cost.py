"""What a net costs, by arithmetic on its layers: without tensors or training, in microseconds.

The tests check it against the same nets on the meta device and against the paper's own numbers.
"""

from collections.abc import Sequence
from typing import Literal

from fitnets.config import Cost
from fitnets.nets.footprint import FLOAT_BYTES, held
from fitnets.values.base import Value
from fitnets.values.net import Net, Shape


class LayerCost(Value):
    """The cost of one layer; layers are numbered from 1, the output layer is the last."""

    number: int
    kind: Literal["conv", "dense", "output"]
    shape: Shape
    """Channels, rows, columns after pooling."""
    weights: int
    params: int
    buffers: int
    macs: int
    activations: int
    """The most numbers that are alive while one of its operators runs, for one image (see `fitnets.nets.footprint`)."""


def layers(net: Net) -> tuple[LayerCost, ...]:
    """The cost of each layer, from the input up."""
    rows: list[LayerCost] = []
    channels = net.input[0]
    alive = held(net)
    for conv, ((units, map_height, map_width), after) in zip(net.convs, net.maps(), strict=True):
        filters = conv.pieces * units
        weights = filters * channels * conv.kernel**2
        positions = map_height * map_width
        norm, buffers = _norm(net, filters)
        rows.append(
            LayerCost(
                number=len(rows) + 1,
                kind="conv",
                shape=after,
                weights=weights,
                params=weights + filters * (positions if net.biases == "untied" else 1) + norm,
                buffers=buffers,
                macs=weights * positions,
                activations=alive[len(rows)],
            )
        )
        channels = after[0]
    inputs = net.features
    for dense in net.dense:
        filters = dense.pieces * dense.width
        norm, buffers = _norm(net, filters)
        rows.append(_dense(len(rows) + 1, "dense", inputs, dense.width, filters, norm, buffers, alive[len(rows)]))
        inputs = dense.width
    rows.append(_dense(len(rows) + 1, "output", inputs, net.classes, net.outputs, 0, 0, alive[-1]))
    return tuple(rows)


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


def _norm(net: Net, filters: int) -> tuple[int, int]:
    """Trained numbers and running statistics of a layer's batch normalisation."""
    return (2 * filters, 2 * filters) if net.norm == "batch" else (0, 0)


def _dense(
    number: int,
    kind: Literal["dense", "output"],
    inputs: int,
    units: int,
    filters: int,
    norm: int,
    buffers: int,
    activations: int,
) -> LayerCost:
    return LayerCost(
        number=number,
        kind=kind,
        shape=(units, 1, 1),
        weights=inputs * filters,
        params=inputs * filters + filters + norm,
        buffers=buffers,
        macs=inputs * filters,
        activations=activations,
    )
