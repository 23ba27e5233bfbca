"""An image file is read as a viewer shows it: upright, on white, and 16 bits as bright as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fitnets.config import Data
from fitnets.errors import InputError
from fitnets.images.images import load
from fitnets.images.pixels import Form, Unreadable, decoded, header
from fitnets.images.sources import read

Pixels = NDArray[np.uint8]
STORED = {  # how a camera stores the upright picture under each value of the EXIF tag
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
RAMP = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)


def seen(file: Path) -> Pixels:
    """A file's pixels in its own form."""
    return decoded(file, header(file))


def upright() -> Pixels:
    """4 rows of 6 columns; every corner is another colour."""
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[:2, :3], pixels[:2, 3:], pixels[2:, :3], pixels[2:, 3:] = 255, 160, 80, (255, 0, 0)
    return np.kron(pixels, np.ones((8, 8, 1), dtype=np.uint8))


@pytest.mark.parametrize("orientation", [1, *STORED])
@pytest.mark.parametrize("form", ["jpg", "png", "webp", "tif", "lzw.tif"])
def test_a_photograph_is_read_upright(tmp_path: Path, form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(upright())
    picture = picture.transpose(STORED[orientation]) if orientation in STORED else picture
    options: dict[str, Any] = {
        "jpg": {"quality": 95},
        "webp": {"lossless": True},
        "lzw.tif": {"compression": "tiff_lzw"},
    }
    picture.save(tmp_path / f"a.{form}", exif=exif, **options.get(form, {}))
    file = tmp_path / f"a.{form}"
    assert header(file) == Form(grey=False, columns=48, rows=32)
    assert np.abs(seen(file).astype(int) - upright()).mean() < 5


def test_the_commonest_size_is_that_of_upright_photographs(tmp_path: Path) -> None:
    """Two thirds are stored lying on their side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("cat", "dog"):
        (tmp_path / "x" / name).mkdir(parents=True)
        for number in range(6):
            picture = Image.new("RGB", (8, 8 + 4 * (number > 1)), (number * 40, 0, 0))
            options: dict[str, Any] = {"exif": exif} if number > 1 else {}
            picture.save(tmp_path / "x" / name / f"{number}.jpg", **options)
    assert read(Data(name="x"), tmp_path, "train").pixels_NHWC.shape[1:3] == (8, 12)


def test_damaged_exif_does_not_stop_a_readable_image(tmp_path: Path) -> None:
    Image.fromarray(upright()).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f", quality=95)
    assert np.abs(seen(tmp_path / "a.jpg").astype(int) - upright()).mean() < 5


def transparent(mode: str) -> tuple[Image.Image, dict[str, Any]]:
    """Black everywhere; the left half is transparent. With the options that save it so."""
    alpha = np.zeros((8, 8), dtype=np.uint8)
    alpha[:, 4:] = 255
    if mode in ("RGBA", "LA"):
        picture = Image.new(mode, (8, 8))
        picture.putalpha(Image.fromarray(alpha))
        return picture, {}
    values = np.where(alpha > 0, 0, 9)  # 9 is the transparent colour
    if mode == "RGB":
        return Image.fromarray(np.stack([values] * 3, 2).astype(np.uint8)), {"transparency": (9, 9, 9)}
    if mode == "I;16":
        return Image.fromarray(values.astype(np.uint16)), {"transparency": 9}
    picture = Image.fromarray(values.astype(np.uint8))
    if mode == "P":
        picture = picture.convert("P")
        picture.putpalette([0] * 768)
    return picture, {"transparency": 9}


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGBA", "png"),
        ("RGBA", "webp"),
        ("RGBA", "tif"),
        ("LA", "png"),
        ("P", "png"),
        ("P", "gif"),
        ("L", "png"),
        ("RGB", "png"),
        ("I;16", "png"),
    ],
)
def test_what_is_transparent_is_white(tmp_path: Path, mode: str, suffix: str) -> None:
    picture, options = transparent(mode)
    options |= {"lossless": True} if suffix == "webp" else {}
    picture.save(tmp_path / f"a.{suffix}", **options)
    pixels = seen(tmp_path / f"a.{suffix}")
    assert (pixels[:, :4] == 255).all() and (pixels[:, 4:] == 0).all()
    assert pixels.shape[2] == (1 if mode in ("L", "LA", "I;16") else 3)


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (100, 0, 0, 128)).save(tmp_path / "a.png")
    assert np.abs(seen(tmp_path / "a.png")[0, 0].astype(int) - [177, 127, 127]).max() <= 1


def sixteen(path: Path, form: str) -> None:
    """The ramp in more than 8 bits, written as `form` has it."""
    values = RAMP.astype(np.uint16) * 257
    if form == "white is zero":
        Image.fromarray((65535 - values).astype(np.uint16)).save(path, tiffinfo={262: 0})
    elif form == "pgm 4095":
        path.write_bytes(b"P5 8 8 4095\n" + np.round(values * (4095 / 65535)).astype(">u2").tobytes())
    elif form == "pgm":
        path.write_bytes(b"P5 8 8 65535\n" + values.astype(">u2").tobytes())
    elif form == "big endian":
        Image.frombytes("I;16B", (8, 8), values.astype(">u2").tobytes()).save(path)
    else:
        Image.fromarray(values).save(path)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("png", "a.png"),
        ("tif", "a.tif"),
        ("big endian", "a.tif"),
        ("white is zero", "a.tif"),
        ("pgm", "a.pgm"),
        ("pgm 4095", "a.pgm"),
    ],
)
def test_more_than_8_bits_are_scaled_by_the_bit_depth(tmp_path: Path, form: str, name: str) -> None:
    sixteen(tmp_path / name, form)
    pixels = seen(tmp_path / name)
    assert pixels.shape == (8, 8, 1)
    assert np.abs(pixels[..., 0].astype(int) - RAMP).max() <= 1


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_whose_white_is_not_stated_are_refused(tmp_path: Path, kind: type) -> None:
    Image.fromarray(RAMP.astype(kind)).save(tmp_path / "a.tif")
    with pytest.raises(Unreadable, match=r"nothing in it states which value is white: save it with 8 or 16 bits"):
        seen(tmp_path / "a.tif")


def test_inverted_cmyk_is_read_as_it_is_seen(tmp_path: Path) -> None:
    """Adobe stores the four colours of a JPEG as their complements, and so does Pillow."""
    Image.fromarray(upright()).convert("CMYK").save(tmp_path / "a.jpg", quality=95, subsampling=0)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()
    assert np.abs(seen(tmp_path / "a.jpg").astype(int) - upright()).mean() < 5


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    for suffix in ("gif", "webp", "png", "tif"):
        first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
        pixels = seen(tmp_path / f"a.{suffix}")
        assert pixels.shape == (4, 4, 3) and pixels[0, 0, 0] > 200 and pixels[0, 0, 2] < 50


def test_one_colour_file_among_a_thousand_grey_ones_makes_the_set_colour(tmp_path: Path) -> None:
    """Every header is looked at, so it does not matter which file it is."""
    for name in ("cat", "dog"):
        (tmp_path / "x" / "train" / name).mkdir(parents=True)
        for number in range(520):
            picture = Image.new("RGB" if (name, number) == ("dog", 333) else "L", (2, 2), number % 256)
            picture.save(tmp_path / "x" / "train" / name / f"{number:03}.png")
        (tmp_path / "x" / "test" / name).mkdir(parents=True)
        Image.new("L", (2, 2)).save(tmp_path / "x" / "test" / name / "0.png")
    assert read(Data(name="x"), tmp_path, "train").pixels_NHWC.shape == (1040, 2, 2, 3)


def icons(root: Path, classes: dict[str, list[int]]) -> Path:
    """Test images that all differ, and training images of one grey each."""
    for name, greys in classes.items():
        for part, values in (("train", greys), ("test", [100 + 50 * sorted(classes).index(name)])):
            (root / "x" / part / name).mkdir(parents=True)
            for number, grey in enumerate(values):
                Image.new("L", (4, 4), grey).save(root / "x" / part / name / f"{number}.png")
    return root


def test_training_images_that_are_all_equal_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all 8 training images are equal, pixel for pixel, so that nothing can be"):
        load(Data(name="x"), icons(tmp_path, {"cat": [7] * 4, "dog": [7] * 4}))


def test_white_shapes_on_nothing_are_refused(tmp_path: Path) -> None:
    """What nobody would see is equal once it is decoded, whatever its alpha channel holds."""
    icons(tmp_path, {"cat": [7] * 4, "dog": [7] * 4})
    for number, file in enumerate(sorted((tmp_path / "x" / "train").glob("*/*"))):
        Image.new("RGBA", (4, 4), (255, 255, 255, 30 * number)).save(file)
    with pytest.raises(InputError, match="transparent parts are shown on white"):
        load(Data(name="x"), tmp_path)


def test_a_class_whose_images_are_all_equal_and_repeated_images_are_noted(tmp_path: Path) -> None:
    images = load(Data(name="x"), icons(tmp_path, {"cat": [7] * 4, "dog": [1, 2, 3, 4]}))
    assert images.notes == (
        "all training images of `cat` are equal, pixel for pixel (transparent parts are shown on white).",
        "3 training images of 8 (38%) repeat another one, pixel for pixel: those in the training and in the validation "
        "part make its accuracy too high.",
    )


def test_a_few_repeated_images_are_not_worth_a_line(tmp_path: Path) -> None:
    images = load(Data(name="x"), icons(tmp_path, {"cat": [*range(100)], "dog": [99, *range(100, 220)]}))
    assert images.notes == ()
