"""Classifies image files with an exported student: `python predict.py FILE_OR_FOLDER ...`.

One line a file, separated by tabs: the file, the most probable class and its probability (softmax of the logits).

This file is copied beside `student.onnx` as it is, and needs Pillow (10.1 or newer), NumPy and onnxruntime alone. What
the student takes is read from the ONNX file's metadata. The images that the student was trained and tested on were
decoded by `decoded` below: upright, transparent parts on white, 16-bit greys scaled to 8 bits, the first frame or page,
and scaled with antialiasing. Shape suffixes: H rows, W columns, C channels, K classes.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.ImageOps import exif_transpose
from PIL.TiffImagePlugin import TiffImageFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE_TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # Pillow has more; for one it starts a program
MAX_PIXELS = 2**26  # of one file; a small file can claim a very large size
BACKGROUND = (255, 255, 255, 255)  # white, opaque: what shows through where an image is transparent
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
UNSCALED = "its pixels are {}, and nothing in it states which value is white: save it with 8 or 16 bits"


class Unreadable(Exception):
    """Why a file cannot be read, in one line that may be printed."""


class Form(NamedTuple):
    """What every image of a data set is converted to."""

    grey: bool
    columns: int
    rows: int


def decoded(file: Path, form: Form) -> NDArray[np.uint8]:
    """The pixels HWC of a file, converted to `form`. Raises Unreadable.

    Colours become grey by Pillow's `convert("L")`. Another size is scaled by Pillow's bilinear filter, which averages
    over all pixels when it shrinks (antialiasing), whatever the aspect ratio; nothing is cropped.
    """
    with opened(file) as image:
        image.load()
        with suppress(Exception):  # damaged EXIF: a viewer shows the image as it is stored
            exif_transpose(image, in_place=True)
        picture = _on_white(_eight_bits(image)).convert("L" if form.grey else "RGB")
        if picture.size != (form.columns, form.rows):
            picture = picture.resize((form.columns, form.rows), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[..., None] if form.grey else pixels


@contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """An open image file, not yet decoded. Raises Unreadable for any error while it is used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, and sizes above Pillow's limit, which is above ours
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"it claims {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
                yield image
    except Exception as error:  # Pillow's readers raise all kinds of errors on a damaged file
        raise Unreadable(printable(" ".join(str(error).split()))) from error


def _on_white(image: Image.Image) -> Image.Image:
    """An image without its alpha channel, transparent colour or transparent palette entries."""
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image.convert("RGBA"))


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of more than 8 bits scaled to 8; Pillow's own conversion turns everything above 255 white.

    Raises ValueError where the bit depth does not determine white: for floating-point, signed and 32-bit pixels.
    """
    if image.mode == "F":
        raise ValueError(UNSCALED.format("floating-point numbers"))
    if not image.mode.startswith("I"):
        return image
    white, inverted = 2**16 - 1, False
    if isinstance(image, TiffImageFile):
        bits, kind = image.tag_v2.get(BITS, (16,))[0], image.tag_v2.get(SAMPLE_FORMAT, (1,))[0]
        if bits > 16 or kind != 1:
            raise ValueError(UNSCALED.format(f"{'' if kind == 1 else 'signed '}{bits}-bit numbers"))
        white, inverted = 2**bits - 1, image.tag_v2.get(PHOTOMETRIC) == 0
    values = np.asarray(image).astype(np.int64).clip(0, white)
    if inverted:
        values = white - values
    if "transparency" in image.info:
        values[values == image.info["transparency"]] = white
    return Image.fromarray(((values * 255 + white // 2) // white).astype(np.uint8))


def printable(text: str) -> str:
    """The text with every unprintable character, such as a terminal control, written as its code."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Student:
    """An exported student with what its metadata says: the form of its images, and its classes.

    Raises ValueError for another file.
    """

    def __init__(self, file: Path):
        import onnxruntime

        try:
            self._session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            said = self._session.get_modelmeta().custom_metadata_map
            self.form = Form(said["colour"] == "grey", int(said["columns"]), int(said["rows"]))
            self.classes: list[str] = json.loads(said["classes"])
        except Exception as error:  # onnxruntime raises errors of its own
            reason = printable(" ".join(str(error).split()))
            raise ValueError(
                f"`{printable(str(file))}` is not a student that FitNet Search exported, or needs a newer "
                f"onnxruntime ({type(error).__name__}: {reason})"
            ) from error

    def probabilities(self, file: Path) -> NDArray[np.float64]:
        """The probability of each class K for an image file. Raises Unreadable."""
        pixels_CHW = decoded(file, self.form).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        logits_K = self._session.run(["logits"], {"pixels": np.ascontiguousarray(pixels_CHW[None])})[0][0]
        shares_K = np.exp(logits_K.astype(np.float64) - logits_K.max())
        result: NDArray[np.float64] = shares_K / shares_K.sum()
        return result


def image_files(place: Path) -> list[Path]:
    """A file itself, or all image files below a folder in order; hidden files and folders are left out."""
    if not place.is_dir():
        return [place]
    below = [path for path in place.rglob("*") if path.suffix.lower() in FILE_TYPES and path.is_file()]
    return sorted(path for path in below if not any(p.startswith(".") for p in path.relative_to(place).parts))


def main(words: list[str] | None = None) -> int:
    """The command. Returns 0, 1 where a file could not be read, or 2 where there was nothing to read."""
    parser = argparse.ArgumentParser(description="Classify image files with the student in this folder.")
    parser.add_argument("places", nargs="+", metavar="FILE_OR_FOLDER", type=Path)
    parser.add_argument("--top", type=int, default=1, metavar="N", help="how many classes to print for each file")
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("student.onnx"), metavar="FILE")
    given = parser.parse_args(words)
    missing = [place for place in given.places if not place.exists()]
    if missing or not given.model.is_file() or given.top < 1:
        wrong = f"`--top` is {given.top}: choose 1 or more" if given.top < 1 else None
        parser.error(wrong or f"there is no `{printable(str((missing or [given.model])[0]))}`: check the path")
    files = [file for place in given.places for file in image_files(place)]
    if not files:
        parser.error(f"no image files ({', '.join(FILE_TYPES)}) are below these folders")
    try:
        student, code = Student(given.model), 0
    except ValueError as error:
        parser.error(str(error))
    for file in files:
        try:
            shares_K = student.probabilities(file)
        except Unreadable as error:
            sys.stderr.write(f"{printable(str(file))} is not an image that can be read ({error})\n")
            code = 1
            continue
        best = np.argsort(-shares_K, kind="stable")[: given.top]
        scores = [f"{student.classes[k]}\t{shares_K[k]:.4f}" for k in best]
        sys.stdout.write("\t".join([printable(str(file)), *scores]) + "\n")
    return code


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack a character of a name
    sys.exit(main())
