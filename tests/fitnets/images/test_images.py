"""Splits that never mix, preprocessing against numpy, and images kept in the store."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fitnets.config import Data
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.images import parts as parts_module
from fitnets.images.images import Images, Preprocess, Split, accuracy, load, load_test
from fitnets.images.raw import Raw
from fitnets.images.views import Plan
from tests.helpers import DIGITS

NOWHERE = Path("nowhere")


def rows(pixels_NHWC: Tensor) -> list[bytes]:
    """Each image's bytes."""
    return [image.numpy().tobytes() for image in pixels_NHWC]


def test_train_validation_and_test_are_the_whole_set_and_share_no_image(digits: Images) -> None:
    """Every image of the 1,797 is different, so pixels tell them apart."""
    pixels, labels = load_digits(return_X_y=True)
    everything = np.round(pixels.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    label_of = {image.tobytes(): int(label) for image, label in zip(everything, labels, strict=True)}
    assert len(label_of) == 1797
    parts = [digits.train, digits.val, load_test(DIGITS, NOWHERE, digits)]
    seen = [image for part in parts for image in rows(part.pixels_NHWC)]
    assert sorted(seen) == sorted(label_of)
    for part in parts:
        assert [label_of[image] for image in rows(part.pixels_NHWC)] == part.label_N.tolist()
    assert len(parts[2]) == 401


def test_the_test_images_do_not_depend_on_the_split(digits: Images) -> None:
    other = Data(name="digits", val_fraction=0.5, seed=9)
    again = load_test(other, NOWHERE, load(other, NOWHERE))
    assert torch.equal(again.pixels_NHWC, load_test(DIGITS, NOWHERE, digits).pixels_NHWC)


@pytest.mark.parametrize("fraction", [0.1, 0.285, 0.5])
def test_validation_is_a_share_of_every_class(fraction: float) -> None:
    images = load(Data(name="digits", val_fraction=fraction), NOWHERE)
    train, val = (torch.bincount(part.label_N, minlength=10) for part in (images.train, images.val))
    wanted = fraction * (train + val)
    assert float((val - wanted).abs().max()) <= 0.5 + 1e-6


def test_the_split_is_its_seeds() -> None:
    def split(seed: int) -> list[bytes]:
        return rows(load(Data(name="digits", seed=seed), NOWHERE).val.pixels_NHWC)

    assert split(1) == split(1)
    assert split(1) != split(2)


def test_the_digest_tells_images_and_splits_apart_but_not_views() -> None:
    def digest(**fields: float) -> str:
        return load(Data.model_validate({"name": "digits", **fields}), NOWHERE).digest

    assert digest() == digest() == digest(shift=2, flip=True)
    assert len({digest(), digest(seed=1), digest(val_fraction=0.3), digest(limit=200)}) == 4


@pytest.mark.parametrize("limit", [50, 300, 1000])
def test_limit_keeps_every_class_and_about_so_many_images(limit: int) -> None:
    data = Data(name="digits", limit=limit)
    images = load(data, NOWHERE)
    assert abs(len(images.train) + len(images.val) - limit) <= 5
    assert set(images.train.label_N.tolist()) == set(range(10))
    assert len(load_test(data, NOWHERE, images)) <= limit + 5


def test_a_limit_above_the_number_of_images_changes_nothing(digits: Images) -> None:
    assert load(DIGITS.changed(limit=10_000), NOWHERE).digest == digits.digest


def test_standardisation_is_per_channel_and_of_training_images_alone() -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)
    preprocess = Preprocess.fitted(torch.from_numpy(pixels), DIGITS)
    mean, deviation = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    other = generator.integers(0, 256, (4, 3, 6, 5), dtype=np.uint8)
    wanted = (other - mean[:, None, None]) / deviation[:, None, None]
    out = preprocess(torch.from_numpy(other))
    assert out.dtype == torch.float32
    assert np.allclose(out.numpy(), wanted, atol=1e-5)


def test_a_channel_of_one_colour_is_not_divided_by_zero() -> None:
    preprocess = Preprocess.fitted(torch.full((5, 4, 4, 1), 7, dtype=torch.uint8), DIGITS)
    assert torch.equal(preprocess(torch.full((2, 1, 4, 4), 7)), torch.zeros(2, 1, 4, 4))


def whitened_by_numpy(train: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """GCN to norm 55, then ZCA: the symmetric inverse root of the covariance with 0.1 on its diagonal."""

    def contrast(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        flat = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1).astype(np.float64)
        flat = flat - flat.mean(1, keepdims=True)
        normalised: NDArray[np.float64] = 55 * flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return normalised

    flat = contrast(train)
    covariance = np.cov(flat.T, bias=True) + 0.1 * np.eye(flat.shape[1])
    left, values, _ = np.linalg.svd(covariance)
    zca = left @ np.diag(values**-0.5) @ left.T
    whitened: NDArray[np.float64] = (contrast(other) - flat.mean(0)) @ zca
    return whitened


def test_whitening_against_numpy_and_towards_identity() -> None:
    data = Data(name="digits", whiten=True)
    raw = load(data.changed(whiten=False), NOWHERE)
    images = load(data, NOWHERE)
    for split, plain in ((images.train, raw.train), (images.val, raw.val)):
        wanted = whitened_by_numpy(raw.train.pixels_NHWC.numpy(), plain.pixels_NHWC.numpy())
        got = split.pixels_NHWC.permute(0, 3, 1, 2).flatten(1).numpy()
        assert np.allclose(got, wanted, atol=2e-3)
    flat = images.train.pixels_NHWC.flatten(1).double()
    covariance = torch.cov(flat.T, correction=0)
    values = torch.linalg.eigvalsh(covariance)
    strong = values > 0.5  # corners that are always black have no variance to scale up
    assert int(strong.sum()) >= 40
    assert float(values.max()) < 1.0001
    diagonal = covariance.diagonal()
    assert float((covariance - torch.diag(diagonal)).abs().max()) < 0.5


def test_the_whitening_is_made_once_for_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, solve = [], torch.linalg.eigh

    def eigh(matrix: Tensor) -> Any:
        made.append(matrix)
        return solve(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", eigh)
    data, store = Data(name="digits", whiten=True), Store(tmp_path)
    first, second = load(data, NOWHERE, store), load(data, NOWHERE, store)
    assert len(made) == 1
    for name, tensor in first.preprocess.state_dict().items():
        assert torch.equal(tensor, second.preprocess.state_dict()[name]), name
    assert torch.equal(first.train.pixels_NHWC, second.train.pixels_NHWC)
    load(data.changed(seed=1), NOWHERE, store)
    assert len(made) == 2, "other training images, other statistics"


@pytest.mark.parametrize("normalisation", ["whiten", "local_contrast"])
def test_stored_images_are_what_the_preprocess_makes_of_raw_ones(normalisation: str) -> None:
    """A student is exported with its preprocess: it must do at run time what was done to the stored images."""
    data = Data(name="digits").changed(**{normalisation: True})
    images, raw = load(data, NOWHERE), load(Data(name="digits"), NOWHERE)
    assert raw.digest != images.digest
    live = images.preprocess(raw.val.pixels_NHWC.permute(0, 3, 1, 2))
    stored = torch.cat([x for x, _ in images.batches(images.val)])
    assert torch.allclose(live, stored, atol=1e-5)


@pytest.mark.parametrize("normalisation", [{}, {"whiten": True}])
def test_a_zero_border_is_padding_the_network_input_and_cropping(normalisation: dict[str, bool]) -> None:
    """As the released code does: images are normalised first, then padded with zeros, cropped, and mirrored."""
    data = Data.model_validate({"name": "digits", "shift": 3, "flip": True, "border": "zero"} | normalisation)
    images = load(data, NOWHERE)
    plan, index = Plan.draw(len(images.train), 2, data, images.device), torch.tensor([5, 0, 77, 5, 300])
    whole = images.input(images.train, Plan.identity(len(images.train), images.device), index).numpy()
    views = images.views(plan, index).numpy()
    for image, number, shown in zip(whole, index.tolist(), views, strict=True):
        padded = np.pad(image, ((0, 0), (3, 3), (3, 3)))
        top, left = 3 + int(plan.dy_N[number]), 3 + int(plan.dx_N[number])
        wanted = padded[:, top : top + 8, left : left + 8]
        assert np.array_equal(shown, wanted[:, :, ::-1] if plan.flip_N[number] else wanted)
    reflected = dataclasses.replace(images, data=data.changed(border="reflect"))
    assert not np.array_equal(reflected.views(plan, index).numpy(), views)


@pytest.mark.parametrize("border", ["reflect", "zero"])
def test_a_shift_past_the_images_border_is_refused(border: str) -> None:
    """A view would wrap around, or show nothing of its image."""
    data = Data.model_validate({"name": "digits", "shift": 7, "border": border})
    images = load(data, NOWHERE)
    images.views(Plan.draw(len(images.train), 1, data, images.device), torch.arange(len(images.train)))
    with pytest.raises(
        InputError, match=r"`shift` is 8, but .* `digits` have 8 rows and 8 columns.*: choose 7 or less"
    ):
        load(data.changed(shift=8), NOWHERE)


def test_what_views_depend_on() -> None:
    data = Data(name="digits", shift=2)
    assert data.views == (2, False, 0)
    others = [data, data.changed(shift=1), data.changed(flip=True), data.changed(seed=1), data.changed(border="zero")]
    others += [data.changed(plans=2), data.changed(flip=True, flips="random")]
    assert len({other.views for other in others}) == len(others)


def test_batches_are_all_images_in_order_and_views_are_planned(digits: Images) -> None:
    x_BCHW = torch.cat([x for x, _ in digits.batches(digits.val)])
    labels = torch.cat([label for _, label in digits.batches(digits.val)])
    assert torch.equal(labels, digits.val.label_N)
    assert torch.allclose(x_BCHW, digits.preprocess(digits.val.pixels_NHWC.permute(0, 3, 1, 2)))
    index = torch.arange(20)
    still = digits.views(Plan.identity(len(digits.train), digits.device), index)
    moved = digits.views(Plan.draw(len(digits.train), 1, DIGITS, digits.device), index)
    assert torch.allclose(still, digits.preprocess(digits.train.pixels_NHWC[:20].permute(0, 3, 1, 2)))
    assert not torch.equal(still, moved)


class Constant(nn.Module):
    """Always says the same class."""

    def __init__(self, label: int):
        super().__init__()
        self.label = label

    def forward(self, x_BCHW: Tensor) -> Tensor:
        assert not self.training, "accuracy is measured in eval mode"
        return torch.nn.functional.one_hot(torch.full((len(x_BCHW),), self.label), 10).float()


def test_accuracy_is_the_share_that_is_right(digits: Images) -> None:
    module = Constant(3).train()
    assert accuracy(module, digits, digits.val) == pytest.approx(float((digits.val.label_N == 3).double().mean()))
    assert module.training


def test_shape_and_classes(digits: Images) -> None:
    assert digits.shape == (1, 8, 8)
    assert digits.classes == tuple("0123456789")


def test_decoded_images_are_kept_until_the_files_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store = tmp_path / "data", Store(tmp_path / "store")
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "a.png").write_text("first")
    reads: list[str] = []

    def fake(data: Data, root: Path, part: str, shape: object) -> Raw:
        reads.append(part)
        pixels = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
        return Raw(pixels, np.repeat([0, 1], 6), ("cat", "dog"))

    monkeypatch.setattr(parts_module, "read", fake)
    data = Data(name="mine")
    first = load(data, folder, store)
    again = load(data, folder, store)
    assert reads == ["train"]
    assert (again.digest, again.classes) == (first.digest, ("cat", "dog"))
    assert torch.equal(first.train.pixels_NHWC, again.train.pixels_NHWC)
    load_test(data, folder, first, store)
    assert reads == ["train", "test"]
    (folder / "mine" / "a.png").write_text("another length")
    load(data, folder, store)
    assert reads == ["train", "test", "train"]


def test_images_that_another_pillow_decoded_are_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store = tmp_path / "data", Store(tmp_path / "store")
    for label in ("cat", "dog"):
        (folder / "train" / label).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (4, 4), (40 * i, 0, 0)).save(folder / "train" / label / f"{i}.png")
    for pillow, entries in (("11", 1), ("11", 1), ("12", 2)):
        monkeypatch.setattr(parts_module, "version", lambda name, pillow=pillow: pillow)
        load(Data(name="mine"), folder, store)
        assert len(store.names("images")) == entries


def test_split_moves_whole() -> None:
    split = Split(torch.zeros(3, 2, 2, 1), torch.arange(3))
    assert len(split) == 3
    assert split.to(torch.device("meta")).label_N.device.type == "meta"
