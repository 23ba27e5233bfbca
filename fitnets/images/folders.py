"""Folders of image files, which may come from anybody: a file that is no image is refused by name, in one line.

Links may not point out of the folder; files that are no regular ones are not opened; images larger than
`MAX_PIXELS` are not decoded. Shape suffixes: N images, C channels.
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fitnets.errors import InputError
from fitnets.images.raw import Part, Raw, stratified

if TYPE_CHECKING:
    from PIL.Image import Image

FILE_TYPES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # Pillow knows more, and runs a program for one of them
MAX_PIXELS = 2**26  # of one file; a small file can claim to be very much larger
TEST_FRACTION = 0.2


def read_folder(folder: Path, part: Part, max_size: int) -> Raw:
    """Image files as `<part>/<class>/*`; where there is no `test`, a fifth of the images is one, always the same.

    Grey files stay grey when all are; images of several sizes are scaled to the commonest, `max_size` at most.
    Hidden files are left out. Raises InputError for whatever else cannot be read, by name.
    """
    train = folder / "train" if (folder / "train").is_dir() else folder
    test = folder / "test"
    classes = [name for name in class_folders(train) if train != folder or name != "test"]
    if len(classes) < 2:
        raise InputError(
            f"`{shown(train)}` has {len(classes)} class folders, but a classifier needs two: add "
            f"`{shown(train)}/<class>/*`."
        )
    own_test = test.is_dir()
    files, labels = _listing(train, classes, folder)
    form = _form(files, max_size)
    if own_test and part == "test":
        files, labels = _listing(test, classes, folder)
    label_N = np.array(labels, dtype=np.int64)
    if not own_test:
        index = stratified(label_N, TEST_FRACTION, seed=0)[part == "test"]
        files, label_N = [files[i] for i in index], label_N[index]
    return Raw(np.stack([_decode(file, form) for file in files]), label_N, tuple(classes))


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, in order, hidden ones left out; none where there is no such folder.

    Raises InputError where it cannot be read, and for a name that cannot be printed.
    """
    if not folder.is_dir():
        return []
    names = sorted(entry.name for entry in _entries(folder) if Path(entry).is_dir())
    for name in names:
        if not name.isprintable():
            raise InputError(
                f"`{shown(folder / name)}` is a class, but a class's name must be printable: rename the folder."
            )
    return names


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, hidden files left out. Raises InputError where it cannot be read."""
    try:
        with os.scandir(folder) as inside:
            return [entry for entry in inside if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(
            f"`{shown(folder)}` cannot be read ({error.strerror}): let this user read it, or remove it."
        ) from error


def _listing(folder: Path, classes: list[str], root: Path) -> tuple[list[Path], list[int]]:
    """The image files of every class, each folder listed once, and their labels."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        _check_inside(folder / name, root)
        found = []
        for entry in _entries(folder / name) if (folder / name).is_dir() else []:
            file = folder / name / entry.name
            if file.suffix.lower() in FILE_TYPES:
                _check(entry, file, root)
                found.append(file)
        if not found:
            raise InputError(f"`{shown(folder / name)}` holds no image files: add some, or remove the folder.")
        files += sorted(found)
        labels += [label] * len(found)
    return files, labels


def _check(entry: "os.DirEntry[str]", file: Path, root: Path) -> None:
    """Raises InputError for what should not even be opened: a pipe would be waited for for ever."""
    if entry.is_symlink():
        _check_inside(file, root)
    if not (file if entry.is_symlink() else entry).is_file():
        raise InputError(f"`{shown(file)}` is not a regular file: remove it.")


def _check_inside(path: Path, root: Path) -> None:
    """Raises InputError for a link that points out of the folder of images."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise InputError(
            f"`{shown(path)}` points out of `{shown(root)}`: put what it points to in its place, or remove it."
        )


@contextmanager
def _image(file: Path) -> "Iterator[Image]":
    """An image file, open. Raises InputError for whatever goes wrong while it is used."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is the lower one
            opened = Image.open(file, formats=FORMATS)
        with opened as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it claims {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            yield image
    except Exception as error:  # Pillow's readers raise anything on a damaged file
        raise InputError(f"`{shown(file)}` is not an image that can be read ({one_line(error)}): remove it.") from error


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


def shown(path: Path) -> str:
    """A path that may be printed."""
    return _printable(str(path))


def one_line(error: Exception | None) -> str:
    """What an error says, in one line that may be printed."""
    return _printable(" ".join(str(error).split()))


def _printable(text: str) -> str:
    """What would move the cursor, or hide, is written as its code."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
