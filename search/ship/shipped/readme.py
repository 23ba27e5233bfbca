"""The README of an exported student's folder: what its files are, and how to use them. No torch."""

from typing import Any

CAMERA = """\
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("student.onnx")
frame = np.zeros((480, 640, 3), dtype=np.uint8)  # red, green, blue; of an OpenCV frame, which is BGR: frame[..., ::-1]
picture = Image.fromarray(frame).convert("{mode}").resize(({columns}, {rows}), Image.Resampling.BILINEAR)
pixels = {pixels}
logits = session.run(["logits"], {{"pixels": np.ascontiguousarray(pixels, dtype=np.float32)}})[0]
"""
PIXELS = {"RGB": "np.asarray(picture).transpose(2, 0, 1)[None] / 255", "grey": "np.asarray(picture)[None, None] / 255"}
RULES = ("colours", "scale", "orientation", "transparency", "depth", "frames")
NAMED = 20  # classes that are listed


def _int8(card: dict[str, Any]) -> str:
    """Both precisions side by side, where the student is in int8."""
    if "int8" not in card:
        return ""
    made, accuracy = card["int8"], card["accuracy"]
    plain, calibration = made["float32"], made["calibration"]
    rows = [
        ("int8, `student.onnx`", accuracy["validation"]["accuracy"], accuracy["test"]["accuracy"], card),
        (
            f"float32, `{plain['file']}`" if plain["file"] else "float32, not in this folder",
            plain["validation_accuracy"],
            plain["test_accuracy"],
            plain,
        ),
    ]
    table = "\n".join(
        f"| {name} | {validation:.2%} | {test:.2%} | {of['file_bytes']:,} bytes | {of['latency']['p50_ms']:.3g} ms |"
        for name, validation, test, of in rows
    )
    note = made["note"]
    return f"""
`student.onnx` is in int8, by {made["how"]},
calibrated on {calibration["images"]:,} training images.
{f"Note: {note}{chr(10)}" if note else ""}
| precision | validation | test | file | p50 of an image |
|---|---|---|---|---|
{table}

"""


def readme(card: dict[str, Any]) -> str:
    """The text, for this `card.json`."""
    test, latency, rule = card["accuracy"]["test"], card["latency"], card["input"]
    onnx, rows, columns, classes = card["onnx"], rule["rows"], rule["columns"], card["classes"]
    mode = "L" if rule["colour"] == "grey" else "RGB"
    camera = CAMERA.format(mode=mode, rows=rows, columns=columns, pixels=PIXELS[rule["colour"]])
    more = f" and {len(classes) - NAMED:,} more, see `card.json`" if len(classes) > NAMED else ""
    listed = ", ".join(f"`{name}`" for name in classes[:NAMED])
    bullets = "\n".join(f"- {name}: {rule[name]}" for name in RULES)
    return f"""# A student from FitNet Search

Study `{card["study"]}`, trial {card["trial"]}:
{card["cost"]["params"]:,} parameters, {card["cost"]["macs"]:,} multiply-adds.
Test accuracy {test["accuracy"]:.2%} on {test["images"]:,} images; {latency["p50_ms"]:.3g} ms an image (p50, batch 1,
{latency["threads"]} thread, {latency["device"]}).
{_int8(card)}`card.json` records how each number was measured, and the SHA-256 of the other files.

## Image files to classes

```
pip install onnxruntime pillow numpy
python predict.py photo.jpg folder_of_photos
```

It prints the most probable class of each file and its probability (`--top 3` prints three), and reads files exactly as
the images were read that the accuracy above was measured on. `student.onnx` needs onnxruntime {onnx["onnxruntime"]} or
newer (opset {onnx["opset"]}, IR version {onnx["ir_version"]}; 1.15.0 is the oldest that was tried), `predict.py`
Pillow 10.1 or newer.

## What the ONNX file takes

`pixels`, float32, (batch, {rule["shape"][1]}, {rows}, {columns}), in [0, 1]; it returns `logits`, one for each class:
{listed}{more}. The accuracy holds for images that are made so, and its metadata says the same:

- resize: {rule["resize"]}. That is antialiased: OpenCV's `INTER_LINEAR` and torchvision's `antialias=False` are not
{bullets}
{"".join(f"- note: {note}{chr(10)}" for note in rule["notes"])}
From a camera's frame:

```python
{camera}```

The weights alone, for torch (the network then takes standardised images; see `fitnets.images.images.Preprocess`):

```python
from pathlib import Path

from fitnets.config import Recipe
from fitnets.export import restored

recipe = Recipe.model_validate_json(Path("recipe.json").read_text())
student = restored(recipe.student, Path("student.safetensors").read_bytes())
```
"""
