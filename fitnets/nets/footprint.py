"""What a net needs on a device: the memory of its activations, and its bytes in int8. No tensors, microseconds.

Peak memory is the largest sum, over the operators of the exported graph in its order, of the activations that are alive
while one of them runs, for one image: what it reads, what it writes, and what a later operator still reads. The rules
are those of microcontrollers' runtimes, TensorFlow Lite Micro's first of all:

- an operator never overwrites what it reads;
- a bias for each filter, batch normalisation and a ReLU right behind an operator are computed within that operator;
- a reshape copies nothing; weights stay in flash.

The runtime itself, and what its kernels need for themselves, come on top. The image counts in its standardised form.
"""

from typing import NamedTuple

from fitnets.values.base import Value
from fitnets.values.net import Net

FLOAT_BYTES = 4
FILTER_BYTES = 17
"""What an int8 file stores for a filter beside its weights: the weights' scale (4) and zero point (1), and the bias (4)
with a scale (4) and a zero point (4) of its own."""


class Footprint(Value):
    """What a deployed net needs, in bytes."""

    memory: int
    """Peak memory of float32 activations."""
    int8_memory: int
    """Peak memory of int8 activations: a quarter of it."""
    int8_size: int
    """Of the weights in int8 with their scales, zero points and biases, as `search.pick --int8` exports them. Its ONNX
    file is larger by the text of its graph."""


class Operator(NamedTuple):
    """An operator: its layer, the tensors that it reads, the one that it writes, and how many numbers that has."""

    layer: int
    """From 1; 0 for the image, which reads nothing."""
    reads: tuple[str, ...]
    writes: str
    numbers: int


def footprint(net: Net) -> Footprint:
    """The net's footprint."""
    peak = max(held(net))
    return Footprint(memory=FLOAT_BYTES * peak, int8_memory=peak, int8_size=_int8_size(net))


def held(net: Net) -> list[int]:
    """For each layer, the most numbers that are alive while one of its operators runs."""
    graph = operators(net)
    last_read = {name: at for at, each in enumerate(graph) for name in each.reads}
    alive: dict[str, int] = {}
    most = [0] * (graph[-1].layer + 1)
    for at, each in enumerate(graph):
        alive[each.writes] = each.numbers
        most[each.layer] = max(most[each.layer], sum(alive.values()))
        alive = {name: numbers for name, numbers in alive.items() if last_read.get(name, 0) > at}
    return most[1:]


def operators(net: Net) -> list[Operator]:
    """The operators of the exported net in their order, for one image."""
    channels, rows, columns = net.input
    graph = _Graph()
    graph.add(channels * rows * columns)
    for conv, ((width, rows, columns), after) in zip(net.convs, net.maps(), strict=True):
        numbers, layer_input = width * rows * columns, graph.newest
        graph.layer += 1
        graph.activated(conv.pieces, numbers, joint=net.norm == "batch", untied=net.biases == "untied")
        if conv.shortcut:
            graph.add(numbers, graph.newest, layer_input)
        if conv.pool >= min(2, rows, columns):  # a map of one position is pooled too
            graph.add(after[0] * after[1] * after[2], graph.newest)
    for dense in net.dense:
        graph.layer += 1
        graph.activated(dense.pieces, dense.width, joint=net.norm == "batch")
    graph.layer += 1
    graph.add(net.outputs, graph.newest)
    if net.output == "sigmoid":
        graph.add(net.classes, graph.newest)
    return graph.rows


class _Graph:
    """Operators, the newest last; tensors are named by their place."""

    def __init__(self) -> None:
        self.rows: list[Operator] = []
        self.layer = 0

    @property
    def newest(self) -> str:
        return self.rows[-1].writes

    def add(self, numbers: int, *reads: str) -> str:
        self.rows.append(Operator(self.layer, reads, str(len(self.rows)), numbers))
        return self.newest

    def activated(self, pieces: int, numbers: int, *, joint: bool, untied: bool = False) -> None:
        """A linear part and its activation, which writes this many numbers.

        Two pieces are two linear parts, unless they are normalised together (`joint`); more are one, cut into pieces.
        """
        layer_input = self.newest
        if pieces == 1:
            self._linear(numbers, layer_input, untied)
            return
        if pieces == 2 and not joint:
            second = self._linear(numbers, layer_input, untied)
            self.add(numbers, second, self._linear(numbers, layer_input, untied))
            return
        whole = self._linear(pieces * numbers, layer_input, untied)
        largest, *others = [self.add(numbers, whole) for _ in range(pieces)]
        for piece in others:
            largest = self.add(numbers, piece, self.add(numbers, largest, piece))

    def _linear(self, numbers: int, layer_input: str, untied: bool) -> str:
        """A convolution or a fully connected part; biases for each position are added by an operator of their own."""
        linear = self.add(numbers, layer_input)
        return self.add(numbers, linear) if untied else linear


def _int8_size(net: Net) -> int:
    """One byte a weight and `FILTER_BYTES` a filter; a bias for each position takes one byte."""
    size, channels = 0, net.input[0]
    for conv, ((width, rows, columns), _) in zip(net.convs, net.maps(), strict=True):
        filters = conv.pieces * width
        per_filter = 5 + rows * columns if net.biases == "untied" else FILTER_BYTES
        size += filters * (channels * conv.kernel**2 + per_filter)
        channels = width
    inputs = net.features
    for dense in net.dense:
        size += dense.pieces * dense.width * (inputs + FILTER_BYTES)
        inputs = dense.width
    return size + net.outputs * (inputs + FILTER_BYTES)
