"""Images on the device; training, validation and test images are never mixed.

Shape suffixes: N images, H rows, W columns, C channels, B batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from fitnets.config import Data
from fitnets.disk.store import Store, key
from fitnets.errors import InputError
from fitnets.images.contrast import global_contrast, local_contrast
from fitnets.images.identity import digest_of, limited, undivided
from fitnets.images.parts import part_of
from fitnets.images.raw import Raw
from fitnets.images.views import Plan, in_order, inside, view
from fitnets.values.base import sha256
from fitnets.values.net import Shape
from fitnets.values.per_class import PerClass
from fitnets.values.per_image import PerImage

GCN_NORM = 55.0  # the L2 norm of every image after contrast normalisation (pylearn2's CIFAR scripts)
ZCA_FLOOR = 0.1  # added to the covariance's diagonal (the same)
EVAL_BATCH = 512


@dataclass(frozen=True, slots=True)
class Split:
    """One part of a data set: uint8 pixels (float32 once contrast-normalised) and labels, on one device."""

    pixels_NHWC: Tensor
    label_N: Tensor

    def __len__(self) -> int:
        return len(self.label_N)

    def to(self, device: torch.device) -> "Split":
        """The same images on `device`."""
        return Split(self.pixels_NHWC.to(device), self.label_N.to(device))


class Preprocess(nn.Module):
    """Pixels in 0..255 to network input: standardised per channel, or contrast-normalised.

    Global contrast normalisation is followed by ZCA whitening or by local contrast normalisation. Statistics are those
    of the training images only; a student is exported with them.
    """

    mean: Tensor
    deviation: Tensor
    zca: Tensor | None

    def __init__(self, mean: Tensor, deviation: Tensor, zca: Tensor | None = None, *, local: bool = False):
        super().__init__()
        self.local = local
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.register_buffer("zca", zca)

    @classmethod
    def fitted(cls, pixels_NHWC: Tensor, data: Data) -> "Preprocess":
        """Preprocessing with the statistics of these images; local contrast normalisation has none."""
        if data.local_contrast:
            return cls(torch.zeros(1), torch.ones(1), local=True)
        if not data.whiten:
            counts_CV = torch.stack([_histogram(channel) for channel in pixels_NHWC.unbind(3)]).double()
            num, values_V = counts_CV.sum(1), torch.arange(256.0, dtype=torch.double)
            mean_C = counts_CV @ values_V / num
            variance_C = (counts_CV * (values_V - mean_C[:, None]) ** 2).sum(1) / num
            return cls(mean_C.float()[:, None, None], variance_C.sqrt().clamp_min(1.0).float()[:, None, None])
        flat = global_contrast(pixels_NHWC.permute(0, 3, 1, 2).flatten(1).float(), GCN_NORM)
        mean = flat.mean(0)
        covariance = torch.zeros(2 * flat.shape[1:], dtype=torch.double)
        for chunk in flat.split(EVAL_BATCH):  # all images at once would take gigabytes in double precision
            covariance += (chunk - mean).double().T @ (chunk - mean).double() / len(flat)
        values, vectors = torch.linalg.eigh(covariance + ZCA_FLOOR * torch.eye(len(covariance), dtype=torch.double))
        zca = (vectors * values.rsqrt()) @ vectors.T
        return cls(mean, torch.ones(1), zca.float())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Pixels in 0..255 (any number type) as BCHW to network input, float32."""
        if self.local:
            return local_contrast(global_contrast(x_BCHW.float().flatten(1), 1.0).reshape(x_BCHW.shape))
        if self.zca is None:
            return (x_BCHW.float() - self.mean) / self.deviation
        flat = global_contrast(x_BCHW.float().flatten(1), GCN_NORM) - self.mean
        return (flat @ self.zca).reshape(x_BCHW.shape)


@dataclass(frozen=True, slots=True)
class Images:
    """Training and validation images on a device. The test images are not included: see `load_test`."""

    data: Data
    train: Split
    val: Split
    classes: tuple[str, ...]
    preprocess: Preprocess
    digest: str
    """Of the pixels, the labels and the split: part of the key of everything that is trained on them."""
    notes: tuple[str, ...] = ()
    """Remarks for the user, a line of text each."""

    @property
    def shape(self) -> Shape:
        """Channels, rows, columns of an image."""
        _, height, width, channels = self.train.pixels_NHWC.shape
        return channels, height, width

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.train.label_N.device

    def whole(self) -> "Images":
        """A copy whose training images include the validation images, normalised as before (`retrain`)."""
        pixels, labels = ((self.train.pixels_NHWC, self.val.pixels_NHWC), (self.train.label_N, self.val.label_N))
        train = Split(torch.cat(pixels), torch.cat(labels))
        return replace(self, train=train, digest=sha256(f"{self.digest}, validation images too"))

    def views(self, plan: Plan, index_B: Tensor) -> Tensor:
        """The planned views of training images, as network input BCHW."""
        return self.input(self.train, plan, index_B)

    def batches(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """All images of a split, unaugmented and in order: (network input BCHW, labels B)."""
        plan = Plan.identity(len(split), self.device)
        for index_B in in_order(len(split), EVAL_BATCH, self.device):
            yield self.input(split, plan, index_B), split.label_N[index_B]

    def input(self, split: Split, plan: Plan, index_B: Tensor) -> Tensor:
        """The planned views of a split's images, as network input BCHW."""
        x_BCHW = view(split.pixels_NHWC, plan, index_B)
        if split.pixels_NHWC.dtype == torch.uint8:
            x_BCHW = self.preprocess(x_BCHW)
        if self.data.border == "zero":
            x_BCHW = x_BCHW * inside(plan, index_B, *self.shape[1:])
        return x_BCHW


def load(data: Data, root: Path, store: Store | None = None, device: torch.device | None = None) -> Images:
    """Training and validation images of `data`, split class by class. No test image is decoded.

    If the images come with a validation part, it is used and nothing is split. Decoded image files and the whitening
    are cached in `store`, so that the next process need not make them again. Raises InputError when the images cannot
    be obtained, are all equal, or are too small for `data.shift`.
    """
    device = device or torch.device("cpu")
    whole = undivided(data, root, store)
    raw = whole[0]
    rows, columns = raw.pixels_NHWC.shape[1:3]
    if data.shift >= min(rows, columns):
        raise InputError(
            f"`shift` is {data.shift}, but the images of `{data.name}` have {rows} rows and {columns} columns, and a "
            f"view must show some of its image: choose {min(rows, columns) - 1} or less."
        )
    parts = whole if len(whole) == 2 else raw.split(data.val_fraction, data.seed)
    train, val = (_split(part) for part in parts)
    digest = digest_of(data, whole)
    preprocess = _preprocess(train.pixels_NHWC, data, digest, store)
    if not data.standardised:
        train, val = _normalised(train, preprocess), _normalised(val, preprocess)
    moved = train.to(device), val.to(device), raw.classes, preprocess.to(device)
    return Images(data, *moved, digest, raw.notes)


def load_test(data: Data, root: Path, images: Images, store: Store | None = None) -> Split:
    """The test images, preprocessed as `images` are. Use them once, at the end."""
    split = _split(limited(part_of(data, root, "test", store, images.shape), data))
    return (split if data.standardised else _normalised(split, images.preprocess)).to(images.device)


def _preprocess(pixels_NHWC: Tensor, data: Data, digest: str, store: Store | None) -> Preprocess:
    """As `Preprocess.fitted`; the whitening, an eigendecomposition, is kept in `store`."""
    entry = key(zca=digest, torch=torch.__version__)
    stored = store.get("images", entry) if store is not None and data.whiten else None
    if stored is not None:
        tensors = safetensors.torch.load(stored["zca.safetensors"])
        return Preprocess(tensors["mean"], tensors["deviation"], tensors["zca"])
    fitted = Preprocess.fitted(pixels_NHWC, data)
    if store is not None and data.whiten:
        store.try_put("images", entry, {"zca.safetensors": safetensors.torch.save(fitted.state_dict())})
    return fitted


def _split(raw: Raw) -> Split:
    return Split(torch.from_numpy(np.ascontiguousarray(raw.pixels_NHWC)), torch.from_numpy(raw.label_N))


def _histogram(pixels_NHW: Tensor) -> Tensor:
    """The number of pixels of each value 0..255: exact, without a copy of all pixels as floats."""
    return torch.bincount(pixels_NHW.flatten(), minlength=256)


def _normalised(split: Split, preprocess: Preprocess) -> Split:
    parts = [preprocess(chunk.permute(0, 3, 1, 2)) for chunk in split.pixels_NHWC.split(EVAL_BATCH)]
    return Split(torch.cat(parts).permute(0, 2, 3, 1).contiguous(), split.label_N)


def accuracy(module: nn.Module, images: Images, split: Split) -> float:
    """The share of a split's images that `module` classifies correctly; in eval mode, with one device read."""
    right = torch.zeros((), dtype=torch.long, device=images.device)
    for predicted_B, label_B in _predictions(module, images, split):
        right += (predicted_B == label_B).sum()
    return int(right) / len(split)


def judged(module: nn.Module, images: Images, split: Split) -> tuple[PerClass, PerImage]:
    """How `module` classifies a split's images of each class, and which it has right; in eval mode, in one pass."""
    classes = len(images.classes)
    predicted_N, label_N = map(torch.cat, zip(*_predictions(module, images, split), strict=True))
    counts = torch.zeros(classes * classes, dtype=torch.long, device=images.device)
    counts.scatter_add_(0, label_N * classes + predicted_N, torch.ones_like(label_N))
    counted = PerClass.counted(counts.view(classes, classes).tolist())
    return counted, PerImage.counted((predicted_N == label_N).tolist())


def per_class(module: nn.Module, images: Images, split: Split) -> PerClass:
    """How `module` classifies a split's images of each class: see `judged`."""
    return judged(module, images, split)[0]


def _predictions(module: nn.Module, images: Images, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Batch by batch: the predicted classes B of `module` in eval mode, and the true ones B."""
    was_training = module.training
    module.eval()
    with torch.no_grad():
        for x_BCHW, label_B in images.batches(split):
            yield module(x_BCHW).argmax(1), label_B
    module.train(was_training)
