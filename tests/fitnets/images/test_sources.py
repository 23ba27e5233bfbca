"""Reading images: torchvision's files, image folders of every odd form, and what is said when there are none."""

import pickle
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fitnets.config import Data
from fitnets.errors import InputError
from fitnets.images.folders import read_folder
from fitnets.images.raw import Raw, stratified
from fitnets.images.sources import read
from tests.photos import idx

Pixels = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is downloaded in these tests; what was tried is noted."""
    tried: list[str] = []

    def refuse(request: Any, *arguments: Any, **options: Any) -> NoReturn:
        tried.append(str(getattr(request, "full_url", request)))
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tried


def some(count: int, rows: int, columns: int, channels: int, seed: int = 0) -> Pixels:
    """Random images."""
    return np.random.default_rng(seed).integers(0, 256, (count, rows, columns, channels), dtype=np.uint8)


def save(path: Path, pixels: Pixels, mode: str | None = None) -> None:
    """One image file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    (picture.convert(mode) if mode else picture).save(path)


def folders(root: Path, *, channels: int = 3, test: bool = True, count: int = 5) -> dict[str, Pixels]:
    """`root/train/<class>/*` and `root/test/<class>/*` of 6x4 images."""
    made = {}
    for number, (part, name) in enumerate((p, c) for p in ("train", "test")[: 1 + test] for c in ("cat", "dog", "eel")):
        made[f"{part}/{name}"] = some(count, 6, 4, channels, seed=number)
        for i, pixels in enumerate(made[f"{part}/{name}"]):
            save(root / part / name / f"{i}.png", pixels)
    return made


def refusal(data: Data, root: Path) -> str:
    """What a person is told: one line."""
    with pytest.raises(InputError) as caught:
        read(data, root, "train")
    message = str(caught.value)
    assert "\n" not in message
    return message


# splitting


@settings(max_examples=80)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.floats(0.01, 0.99), st.integers(0, 9), st.randoms())
def test_stratified_parts_the_indices_class_by_class(counts: list[int], fraction: float, seed: int, order: Any) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    order.shuffle(labels)
    label_N = np.array(labels, dtype=np.int64)
    kept, held = stratified(label_N, fraction, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert list(kept) == sorted(kept) and list(held) == sorted(held)
    for label, count in enumerate(counts):
        out = int((label_N[held] == label).sum())
        assert 1 <= out <= count - 1
        assert abs(out - fraction * count) <= 1


def test_a_class_of_one_image_cannot_be_split() -> None:
    with pytest.raises(InputError, match="class 1 has 1 image, but a split needs two at least: add images to it"):
        stratified(np.array([0, 0, 1]), 0.5, 0)


# image folders


def test_folders_of_classes_are_read_as_they_are(tmp_path: Path) -> None:
    made = folders(tmp_path / "pets")
    for part in ("train", "test"):
        raw = read(Data(name="pets"), tmp_path, part)
        assert raw.classes == ("cat", "dog", "eel")
        assert np.array_equal(raw.pixels_NHWC, np.concatenate([made[f"{part}/{name}"] for name in raw.classes]))
        assert raw.label_N.tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_the_folder_itself_may_be_named(tmp_path: Path) -> None:
    folders(tmp_path)
    assert len(read(Data(name="folder"), tmp_path, "train").label_N) == 15


def test_without_a_test_folder_a_fifth_is_held_out_for_good(tmp_path: Path) -> None:
    made = folders(tmp_path, test=False, count=10)
    train, test = read_folder(tmp_path, "train", 64), read_folder(tmp_path, "test", 64)
    assert (len(train.label_N), len(test.label_N)) == (24, 6)
    everything = sorted(image.tobytes() for pixels in made.values() for image in pixels)
    assert sorted(image.tobytes() for raw in (train, test) for image in raw.pixels_NHWC) == everything
    again = read_folder(tmp_path, "test", 64)
    assert np.array_equal(test.pixels_NHWC, again.pixels_NHWC)


def test_classes_right_below_the_folder(tmp_path: Path) -> None:
    for name in ("cat", "dog", "test", ".cache"):
        for i in range(5):
            save(tmp_path / "mine" / name / f"{i}.png", some(1, 4, 4, 1)[0])
    (tmp_path / "mine" / "notes.txt").write_text("not an image")
    (tmp_path / "mine" / "test").rename(tmp_path / "mine" / "other")
    assert read(Data(name="mine"), tmp_path, "train").classes == ("cat", "dog", "other")


def test_grey_files_stay_grey_and_one_colour_file_makes_all_rgb(tmp_path: Path) -> None:
    made = folders(tmp_path, channels=1)
    raw = read_folder(tmp_path, "train", 64)
    assert raw.pixels_NHWC.shape == (15, 6, 4, 1)
    assert np.array_equal(raw.pixels_NHWC[:5], made["train/cat"])
    save(tmp_path / "train/cat/0.png", some(1, 6, 4, 3)[0])
    mixed = read_folder(tmp_path, "train", 64).pixels_NHWC
    assert mixed.shape == (15, 6, 4, 3)
    assert np.array_equal(mixed[1], np.repeat(made["train/cat"][1], 3, axis=2))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_files_of_every_mode_keep_their_brightness(tmp_path: Path, mode: str) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    picture = Image.fromarray(ramp.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(ramp).convert(mode)
    suffix = "tif" if mode == "CMYK" else "png"
    for name in ("a", "b"):
        for i in range(3):
            path = tmp_path / "train" / name / f"{i}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    raw = read_folder(tmp_path, "train", 64)
    assert raw.pixels_NHWC.shape == (4, 8, 8, 1 if mode in ("1", "L", "LA", "I;16") else 3)
    got = raw.pixels_NHWC[0].mean(2)
    if mode == "1":
        assert set(np.unique(got)) == {0.0, 255.0}
    else:
        assert np.abs(got - ramp).max() <= 3


def test_images_of_several_sizes_are_scaled_to_the_commonest(tmp_path: Path) -> None:
    folders(tmp_path)
    save(tmp_path / "train/cat/0.png", some(1, 12, 30, 3)[0])
    assert read_folder(tmp_path, "train", 64).pixels_NHWC.shape == (15, 6, 4, 3)


@pytest.mark.parametrize(("size", "shape"), [((100, 50), (64, 32)), ((50, 100), (32, 64)), ((20, 10), (20, 10))])
def test_large_images_are_scaled_down_and_keep_their_form(
    tmp_path: Path, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    for name in ("a", "b"):
        for i in range(5):
            save(tmp_path / name / f"{i}.jpg", some(1, *size, 3)[0])
    raw = read(Data(name="x", max_size=64), tmp_path, "test")
    assert raw.pixels_NHWC.shape == (2, *shape, 3)


def test_one_class_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "train/cat/0.png", some(1, 4, 4, 3)[0])
    assert "has 1 class folders, but a classifier needs two" in refusal(Data(name="x"), tmp_path)


def test_an_empty_class_is_refused_by_name(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "train" / "fox").mkdir()
    (tmp_path / "train" / "fox" / "readme.txt").write_text("no image")
    assert f"`{tmp_path}/train/fox` holds no image files: add some, or remove the folder." in refusal(
        Data(name="x"), tmp_path
    )


def test_a_class_that_the_test_part_lacks_is_refused(tmp_path: Path) -> None:
    folders(tmp_path)
    for file in (tmp_path / "test" / "dog").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="test/dog` holds no image files"):
        read_folder(tmp_path, "test", 64)


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "header only"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, damage: str) -> None:
    folders(tmp_path)
    file = tmp_path / "train" / "dog" / "3.png"
    save(file, some(1, 60, 60, 3)[0])
    whole = file.read_bytes()
    file.write_bytes(
        {"text": b"hello", "empty": b"", "cut": whole[: len(whole) // 2], "header only": whole[:40]}[damage]
    )
    message = refusal(Data(name="x"), tmp_path)
    assert f"`{file}` is not an image that can be read" in message
    assert message.endswith("remove it.")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow mutters about damaged TIFF tags
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "bmp", "webp"])
def test_no_damage_to_a_file_is_a_traceback(tmp_path: Path, suffix: str) -> None:
    """Bytes changed at random: the file is read all the same, or refused in one line."""
    folders(tmp_path)
    file = tmp_path / "train" / "dog" / f"9.{suffix}"
    save(file, some(1, 6, 4, 3)[0])
    whole, generator = bytearray(file.read_bytes()), np.random.default_rng(0)
    for _ in range(60):
        damaged = whole.copy()
        for place in generator.integers(0, len(whole), 3):
            damaged[place] = generator.integers(0, 256)
        file.write_bytes(damaged)
        try:
            assert read(Data(name="x"), tmp_path, "train").pixels_NHWC.shape[0] == 16
        except InputError as error:
            assert str(file) in str(error)


def test_no_images_anywhere(tmp_path: Path) -> None:
    message = refusal(Data(name="pets"), tmp_path / "absent")
    assert f"no images in `{tmp_path}/absent`" in message
    assert "--data" in message


# torchvision's files


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our few images have not the real files' checksums."""
    import torchvision.datasets.cifar as cifar
    import torchvision.datasets.svhn as svhn

    for module in (cifar, svhn):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).is_file())


def check(raw: Raw, pixels: Pixels, labels: list[int], classes: int) -> None:
    """Those images, with those labels."""
    assert np.array_equal(raw.pixels_NHWC, pixels)
    assert raw.pixels_NHWC.flags.c_contiguous and raw.pixels_NHWC.dtype == np.uint8
    assert raw.label_N.tolist() == labels and raw.label_N.dtype == np.int64
    assert len(raw.classes) == classes


@pytest.mark.parametrize("below", ["mnist", "."])
def test_mnist(tmp_path: Path, below: str, no_network: list[str]) -> None:
    folder = tmp_path / below / "MNIST" / "raw"
    made = {"train": some(6, 28, 28, 1), "t10k": some(3, 28, 28, 1, seed=1)}
    labels = {"train": [5, 0, 4, 1, 9, 2], "t10k": [7, 2, 1]}
    for part, pixels in made.items():
        idx(folder / f"{part}-images-idx3-ubyte", pixels[..., 0])
        idx(folder / f"{part}-labels-idx1-ubyte", np.array(labels[part], dtype=np.uint8))
    check(read(Data(name="mnist"), tmp_path, "train"), made["train"], labels["train"], 10)
    check(read(Data(name="mnist"), tmp_path, "test"), made["t10k"], labels["t10k"], 10)
    assert no_network == []


@pytest.mark.usefixtures("unchecked")
def test_cifar10(tmp_path: Path, no_network: list[str]) -> None:
    folder = tmp_path / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    batches = {f"data_batch_{i}": some(2, 32, 32, 3, seed=i) for i in range(1, 6)} | {"test_batch": some(2, 32, 32, 3)}
    for name, pixels in batches.items():
        flat = pixels.transpose(0, 3, 1, 2).reshape(2, -1)
        (folder / name).write_bytes(pickle.dumps({"data": flat, "labels": [3, 7]}))
    names = [f"class {i}" for i in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    train = read(Data(name="cifar10"), tmp_path, "train")
    check(train, np.concatenate([batches[f"data_batch_{i}"] for i in range(1, 6)]), [3, 7] * 5, 10)
    assert train.classes == tuple(names)
    check(read(Data(name="cifar10"), tmp_path, "test"), batches["test_batch"], [3, 7], 10)
    assert no_network == []


@pytest.mark.usefixtures("unchecked")
def test_cifar100(tmp_path: Path) -> None:
    folder = tmp_path / "cifar100" / "cifar-100-python"
    folder.mkdir(parents=True)
    made = {"train": some(4, 32, 32, 3), "test": some(2, 32, 32, 3, seed=1)}
    for name, pixels in made.items():
        flat, labels = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1), [99, 0, 50, 1][: len(pixels)]
        (folder / name).write_bytes(pickle.dumps({"data": flat, "fine_labels": labels, "coarse_labels": [0] * 4}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class {i}" for i in range(100)]}))
    check(read(Data(name="cifar100"), tmp_path, "train"), made["train"], [99, 0, 50, 1], 100)
    check(read(Data(name="cifar100"), tmp_path, "test"), made["test"], [99, 0], 100)


@pytest.mark.usefixtures("unchecked")
def test_svhn_counts_zero_as_ten(tmp_path: Path) -> None:
    import scipy.io  # type: ignore[import-untyped]

    (tmp_path / "svhn").mkdir()
    made = {"train": some(4, 32, 32, 3), "test": some(2, 32, 32, 3, seed=1)}
    for part, pixels in made.items():
        labels = np.array([1, 10, 5, 9][: len(pixels)], dtype=np.uint8)[:, None]
        scipy.io.savemat(tmp_path / "svhn" / f"{part}_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": labels})
    check(read(Data(name="svhn"), tmp_path, "train"), made["train"], [1, 0, 5, 9], 10)
    check(read(Data(name="svhn"), tmp_path, "test"), made["test"], [1, 0], 10)


def test_a_known_name_as_image_folders(tmp_path: Path, no_network: list[str]) -> None:
    folders(tmp_path / "cifar10")
    assert read(Data(name="cifar10"), tmp_path, "train").classes == ("cat", "dog", "eel")
    assert no_network == []


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("mnist", "MNIST/raw/*-ubyte"),
        ("cifar10", "cifar-10-batches-py/"),
        ("cifar100", "cifar-100-python/"),
        ("svhn", "train_32x32.mat and test_32x32.mat"),
    ],
)
def test_absent_and_offline_names_the_files_to_put_there(
    tmp_path: Path, name: str, files: str, no_network: list[str]
) -> None:
    message = refusal(Data(name=name), tmp_path)
    assert message.startswith(f"`{name}` is not in `{tmp_path}/{name}` and could not be downloaded (")
    assert f"put {files} there" in message
    assert "train/<class>/*" in message and "--data" in message
    assert no_network, "the download must have been tried, last"
