"""An exported student in int8: onnxruntime's static quantisation, calibrated on training images.

Weights have a scale for each filter, activations one for each tensor (QDQ format, int8 for both, as microcontrollers'
kernels take them). The preprocessing stays in float32: the file takes the same pixels as the float32 file.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from fitnets.export import INPUT
from fitnets.images.images import Split
from fitnets.values.base import seed_of

CALIBRATION = 512  # training images from which the ranges of activations are taken
CALIBRATION_BATCH = 64
METHOD = "MinMax"
WEIGHTS = "network."  # what the names of the net's own weights begin with, see `fitnets.export.Deployed`


def calibration_pixels(train: Split, seed: int) -> NDArray[np.float32]:
    """Pixels in [0, 1], NCHW, of `CALIBRATION` training images, or of all where there are fewer.

    Equal arguments give equal images.
    """
    generator = np.random.default_rng(seed_of("int8", seed))
    chosen = np.sort(generator.permutation(len(train))[:CALIBRATION])
    pixels_NHWC = train.pixels_NHWC.cpu()[torch.from_numpy(chosen)]
    return np.ascontiguousarray((pixels_NHWC.permute(0, 3, 1, 2).float() / 255.0).numpy())


def quantised(file: bytes, pixels_NCHW: NDArray[np.float32]) -> bytes:
    """The int8 file of an exported float32 one, with its metadata; `pixels_NCHW` in [0, 1] calibrate it.

    Equal arguments give equal bytes.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The calibration images, in batches."""

        def __init__(self) -> None:
            self._batches = _batches(pixels_NCHW)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._batches, None)

    model = onnx.load_from_string(file)
    with tempfile.TemporaryDirectory() as folder:
        before, folded, after = (Path(folder) / name for name in ("float32.onnx", "folded.onnx", "int8.onnx"))
        before.write_bytes(file)
        quant_pre_process(before, folded, skip_symbolic_shape=True)  # maxout's weights become constants
        quantize_static(
            folded,
            after,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # 7 bits: with 8, sums saturate on x86 processors without VNNI, and answers go wrong
            nodes_to_exclude=_before(onnx.load(folded), image_of(model)),
        )
        result = onnx.load(after)
    plain = [opset for opset in result.opset_import if opset.domain == ""]
    del result.opset_import[:]  # onnxruntime lists every domain that it knows
    result.opset_import.extend(plain)
    del result.graph.value_info[:]  # shapes that are inferred again when the file is loaded
    onnx.helper.set_model_props(result, {entry.key: entry.value for entry in model.metadata_props})
    onnx.checker.check_model(result, full_check=True)
    return bytes(result.SerializeToString(deterministic=True))


def image_of(model: ModelProto) -> str:
    """The name of the tensor that the net's first layer reads: the image after its preprocessing."""
    weights = {tensor.name for tensor in model.graph.initializer if tensor.name.startswith(WEIGHTS)}
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if all(name in constants for name in node.input):
            constants |= set(node.output)
            weights |= set(node.output) if weights & set(node.input) else set()
        elif weights & set(node.input):
            return str(next(name for name in node.input if name not in constants))
    raise ValueError(f"no operator of this graph reads weights whose names begin with `{WEIGHTS}`.")


def _before(model: ModelProto, tensor: str) -> list[str]:
    """The names of the nodes from which a tensor is computed."""
    wanted, found = {tensor}, []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            found.append(node.name)
    return found


def _batches(pixels_NCHW: NDArray[np.float32]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(pixels_NCHW), CALIBRATION_BATCH):
        yield {INPUT: pixels_NCHW[start : start + CALIBRATION_BATCH]}
