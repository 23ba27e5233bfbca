"""Decodes one image file as a viewer shows it: by `fitnets.predict`, the program that is shipped with a student.

So a shipped student gets the pixels that it was trained on. Shape suffixes: H rows, W columns, C channels.
"""

from contextlib import suppress
from pathlib import Path

from PIL.Image import Image

from fitnets.predict import Form as Form
from fitnets.predict import Unreadable as Unreadable
from fitnets.predict import decoded as decoded
from fitnets.predict import opened

ORIENTATION = 0x0112  # the EXIF tag
SIDEWAYS = (5, 6, 7, 8)  # its values for which rows and columns are swapped


def header(file: Path) -> Form:
    """Whether a file is grey, and its size as displayed, without decoding it. Raises Unreadable."""
    with opened(file) as image:
        columns, rows = image.size
        turned = False
        if image.format != "TIFF":  # for which Pillow returns the displayed size
            with suppress(Exception):  # damaged EXIF: a viewer shows the image as it is stored
                turned = Image.getexif(image).get(ORIENTATION) in SIDEWAYS  # a PNG's own `getexif` would decode it
        grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
        return Form(grey, rows, columns) if turned else Form(grey, columns, rows)
