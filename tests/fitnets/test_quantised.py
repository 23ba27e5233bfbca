"""An exported student in int8: what is in the file, that it is always the same, and that it answers as float32 does."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from fitnets.config import Data
from fitnets.export import Deployed, OnnxModel, measure, onnx_file
from fitnets.images.images import Split, load
from fitnets.nets.footprint import footprint
from fitnets.nets.network import Network
from fitnets.quantised import CALIBRATION, calibration_pixels, image_of, quantised
from fitnets.values.net import Net
from tests.fitnets.test_opset import NETS, PLAIN, file_of
from tests.helpers import STUDENT

ONCE = """
import hashlib, sys
import numpy as np
from fitnets.quantised import quantised
pixels = np.random.default_rng(0).random((40, 1, 8, 8), dtype=np.float32)
print(hashlib.sha256(quantised(open(sys.argv[1], "rb").read(), pixels)).hexdigest())
"""


def pixels_for(net: Net, number: int = 40) -> np.ndarray:
    return np.random.default_rng(0).random((number, *net.input), dtype=np.float32)


@pytest.mark.parametrize("kind", NETS)
def test_int8_answers_nearly_as_float32_and_its_tensors_are_as_large_as_was_counted(kind: str) -> None:
    net = NETS[kind]
    torch.manual_seed(0)  # torch's own initial biases are not 0: onnxruntime leaves out those that are
    file = onnx_file(Deployed(Network(net), PLAIN).eval(), net.input, {"classes": "[]"})
    pixels = pixels_for(net)
    small = quantised(file, pixels)
    wanted, found = OnnxModel(file)(pixels), OnnxModel(small)(pixels)
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
    model = onnx.load_from_string(small)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"classes": "[]"}
    assert [opset.domain for opset in model.opset_import] == [""]
    tensors = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    stored = sum(array.nbytes for array in tensors)
    activations = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
    rest = stored - footprint(net).int8_size  # activations' scales, the preprocessing's and the shapes' constants
    assert 0 <= rest <= 5 * (activations + 2) + 150, (stored, footprint(net).int8_size)
    layers = len(net.convs) + len(net.dense) + 1
    assert len(small) < stored + 4500 * max(layers, net.convs[0].pieces * layers / 2), "the text of the graph"
    weights = [t for t in model.graph.initializer if len(t.dims) in (2, 4)]
    assert weights and all(tensor.data_type == TensorProto.INT8 for tensor in weights)


def test_the_same_images_give_the_same_file_in_any_process(tmp_path: Path) -> None:
    file, _ = file_of(STUDENT)
    (tmp_path / "student.onnx").write_bytes(file)
    here = hashlib.sha256(quantised(file, pixels_for(STUDENT))).hexdigest()
    words = [sys.executable, "-c", ONCE, str(tmp_path / "student.onnx")]
    result = subprocess.run(words, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == here
    assert hashlib.sha256(quantised(file, pixels_for(STUDENT, 8))).hexdigest() != here, "ranges are the images'"


@pytest.mark.parametrize("normalisation", ["whiten", "local_contrast"])
def test_preprocessing_stays_in_float32(normalisation: str) -> None:
    images = load(Data(name="digits").changed(**{normalisation: True}), Path("nowhere"))
    file, _ = file_of(STUDENT, images.preprocess)
    pixels = pixels_for(STUDENT)
    small = quantised(file, pixels)
    image = image_of(onnx.load_from_string(file))
    node = next(n for n in onnx.load_from_string(small).graph.node if n.op_type == "QuantizeLinear")
    assert node.input[0] == image, "the first tensor that is quantised is the image behind its preprocessing"
    wanted, found = OnnxModel(file)(pixels), OnnxModel(small)(pixels)
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_calibration_images_are_training_images_always_the_same() -> None:
    images = load(Data(name="digits"), Path("nowhere"))
    first, again = (calibration_pixels(images.train, 0) for _ in range(2))
    assert first.shape == (CALIBRATION, 1, 8, 8) and first.dtype == np.float32 and np.array_equal(first, again)
    assert not np.array_equal(first, calibration_pixels(images.train, 1))
    known = {pixels.numpy().tobytes() for pixels in images.train.pixels_NHWC.permute(0, 3, 1, 2)}
    assert all((255 * pixels).round().astype(np.uint8).tobytes() in known for pixels in first)
    few = Split(images.train.pixels_NHWC[:7], images.train.label_N[:7])
    assert len(calibration_pixels(few, 0)) == 7


def test_a_files_accuracy_is_counted_over_all_images() -> None:
    file, deployed = file_of(STUDENT)
    images = load(Data(name="digits"), Path("nowhere"))
    with torch.no_grad():
        pixels = images.val.pixels_NHWC.permute(0, 3, 1, 2).float() / 255
        right = int((deployed(pixels).argmax(1) == images.val.label_N).sum())
    assert measure(OnnxModel(file), images.val) == right / len(images.val)
