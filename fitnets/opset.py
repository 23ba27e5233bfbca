"""The lowest ONNX opset and IR version that an exported graph allows, so that older runtimes take the file.

torch writes opset 18 or newer, and more about each node than old readers know. Most operators have not changed since
opset 14; the three kinds below have, and are written as they were before, with the same meaning.
"""

import onnx
from onnx import ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper

EXPORTED = 18  # the lowest opset that torch writes
BEFORE = EXPORTED - 1
RUNTIMES = {14: (7, "1.8"), 15: (8, "1.9"), 16: (8, "1.11"), 17: (8, "1.12"), 18: (8, "1.14")}
"""By opset: the IR version that ONNX had when it was new, and the first onnxruntime that has both.

From https://onnxruntime.ai/docs/reference/compatibility.html
"""


def lower(model: ModelProto) -> None:
    """Declare the lowest opset and IR version that `model`, of opset `EXPORTED`, allows. Rewrites it in place."""
    graph = model.graph
    shapes = {info.name: info.type.tensor_type.shape.SerializeToString() for info in graph.value_info}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")  # where in torch's code it is from: read from IR version 10 on
    opset = max(_since(node, shapes, constants) for node in graph.node)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
    onnx.checker.check_model(model)


def versions(file: bytes) -> tuple[int, int]:
    """The opset and the IR version that an ONNX file declares."""
    model = onnx.load_from_string(file)
    return model.opset_import[0].version, model.ir_version


def smallest_runtime(opset: int) -> str:
    """The first onnxruntime that runs files of this opset, as `1.8`."""
    return RUNTIMES[opset][1]


def _since(node: NodeProto, shapes: dict[str, bytes], constants: dict[str, TensorProto]) -> int:
    """The lowest opset in which a node means the same, after it was rewritten to be of an older one where it can be."""
    known = EXPORTED
    if node.op_type == "Split" and _into_equal_parts(node, shapes):
        _drop(node, "num_outputs")  # without it, and without sizes, the parts are equal
        known = BEFORE
    elif node.op_type.startswith("Reduce") and len(node.input) == 2 and node.input[1] in constants:
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
        _drop(node, "noop_with_empty_axes")
        del node.input[1]
        node.attribute.append(helper.make_attribute("axes", axes))
        known = BEFORE
    elif node.op_type == "Pad" and len(node.input) <= 3:  # the fourth, the axes, is new
        known = BEFORE
    return int(defs.get_schema(node.op_type, known, node.domain).since_version)


def _into_equal_parts(node: NodeProto, shapes: dict[str, bytes]) -> bool:
    parts = {shapes.get(name) for name in node.output}
    return len(node.input) == 1 and len(parts) == 1 and None not in parts


def _drop(node: NodeProto, name: str) -> None:
    for attribute in [attribute for attribute in node.attribute if attribute.name == name]:
        node.attribute.remove(attribute)
