"""Decodes one image file as a viewer shows it: upright, transparent parts on white, 16-bit greys scaled to 8 bits.

Of several frames or pages, the first is read. Images larger than `MAX_PIXELS` are not decoded. Shape suffixes: H rows,
W columns, C channels.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fitnets.images.printable import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # Pillow has more; for one it starts a program
MAX_PIXELS = 2**26  # of one file; a small file can claim a very large size
BACKGROUND = (255, 255, 255, 255)  # white, opaque: what shows through where an image is transparent
ORIENTATION = 0x0112  # the EXIF tag
SIDEWAYS = (5, 6, 7, 8)  # its values for which rows and columns are swapped
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
UNSCALED = "its pixels are {}, and nothing in it states which value is white: save it with 8 or 16 bits"


class Unreadable(Exception):
    """Why a file cannot be read, in one line that may be printed."""


class Form(NamedTuple):
    """What every image of a data set is converted to."""

    grey: bool
    columns: int
    rows: int


def header(file: Path) -> Form:
    """Whether a file is grey, and its size as displayed, without decoding it. Raises Unreadable."""
    from PIL.Image import Image

    with _opened(file) as image:
        columns, rows = image.size
        turned = False
        if image.format != "TIFF":  # for which Pillow returns the displayed size
            with suppress(Exception):  # damaged EXIF: a viewer shows the image as it is stored
                turned = Image.getexif(image).get(ORIENTATION) in SIDEWAYS  # a PNG's own `getexif` would decode it
        grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
        return Form(grey, rows, columns) if turned else Form(grey, columns, rows)


def decoded(file: Path, form: Form) -> NDArray[np.uint8]:
    """The pixels HWC of a file, converted to `form`. Raises Unreadable."""
    from PIL.Image import Resampling
    from PIL.ImageOps import exif_transpose

    with _opened(file) as image:
        image.load()
        with suppress(Exception):  # damaged EXIF, as above
            exif_transpose(image, in_place=True)
        picture = _on_white(_eight_bits(image)).convert("L" if form.grey else "RGB")
        if picture.size != (form.columns, form.rows):
            picture = picture.resize((form.columns, form.rows), Resampling.BILINEAR)
        pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[..., None] if form.grey else pixels


@contextmanager
def _opened(file: Path) -> "Iterator[Image]":
    """An open image file. Raises Unreadable for any error while it is used."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, and sizes above Pillow's limit, which is above ours
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"it claims {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
                yield image
    except Exception as error:  # Pillow's readers raise all kinds of errors on a damaged file
        raise Unreadable(one_line(error)) from error


def _on_white(image: "Image") -> "Image":
    """An image without its alpha channel, transparent colour or transparent palette entries."""
    from PIL.Image import alpha_composite, new

    if not image.has_transparency_data:
        return image
    return alpha_composite(new("RGBA", image.size, BACKGROUND), image.convert("RGBA"))


def _eight_bits(image: "Image") -> "Image":
    """A grey image of more than 8 bits scaled to 8; Pillow's own conversion turns everything above 255 white.

    Raises ValueError where the bit depth does not determine white: for floating-point, signed and 32-bit pixels.
    """
    from PIL.Image import fromarray
    from PIL.TiffImagePlugin import TiffImageFile

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
    return fromarray(((values * 255 + white // 2) // white).astype(np.uint8))
