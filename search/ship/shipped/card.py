"""`card.json` of an exported student's folder: what was measured, how, and on what. Needs torch."""

import platform
from importlib.metadata import version
from typing import Any

from fitnets.opset import smallest_runtime, versions
from fitnets.quantised import METHOD
from search.read.evidence.statistics import ends, of_accuracy
from search.ship.latencies import device
from search.ship.shipped.exported import Accuracies, Exported, Runnable, Tested, now
from search.units import format_accuracy

LIBRARIES = ("torch", "onnx", "onnxruntime", "optuna", "safetensors", "fitnet-search")
DROP = 0.01
"""An int8 file that loses more validation accuracy than this, a point, is shipped with the float32 file beside it."""
FLOAT32_FILE = "student-float32.onnx"


def measurements(exported: Exported, validation: Accuracies, tested: Tested) -> dict[str, Any]:
    """The card's parts about the student's files: accuracy, cost, latency and format."""
    candidate, shipped, test = exported.candidate, exported.shipped, tested.accuracies
    opset, ir_version = versions(shipped.file)
    return {
        "precision": "float32" if exported.int8 is None else "int8",
        "accuracy": {
            "validation": {
                "accuracy": validation.shipped,
                **ends(of_accuracy(validation.shipped, validation.float32.images)),
                "torch_accuracy": validation.float32.torch_accuracy,
                "images": validation.float32.images,
                "how": "the exported ONNX file after the last epoch; the search chose by this number, "
                "so it is optimistic",
            },
            "test": {
                "accuracy": test.shipped,
                **ends(of_accuracy(test.shipped, test.float32.images)),
                "images": test.float32.images,
                "how": "the exported ONNX file, on test images that training and search never saw",
                "students_tested_in_this_study": tested.students,
            },
        },
        "cost": candidate.cost.changed(peak_activation_bytes=candidate.footprint.memory).model_dump(mode="json"),
        "footprint": candidate.footprint.model_dump(mode="json"),
        "file_bytes": len(shipped.file),
        "latency": _latency(shipped),
        "onnx_against_torch": {"largest_logit_difference": validation.float32.largest_difference},
        "onnx": {"opset": opset, "ir_version": ir_version, "onnxruntime": smallest_runtime(opset)},
    }


def int8_part(
    exported: Exported, validation: Accuracies, tested: Tested, calibration_images: int, note: str | None
) -> dict[str, Any]:
    """The card's part about the int8 file: how it was made, and the float32 file that it was made from."""
    plain = exported.float32
    return {
        "how": "static quantisation by onnxruntime (QDQ): weights by filter, activations by tensor",
        "calibration": {"images": calibration_images, "part": "training", "method": METHOD},
        "validation_drop": validation.drop,
        "test_drop": tested.accuracies.drop,
        "largest_drop": DROP,
        "note": note,
        "float32": {
            "file": FLOAT32_FILE if note else None,
            "file_bytes": len(plain.file),
            "validation_accuracy": validation.float32.onnx_accuracy,
            "test_accuracy": tested.accuracies.float32.onnx_accuracy,
            "latency": _latency(plain),
        },
    }


def drop_note(validation: Accuracies, least: float | None) -> str | None:
    """For people: why the float32 file is shipped beside the int8 one; None where the int8 one is good enough."""
    assert validation.int8 is not None and validation.drop is not None
    accuracies = (
        f"{format_accuracy(validation.int8)} on the {validation.float32.images:,} validation images, "
        f"float32 {format_accuracy(validation.float32.onnx_accuracy)}"
    )
    if validation.drop > DROP:
        broken = f"int8 loses {100 * validation.drop:.2f} points, more than {100 * DROP:g}"
    elif least is not None and validation.int8 < least:
        broken = f"int8 is below the least accuracy of {format_accuracy(least)}"
    else:
        return None
    return f"{broken} ({accuracies}): the float32 file is beside it, as {FLOAT32_FILE}."


def environment() -> dict[str, Any]:
    """The card's parts about this installation."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "made": now(),
    }


def _latency(one: Runnable) -> dict[str, Any]:
    return {"device": device(), **one.latency.model_dump(mode="json")}
