"""How an image becomes an exported student's input, for `card.json`, the ONNX file's metadata and the README. No torch.

`predict.py` does what is written here: both describe `fitnets.predict.decoded`.
"""

import json
from collections.abc import Sequence
from typing import Any

from fitnets.predict import BACKGROUND
from fitnets.values.net import Shape

NOTES = {
    "digits": "trained on scikit-learn's 8x8 digits: bright ink on black, values of 0 to 16 multiplied by 255/16 and "
    "rounded. A file that holds the values 0 to 16 themselves must be scaled so first, and another picture of a digit "
    "must be cropped, centred and inverted as those are.",
    "mnist": "trained on MNIST: white ink on black, the digit centred in 28x28. A picture of dark ink on paper must be "
    "inverted, cropped and centred as those are.",
    "cifar10": "trained on CIFAR-10: 32x32, one object that fills the picture.",
    "cifar100": "trained on CIFAR-100: 32x32, one object that fills the picture.",
    "svhn": "trained on SVHN: 32x32, cropped to one digit of a house number.",
}
"""Of the known data sets, where they are not folders of image files."""


def input_rule(shape: Shape, known: str | None) -> dict[str, Any]:
    """The rule for images of this shape (channels, rows, columns); `known`: the data set, if not image files."""
    channels, rows, columns = shape
    grey = channels == 1
    return {
        "name": "pixels",
        "shape": ["batch", *shape],
        "layout": "NCHW",
        "dtype": "float32",
        "range": [0, 1],
        "scale": "8-bit values divided by 255, and nothing else: the model holds its own normalisation",
        "colour": "grey" if grey else "RGB",
        "colours": 'one channel; colours by Pillow\'s convert("L"): 0.299 R + 0.587 G + 0.114 B'
        if grey
        else "channels in the order red, green, blue; grey files have three equal channels. OpenCV reads BGR",
        "rows": rows,
        "columns": columns,
        "resize": f"to {columns} columns and {rows} rows, not cropped and whatever the aspect ratio, on 8-bit values, "
        "by Pillow's Image.resize(..., Resampling.BILINEAR)",
        "antialias": True,
        "orientation": "turned upright by the EXIF orientation, first of all",
        "transparency": f"composited on white {BACKGROUND[:3]}",
        "depth": "greys of more than 8 bits are scaled by their bit depth, not clipped",
        "frames": "of several frames or pages the first",
        "notes": [NOTES[known]] if known in NOTES else [],
    }


def metadata(rule: dict[str, Any], classes: Sequence[str]) -> dict[str, str]:
    """The rule and the names of the classes as an ONNX file's metadata: texts, lists and booleans as JSON."""
    everything = {**rule, "classes": list(classes)}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in everything.items()}
