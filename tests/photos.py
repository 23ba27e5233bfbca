"""Image files of every kind that people have, sorted into classes, and data sets as files. No tests here."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("bar", "box", "disc")
KINDS = ("plain", "turned", "mirrored", "alpha", "16 bits", "palette", "cmyk", "grey", "webp", "transparent colour")


def picture(label: int, seed: int) -> Image.Image:
    """A bright shape on a dark ground, of a size of its own."""
    rng = np.random.default_rng([label, seed])
    columns, rows = (int(size) for size in rng.integers(40, 140, 2))
    made = Image.new("RGB", (columns, rows), tuple(int(v) for v in rng.integers(20, 90, 3)))
    draw, colour = ImageDraw.Draw(made), tuple(int(v) for v in rng.integers(150, 256, 3))
    x, y = (int(rng.integers(0, size // 3)) for size in (columns, rows))
    place = [x, y, x + columns // 2, y + rows // 2]
    if SHAPES[label] == "disc":
        draw.ellipse(place, fill=colour)
    elif SHAPES[label] == "box":
        draw.rectangle(place, fill=colour)
    else:
        draw.line(place, fill=colour, width=3)
    return made


def saved(made: Image.Image, kind: str, path: Path) -> None:
    """Save a picture as one of KINDS; the suffix is the kind's own."""
    exif, options = Image.Exif(), dict[str, Any]()
    suffix = {"turned": ".jpg", "mirrored": ".jpg", "plain": ".jpg", "cmyk": ".jpg", "webp": ".webp"}.get(kind, ".png")
    if suffix == ".jpg":
        options["quality"] = 90
    if kind == "turned":  # as a camera that was held upright stores it
        exif[0x0112], made = 6, made.transpose(Image.Transpose.ROTATE_90)
    elif kind == "mirrored":
        exif[0x0112], made = 2, made.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    elif kind == "alpha":
        made.putalpha(made.convert("L").point(lambda v: 255 if v > 110 else 60))
    elif kind == "16 bits":
        made = Image.fromarray(np.asarray(made.convert("L")).astype(np.uint16) * 257)
    elif kind == "palette":
        made = made.quantize(32)
    elif kind == "cmyk":
        made = made.convert("CMYK")
    elif kind == "grey":
        made = made.convert("L")
    elif kind == "transparent colour":
        options["transparency"] = made.getpixel((0, 0))
    made.save(path.with_suffix(suffix), exif=exif, **options)


def photographs(folder: Path, number: int, first: int = 0) -> None:
    """`<class>/<file>`: so many files of each shape, all kinds among them."""
    for label, name in enumerate(SHAPES):
        (folder / name).mkdir(parents=True)
        for i in range(first, first + number):
            saved(picture(label, i), KINDS[i % len(KINDS)], folder / name / f"{i:03d}")


def idx(path: Path, array: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """MNIST's file format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.tobytes())
