"""Where images come from: scikit-learn's digits, torchvision's data sets, or folders of image files.

Every reader returns `Raw`: pixels as uint8 NHWC, integer labels, and the names of the classes. Shape suffixes:
N images, H rows, W columns, C channels.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fitnets.config import Data
from fitnets.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

Part = Literal["train", "test"]
FILE_TYPES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
DIGITS_TEST_FRACTION = 400 / 1797
FOLDER_TEST_FRACTION = 0.2


@dataclass(frozen=True, slots=True)
class Raw:
    """Images as they were read."""

    pixels_NHWC: NDArray[np.uint8]
    label_N: NDArray[np.int64]
    classes: tuple[str, ...]

    def take(self, index: NDArray[np.int64]) -> "Raw":
        """The images at `index`."""
        return Raw(self.pixels_NHWC[index], self.label_N[index], self.classes)


def read(data: Data, root: Path, part: Part) -> Raw:
    """The training or the test images of `data`; only that part's images are looked at.

    `root/<name>` is looked into first, as image folders or as torchvision lays it out; else torchvision downloads it.
    Raises InputError when they are neither there nor to be had, naming the files to put there.
    """
    if data.name == "digits":
        return _digits(part)
    known = data.name in _TORCHVISION
    places = [root / data.name] if known and root.name != data.name else [root / data.name, root]
    for folder in places:
        if _has_folders(folder / "train") or (_has_folders(folder) and not known):
            return read_folder(folder, part, data.max_size)
    if known:
        return _torchvision(data.name, root, part)
    raise InputError(
        f"no images in `{root}`: it must hold one folder for each class, `train/<class>/*` and `test/<class>/*`, "
        "or `<class>/*`. Name the folder with --data."
    )


def stratified(label_N: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices kept and indices held out, each in ascending order: `fraction` of every class, one image at least.

    Raises InputError when a class has fewer than two images.
    """
    generator = np.random.default_rng(seed)
    held: list[NDArray[np.int64]] = []
    for label in np.unique(label_N):
        members = generator.permutation(np.flatnonzero(label_N == label))
        if len(members) < 2:
            raise InputError(
                f"class {label} has {len(members)} image, but a split needs two at least: add images to it."
            )
        held.append(members[: min(len(members) - 1, max(1, round(fraction * len(members))))])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(label_N)), out), out


def _has_folders(folder: Path) -> bool:
    return folder.is_dir() and any(child.is_dir() for child in folder.iterdir())


def _digits(part: Part) -> Raw:
    """The 1,797 8x8 digits that scikit-learn ships; it names no test set, so 401 of them are one, always the same."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    raw = Raw(pixels, labels.astype(np.int64), tuple(str(digit) for digit in range(10)))
    return raw.take(stratified(raw.label_N, DIGITS_TEST_FRACTION, seed=0)[part == "test"])


def _cifar10(root: Path, train: bool, download: bool) -> Any:
    from torchvision.datasets import CIFAR10

    return CIFAR10(root, train=train, download=download)


def _cifar100(root: Path, train: bool, download: bool) -> Any:
    from torchvision.datasets import CIFAR100

    return CIFAR100(root, train=train, download=download)


def _mnist(root: Path, train: bool, download: bool) -> Any:
    from torchvision.datasets import MNIST

    return MNIST(root, train=train, download=download)


def _svhn(root: Path, train: bool, download: bool) -> Any:
    from torchvision.datasets import SVHN

    return SVHN(root, split="train" if train else "test", download=download)


_TORCHVISION: dict[str, tuple[Callable[[Path, bool, bool], Any], str]] = {
    "cifar10": (_cifar10, "cifar-10-batches-py/"),
    "cifar100": (_cifar100, "cifar-100-python/"),
    "mnist": (_mnist, "MNIST/raw/*-ubyte"),
    "svhn": (_svhn, "train_32x32.mat and test_32x32.mat"),
}


def _torchvision(name: str, root: Path, part: Part) -> Raw:
    make, files = _TORCHVISION[name]
    home = root / name
    attempts = [(home, False), (root, False), (home, True)]
    problem: Exception | None = None
    for place, download in attempts:
        try:
            loaded = make(place, part == "train", download)
            break
        except Exception as error:  # torchvision raises anything from URLError to RuntimeError here
            problem = error
    else:
        raise InputError(
            f"`{name}` is not in `{home}` and could not be downloaded ({_one_line(problem)}): put {files} there, or "
            f"image folders `{home}/train/<class>/*` and `{home}/test/<class>/*`, or name another folder with --data."
        ) from problem
    pixels = np.asarray(loaded.data)
    if name == "svhn":
        pixels = pixels.transpose(0, 2, 3, 1)
    elif pixels.ndim == 3:
        pixels = pixels[..., None]
    labels = np.asarray(loaded.labels if name == "svhn" else loaded.targets).astype(np.int64)
    classes = tuple(getattr(loaded, "classes", None) or (str(label) for label in range(10)))
    return Raw(np.ascontiguousarray(pixels), labels, classes)


def read_folder(folder: Path, part: Part, max_size: int) -> Raw:
    """Image files as `<part>/<class>/*`; where there is no `test`, a fifth of the images is one, always the same.

    Grey files stay grey when all are; images of several sizes are scaled to the commonest, `max_size` at most.
    """
    train = folder / "train" if (folder / "train").is_dir() else folder
    test = folder / "test"
    classes = sorted(child.name for child in train.iterdir() if child.is_dir() and not child.name.startswith("."))
    if train == folder:
        classes = [name for name in classes if name != "test"]
    if len(classes) < 2:
        raise InputError(
            f"`{train}` has {len(classes)} class folders, but a classifier needs two: add `{train}/<class>/*`."
        )
    own_test = test.is_dir()
    source = test if own_test and part == "test" else train
    files, labels = _listing(source, classes)
    form = _form(_listing(train, classes)[0], max_size)
    label_N = np.array(labels, dtype=np.int64)
    if not own_test:
        index = stratified(label_N, FOLDER_TEST_FRACTION, seed=0)[part == "test"]
        files, label_N = [files[i] for i in index], label_N[index]
    return Raw(np.stack([_decode(file, form) for file in files]), label_N, tuple(classes))


def _listing(folder: Path, classes: list[str]) -> tuple[list[Path], list[int]]:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(f for f in (folder / name).glob("*") if f.suffix.lower() in FILE_TYPES)
        if not found:
            raise InputError(f"`{folder / name}` holds no image files: add some, or remove the folder.")
        files += found
        labels += [label] * len(found)
    return files, labels


@contextmanager
def _image(file: Path) -> "Iterator[Image]":
    """An image file, open. Raises InputError for whatever goes wrong while it is used."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            yield image
    except Exception as error:  # Pillow's readers raise anything on a damaged file
        raise InputError(f"`{file}` is not an image that can be read ({_one_line(error)}): remove it.") from error


def _form(files: list[Path], max_size: int) -> tuple[str, tuple[int, int]]:
    """The mode (L or RGB) and the size (columns, rows) that every image is brought to; from up to 500 of the files."""
    modes, sizes = set(), Counter[tuple[int, int]]()
    for file in files[:: max(1, len(files) // 500)]:
        with _image(file) as image:
            modes.add(image.mode)
            sizes[image.size] += 1
    columns, rows = sizes.most_common(1)[0][0]
    scale = min(1.0, max_size / max(columns, rows))
    grey = all(mode in ("1", "L", "LA", "F") or mode.startswith("I") for mode in modes)
    return "L" if grey else "RGB", (max(1, round(columns * scale)), max(1, round(rows * scale)))


def _decode(file: Path, form: tuple[str, tuple[int, int]]) -> NDArray[np.uint8]:
    from PIL.Image import Resampling

    mode, size = form
    with _image(file) as image:
        picture = (_eight_bits(image) if image.mode.startswith("I") else image).convert(mode)
        if picture.size != size:
            picture = picture.resize(size, Resampling.BILINEAR)
        pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[..., None] if mode == "L" else pixels


def _eight_bits(image: "Image") -> "Image":
    """A 16-bit grey image in 8 bits; Pillow's own conversion would turn everything above 255 white."""
    from PIL.Image import fromarray

    return fromarray((np.asarray(image).clip(0, 2**16 - 1) // 2**8).astype(np.uint8))


def _one_line(error: Exception | None) -> str:
    return " ".join(str(error).split())
