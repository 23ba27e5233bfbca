"""An exported file declares the lowest opset and IR version that its graph allows, and answers as it did before."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from fitnets.config import Data
from fitnets.export import Deployed, OnnxModel, onnx_file
from fitnets.images.images import Preprocess, load
from fitnets.nets.network import Network, initialise
from fitnets.opset import EXPORTED, RUNTIMES, lower, smallest_runtime, versions
from fitnets.values.net import Conv, Dense, Net
from tests.helpers import STUDENT

PLAIN = Preprocess(torch.zeros(1), torch.full((1,), 255.0))
STAGES = ((4, 4), (6, 6, 8))
NETS = {
    "one piece, normalised": Net.staged((3, 12, 10), 4, STAGES, pieces=1, norm="batch"),
    "one piece, normalised, shortcuts": Net.staged((3, 12, 10), 4, STAGES, pieces=1, norm="batch", shortcuts=True),
    "maxout": Net.staged((3, 12, 10), 4, STAGES, pieces=2),
    "three pieces, shortcuts": Net.staged((3, 12, 10), 4, STAGES, pieces=3, shortcuts=True),
    "overlapping pools, dense": Net(
        input=(3, 11, 8),
        convs=(Conv(width=4, pieces=3, pool=3, pool_stride=2), Conv(width=6, kernel=2, pad=0)),
        dense=(Dense(width=5, pieces=2),),
        classes=4,
        norm="batch",
    ),
    "untied, sigmoid": Net.staged((1, 8, 8), 2, ((4,), (6,))).changed(biases="untied", output="sigmoid"),
}


def file_of(net: Net, preprocess: Preprocess = PLAIN) -> tuple[bytes, Deployed]:
    network = Network(net)
    initialise(network, "scaled", 0.0, 0)
    deployed = Deployed(network, preprocess).eval()
    return onnx_file(deployed, net.input, {"classes": "[]"}), deployed


@pytest.mark.parametrize("kind", NETS)
def test_a_student_needs_opset_14_and_ir_version_7(kind: str) -> None:
    file, _ = file_of(NETS[kind])
    assert versions(file) == (14, 7)
    assert smallest_runtime(14) == "1.8"
    onnx.checker.check_model(onnx.load_from_string(file), full_check=True)


@pytest.mark.parametrize(("normalisation", "declared"), [("whiten", (14, 7)), ("local_contrast", (15, 8))])
def test_a_normalising_student_needs_little_more(normalisation: str, declared: tuple[int, int]) -> None:
    images = load(Data(name="digits").changed(**{normalisation: True}), Path("nowhere"))
    file, deployed = file_of(STUDENT, images.preprocess)
    assert versions(file) == declared
    assert RUNTIMES[declared[0]][0] == declared[1]
    pixels = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert np.abs(OnnxModel(file)(pixels.numpy()) - deployed(pixels).numpy()).max() < 1e-4


def test_the_table_pairs_each_opset_with_the_ir_version_that_onnx_pairs_it_with() -> None:
    assert set(RUNTIMES) == set(range(14, EXPORTED + 1))
    for opset, (ir_version, _) in RUNTIMES.items():
        assert helper.find_min_ir_version_for([helper.make_opsetid("", opset)]) == ir_version


def test_no_smaller_opset_has_these_operators() -> None:
    """Relabelled with one less, the file is not valid, or means something else to ONNX's own table."""
    model = onnx.load_from_string(file_of(NETS["maxout"])[0])
    needed = {node.op_type: onnx.defs.get_schema(node.op_type, 14, "").since_version for node in model.graph.node}
    assert max(needed.values()) == 14


def small(nodes: list[onnx.NodeProto], constants: dict[str, list[int]]) -> onnx.ModelProto:
    """A model of these nodes, from `x` (2, 6) to `y`, of opset 18."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 6])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])],
            [numpy_helper.from_array(np.array(values, dtype=np.int64), name) for name, values in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    return onnx.shape_inference.infer_shapes(model)


def test_what_older_opsets_cannot_say_stays_as_it_is() -> None:
    """Unequal parts, axes that are computed, and the four inputs of a new Pad."""
    unequal = helper.make_node("Split", ["x"], ["a", "b", "c", "d"], axis=1, num_outputs=4)  # 2, 2, 2 and none
    computed = [
        helper.make_node("Identity", ["axes"], ["found"]),
        helper.make_node("ReduceSum", ["x", "found"], ["sum"]),
        helper.make_node("ReduceMax", ["x", "found"], ["y"]),
    ]
    padded = helper.make_node("Pad", ["x", "pads", "", "axes"], ["y"])
    uneven = small([unequal, helper.make_node("Concat", ["a", "d"], ["y"], axis=1)], {})
    for model in (uneven, small(computed, {"axes": [1]}), small([padded], {"pads": [1, 1], "axes": [1]})):
        before = [node.SerializeToString() for node in model.graph.node]
        lower(model)
        assert model.opset_import[0].version == 18
        assert [node.SerializeToString() for node in model.graph.node] == before


def test_where_the_code_stood_that_made_a_node_is_not_in_the_file() -> None:
    """Such entries came with IR version 10, and name the files of whoever exported."""
    file, _ = file_of(NETS["maxout"])
    model = onnx.load_from_string(file)
    assert not any(node.metadata_props for node in model.graph.node)
    assert b"site-packages" not in file and b".py" not in file
    assert [entry.key for entry in model.metadata_props] == ["classes"]
