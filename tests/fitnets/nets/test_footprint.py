"""What a net needs on a device: counted by hand, and again on the exported ONNX graph, from its tensors' shapes."""

import math

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from onnx import ModelProto, NodeProto, shape_inference

from fitnets.nets.cost import cost, layers
from fitnets.nets.footprint import footprint, held
from fitnets.values.net import Conv, Dense, Net
from tests.fitnets.test_opset import NETS, file_of
from tests.helpers import nets

WITHIN = {"Relu", "BatchNormalization"}  # right behind another operator they are part of it
VIEWS = {"Reshape", "Squeeze"}


def alive_at_most(model: ModelProto) -> int:
    """The most numbers alive at once in an exported graph, the standardised image first, for one image.

    Of each tensor the first and the last operator that needs it, then the largest sum over the operators.
    """
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    shapes = {
        info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        for info in shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    } | {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in model.graph.output}
    constant = {tensor.name for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if all(name in constant for name in node.input):
            constant |= set(node.output)
        else:
            nodes.append(node)
    first = next(i for i, node in enumerate(nodes) if node.op_type == "Conv")
    image = nodes[first].input[0]
    born, dies, stored_as, at = {image: 0}, {image: 0}, {image: image}, 0
    for node in nodes[first:]:
        read = [stored_as[name] for name in node.input if name not in constant]
        (written,) = node.output
        if node.op_type in WITHIN | VIEWS:
            stored_as[written] = read[0]
            continue
        at += 1
        stored_as[written], born[written] = written, at
        dies |= dict.fromkeys([*read, written], at)
    sizes = {name: math.prod(shapes[name]) for name in born}
    assert all(sizes.values()), shapes
    together = [sum(sizes[name] for name in born if born[name] <= now <= dies[name]) for now in range(at + 1)]
    return int(max(together))


@pytest.mark.parametrize("kind", NETS)
def test_peak_memory_is_that_of_the_exported_graph(kind: str) -> None:
    peak = alive_at_most(onnx.load_from_string(file_of(NETS[kind])[0]))
    found = footprint(NETS[kind])
    assert (found.memory, found.int8_memory) == (4 * peak, peak)
    assert cost(NETS[kind]).peak_activation_bytes == found.memory


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(nets())
def test_peak_memory_is_that_of_any_exported_graph(net: Net) -> None:
    assert max(held(net)) == alive_at_most(onnx.load_from_string(file_of(net)[0]))


def test_what_is_alive_in_each_layer_counted_by_hand() -> None:
    plain = Net.staged((1, 8, 8), 10, ((4, 4), (6,)), pieces=1)
    image, large, pooled, small, ends = 64, 4 * 64, 4 * 16, 6 * 16, 6
    assert held(plain) == [image + large, large + large, pooled + small, ends + 10]
    assert footprint(plain).memory == 4 * 2 * large
    added = Net.staged((1, 8, 8), 10, ((4, 4), (6,)), pieces=1, shortcuts=True)
    assert held(added)[1] == 3 * large, "the input, the map, and their sum: nothing is overwritten"
    maxout = Net.staged((1, 8, 8), 10, ((4, 4), (6,)), pieces=2)
    assert held(maxout)[:2] == [3 * large, 3 * large], "both pieces, and the image or the larger of them"
    cut = Net.staged((1, 8, 8), 10, ((4, 4), (6,)), pieces=3)
    assert held(cut)[0] == 2 * 3 * large, "one map of all pieces, and the pieces cut out of it"
    wide = Net(input=(1, 9, 9), convs=(Conv(width=8, pieces=1, pool=2, pool_stride=1),), classes=2)
    assert held(wide)[0] == 8 * (81 + 64), "what is pooled and the pooled map, more than the image and the map"


def test_each_layers_row_has_what_is_alive_in_it() -> None:
    for net in NETS.values():
        assert [row.activations for row in layers(net)] == held(net)


def test_int8_size_counted_by_hand() -> None:
    net = Net(input=(3, 6, 6), convs=(Conv(width=4, pieces=2),), dense=(Dense(width=5, pieces=3),), classes=2)
    filters, weights = 8 + 15 + 2, 8 * 27 + 15 * 144 + 2 * 5
    assert footprint(net).int8_size == weights + 17 * filters
    untied = Net(input=(3, 6, 6), convs=(Conv(width=4, pieces=1),), classes=2, biases="untied")
    assert footprint(untied).int8_size == 4 * 27 + 4 * 5 + 4 * 36 + 2 * 144 + 2 * 17
