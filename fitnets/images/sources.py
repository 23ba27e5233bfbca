"""Where images come from: scikit-learn's digits, torchvision's data sets, or folders of image files.

Every reader returns `Raw`: pixels as uint8 NHWC, integer labels, and the names of the classes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fitnets.config import Data
from fitnets.errors import InputError
from fitnets.images.folders import read_folder
from fitnets.images.layout import Layout, part_folders
from fitnets.images.printable import one_line, shown
from fitnets.images.raw import Raw, stratified
from fitnets.images.tree import Tree, class_folders
from fitnets.images.unused import Part
from fitnets.values.net import Shape

DIGITS_TEST_FRACTION = 400 / 1797


def read(data: Data, root: Path, part: Part, shape: Shape | None = None) -> Raw:
    """The training, validation or test images of `data`; only that part's images are decoded.

    `root/<name>` is searched first, for image folders or torchvision's files; otherwise torchvision downloads them.
    With `shape` (channels, rows, columns) of the training images, the headers of image folders need not be read. Raises
    InputError when the images can be neither found nor downloaded, naming the files to put there.
    """
    if data.name == "digits":
        return _digits(part)
    folder = _image_folder(data, root)
    if folder is not None:
        return read_folder(folder, part, data.max_size, shape)
    if data.name in _TORCHVISION:
        return _torchvision(data.name, root, part)
    raise _no_images(root)


def check_folders(data: Data, root: Path) -> None:
    """Check the names of folders and files only, which is fast; `parts.check` decodes the images.

    Raises InputError if the images neither exist nor belong to a data set that can be downloaded, and for folders with
    an unknown layout.
    """
    if data.name == "digits":
        return
    folder = _image_folder(data, root)
    if folder is not None:
        Layout.of(folder)
    elif data.name not in _TORCHVISION or (root.exists() and not root.is_dir()):
        raise _no_images(root)


class NoImages(InputError):
    """A folder holds no images of the data set."""


def _no_images(root: Path) -> NoImages:
    there = "" if root.is_dir() else "it is a file. It" if root.exists() else "there is no such folder. It"
    return NoImages(
        f"no images in `{shown(root)}`: {there or 'it'} must hold one folder for each class, `train/<class>/*` and "
        "`test/<class>/*`, or `<class>/*`. Name the folder with --data."
    )


def has_val(data: Data, root: Path) -> bool:
    """Whether the images come with a validation part of their own."""
    folder = _image_folder(data, root)
    return folder is not None and "val" in part_folders(Tree(folder))


def from_files(data: Data, root: Path) -> bool:
    """Whether the images are image files, and not scikit-learn's digits or a data set as torchvision lays it out."""
    return _image_folder(data, root) is not None


def _image_folder(data: Data, root: Path) -> Path | None:
    """The folder with the image files, class by class; for a known data set it must contain a training part."""
    if data.name == "digits":
        return None
    known = data.name in _TORCHVISION
    for folder in [root / data.name] if known and root.name != data.name else [root / data.name, root]:
        if class_folders(folder) and (not known or "train" in part_folders(Tree(folder))):
            return folder
    return None


def _digits(part: Part) -> Raw:
    """The 1,797 8x8 digits of scikit-learn; as they have no test set, a fixed 401 of them are used as one."""
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
        except Exception as error:  # torchvision raises errors from URLError to RuntimeError here
            problem = error
    else:
        raise InputError(
            f"`{name}` is not in `{home}` and could not be downloaded ({one_line(problem)}): put {files} there, or "
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
