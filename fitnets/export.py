"""A student exported for deployment: an ONNX file, compared with torch, with its accuracy and its latency.

Shape suffixes: B batch, C channels, H rows, W columns, K classes. The exported model takes pixels in [0, 1] and
contains its own preprocessing, so the caller cannot normalise them wrongly.
"""

import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from fitnets.errors import InputError
from fitnets.images.images import EVAL_BATCH, Preprocess, Split
from fitnets.nets.network import Network
from fitnets.opset import EXPORTED, lower
from fitnets.values.base import Value
from fitnets.values.net import Net, Shape

TOLERANCE = 1e-4  # largest allowed difference of a logit from torch's, relative to torch's largest |logit|
INPUT, OUTPUT = "pixels", "logits"


class Latency(Value):
    """The latency of one pass in onnxruntime, in milliseconds."""

    threads: int
    batch: int = 1
    """Images a pass."""
    runs: int
    p50_ms: float
    p90_ms: float


class Deployed(nn.Module):
    """A network preceded by its preprocessing: pixels in [0, 1], BCHW, to logits BK."""

    def __init__(self, network: nn.Module, preprocess: Preprocess):
        super().__init__()
        self.network, self.preprocess = network, preprocess

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Pixels in [0, 1], BCHW, to logits BK."""
        logits_BK: Tensor = self.network(self.preprocess(pixels_BCHW * 255.0))
        return logits_BK


def restored(net: Net, weights: bytes) -> Network:
    """The network with its weights from the bytes of a safetensors file, in eval mode."""
    network = Network(net)
    network.load_state_dict(load_tensors(weights))
    return network.eval()


def onnx_file(deployed: Deployed, shape: Shape, metadata: Mapping[str, str] | None = None) -> bytes:
    """The model as one ONNX file with a free batch size, of the lowest opset that it allows, with its metadata."""
    program = _exported(deployed.eval(), torch.rand(2, *shape))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        program.save(path, external_data=False)
        model = onnx.load(path)
    lower(model)
    onnx.helper.set_model_props(model, dict(metadata or {}))
    return bytes(model.SerializeToString())


def _exported(deployed: Deployed, example_BCHW: Tensor) -> torch.onnx.ONNXProgram:
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it reports every constant that it does not fold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            deployed,
            (example_BCHW,),
            dynamo=True,
            verbose=False,
            opset_version=EXPORTED,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    return program


class OnnxModel:
    """An exported file, run by onnxruntime on the CPU."""

    def __init__(self, file: bytes, threads: int = 1):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self.threads = threads
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def __call__(self, pixels_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pixels in [0, 1], BCHW, to logits BK."""
        logits_BK: NDArray[np.float32] = self._session.run([OUTPUT], {INPUT: pixels_BCHW})[0]
        return logits_BK

    def latency(self, shape: Shape, runs: int = 200, batch: int = 1) -> Latency:
        """The time of a pass of `batch` images of `shape` (channels, rows, columns), over `runs` after a warm-up."""
        pixels = np.random.default_rng(0).random((batch, *shape), dtype=np.float32)
        for _ in range(max(3, runs // 10)):
            self(pixels)
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            self(pixels)
            times.append(1000 * (time.perf_counter() - began))
        deciles = statistics.quantiles(times, n=10)
        return Latency(
            threads=self.threads, batch=batch, runs=runs, p50_ms=statistics.median(times), p90_ms=deciles[-1]
        )


class Check(Value):
    """How the exported file compares with torch on a split of the images."""

    images: int
    onnx_accuracy: float
    torch_accuracy: float
    largest_difference: float
    """Of any logit."""


def check(model: OnnxModel, deployed: Deployed, split: Split) -> Check:
    """Run every image of `split` through both.

    Raises InputError when a logit differs by more than `TOLERANCE` times the largest |logit| that torch computes on
    these images, when a logit is not finite, or when the two choose different classes for an image whose two largest
    logits are further apart than that limit.
    """
    largest, scale, widest_flip, right_onnx, right_torch = 0.0, 0.0, 0.0, 0, 0
    for pixels_BCHW, label_B in _pixels(split):
        ours_BK = model(pixels_BCHW)
        with torch.no_grad():
            theirs_BK = deployed(torch.from_numpy(pixels_BCHW)).numpy()
        ours_B, theirs_B = ours_BK.argmax(1), theirs_BK.argmax(1)
        second_B, first_B = np.partition(theirs_BK, -2, axis=1)[:, -2:].T
        scale = max(scale, float(np.abs(theirs_BK).max()))
        with np.errstate(invalid="ignore"):  # infinity - infinity: a NaN, which is refused below
            largest = float(np.maximum(largest, np.abs(ours_BK - theirs_BK).max()))  # unlike max(), propagates a NaN
            widest_flip = max(widest_flip, float((first_B - second_B)[ours_B != theirs_B].max(initial=0.0)))
        right_onnx += int((ours_B == label_B).sum())
        right_torch += int((theirs_B == label_B).sum())
    limit = TOLERANCE * scale
    rule = f"{limit:.2g} ({TOLERANCE:g} of the largest logit on {len(split):,} images, {scale:.3g})"
    remedy = "this student cannot be shipped: update onnx, onnxscript and onnxruntime, or export another trial."
    if not (math.isfinite(largest) and largest <= limit):
        raise InputError(f"the ONNX file's logits differ from torch's by {largest:.2g}, more than {rule}: {remedy}")
    if widest_flip > limit:
        raise InputError(
            f"the ONNX file chooses another class than torch where torch's two largest logits are {widest_flip:.2g} "
            f"apart (the largest difference of a logit is {largest:.2g}), more than {rule}: {remedy}"
        )
    n = len(split)
    return Check(images=n, onnx_accuracy=right_onnx / n, torch_accuracy=right_torch / n, largest_difference=largest)


def measure(model: OnnxModel, split: Split) -> float:
    """A file's accuracy on the images of `split`. Raises InputError when a logit is not finite."""
    right = 0
    for pixels_BCHW, label_B in _pixels(split):
        logits_BK = model(pixels_BCHW)
        if not np.isfinite(logits_BK).all():
            raise InputError("a logit of the ONNX file is not a finite number: export another trial.")
        right += int((logits_BK.argmax(1) == label_B).sum())
    return right / len(split)


def _pixels(split: Split) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """A split in batches of raw pixels in [0, 1], BCHW, as the exported model takes them, with their labels."""
    if split.pixels_NHWC.dtype != torch.uint8:
        raise ValueError(
            "whitened images are not pixels any more: load the data with `whiten=False` and `local_contrast=False`."
        )
    for start in range(0, len(split), EVAL_BATCH):
        chunk = split.pixels_NHWC[start : start + EVAL_BATCH].cpu().permute(0, 3, 1, 2)
        label_B = split.label_N[start : start + EVAL_BATCH].cpu().numpy()
        yield np.ascontiguousarray((chunk.float() / 255.0).numpy()), label_B
