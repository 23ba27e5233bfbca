"""`search.pick --int8`: what it ships, what it says, and that the test images are read once."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fitnets.export import Check, OnnxModel, measure
from fitnets.images.images import load_test
from search import cli
from search.read.reader import read
from search.ship import shipper
from search.ship.shipped import card as cards
from search.ship.shipped.exported import Accuracies
from search.ship.shipper import Shipper
from search.ship.test_reads import READINGS
from search.storage.address import storage_url
from tests.commands import invoke

FILES = {"student.onnx", "student.safetensors", "recipe.json", "predict.py", "card.json", "README.md"}


def picked(finished: tuple[Path, Path], root: Path, *words: object) -> tuple[Path, dict[str, Any], str]:
    """A shipped int8 student: its folder, its card, and what the command said."""
    if not (root / "runs").exists():
        shutil.copytree(finished[1], root / "runs")
    result = invoke("pick", finished[0], "--int8", "--runs", root / "runs", "--out", root / "out", *words)
    assert result.exit_code == cli.OK, result.output
    return root / "out", json.loads((root / "out" / "card.json").read_text()), result.output


def test_int8_is_shipped_with_its_own_numbers_beside_float32s(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def counted(*arguments: Any) -> Any:
        reads.append(1)
        return load_test(*arguments)

    monkeypatch.setattr(shipper, "load_test", counted)
    monkeypatch.setattr(cards, "DROP", 1.0)
    out, card, got = picked(finished, tmp_path)
    assert len(reads) == 2, "the student's and the teacher's, as without --int8"
    assert {path.name for path in out.iterdir()} == FILES
    made, accuracy = card["int8"], card["accuracy"]
    plain = made["float32"]
    assert card["precision"] == "int8" and plain["file"] is None and made["note"] is None
    assert made["validation_drop"] == pytest.approx(plain["validation_accuracy"] - accuracy["validation"]["accuracy"])
    assert made["test_drop"] == pytest.approx(plain["test_accuracy"] - accuracy["test"]["accuracy"])
    assert card["file_bytes"] == (out / "student.onnx").stat().st_size != plain["file_bytes"]
    assert card["latency"]["p50_ms"] > 0 and plain["latency"]["p50_ms"] > 0
    snapshot = read(storage_url(tmp_path / "runs", None), "tiny")
    candidate = next(c for c in snapshot.candidates if c.trial == card["trial"])
    assert card["footprint"] == candidate.footprint.model_dump()
    ours = Shipper(snapshot, tmp_path / "runs", int8=True)
    assert made["calibration"]["part"] == "training", made
    assert made["calibration"]["images"] == len(ours.pixels.train) < 512
    split = load_test(ours.pixels.data, ours.data_dir, ours.pixels, ours.store)
    assert measure(OnnxModel((out / "student.onnx").read_bytes()), split) == accuracy["test"]["accuracy"]
    again = ours.exported(candidate).int8
    assert again is not None and again.file == (out / "student.onnx").read_bytes(), "the same command, the same file"
    text = (out / "README.md").read_text()
    for value in (accuracy["validation"]["accuracy"], accuracy["test"]["accuracy"], plain["test_accuracy"]):
        assert f"{value:.2%}" in text
    assert "| int8, `student.onnx` |" in text and "float32, not in this folder" in text
    assert "int8:" in got and "float32:" in got
    rows = [json.loads(line) for line in (tmp_path / "runs" / READINGS).read_text().splitlines()]
    assert [row.get("int8_accuracy") for row in rows if "accuracy" in row] == [accuracy["test"]["accuracy"]]


@pytest.mark.parametrize(("largest", "words"), [(-1.0, ()), (1.0, ("--min-accuracy", "0.01"))])
def test_a_drop_over_the_limit_is_said_and_ships_float32_too(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: float, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(cards, "DROP", largest)
    out, card, got = picked(finished, tmp_path, *words)
    both = largest < 0
    assert (out / "student-float32.onnx").exists() == both
    assert ("the float32 file is beside it, as student-float32.onnx" in " ".join(got.split())) == both
    assert (card["int8"]["float32"]["file"] == "student-float32.onnx") == both
    if both:
        assert "student-float32.onnx" in card["sha256"] and "Note: int8 loses" in (out / "README.md").read_text()
        assert len((out / "student-float32.onnx").read_bytes()) == card["int8"]["float32"]["file_bytes"]
        monkeypatch.setattr(cards, "DROP", 1.0)
        out, _, _ = picked(finished, tmp_path)
        assert not (out / "student-float32.onnx").exists(), "an earlier export's files give way"


def test_below_the_least_accuracy_float32_goes_along() -> None:
    checked = Check(images=200, onnx_accuracy=0.905, torch_accuracy=0.905, largest_difference=0.0)
    found = Accuracies(checked, 0.9)
    assert cards.drop_note(found, None) is None and cards.drop_note(found, 0.9) is None
    note = cards.drop_note(found, 0.904)
    assert note is not None and note.startswith("int8 is below the least accuracy of 90.40%")
    worse = cards.drop_note(Accuracies(checked, 0.89), None)
    assert worse is not None and worse.startswith("int8 loses 1.50 points, more than 1 (89.00% on the 200 validation")


def test_limits_on_the_file_are_on_the_int8_one(finished: tuple[Path, Path], tmp_path: Path) -> None:
    out, card, _ = picked(finished, tmp_path)
    kb = card["file_bytes"] / 1000
    _, kept, _ = picked(finished, tmp_path, "--max-size-kb", f"{kb:.4f}", "--max-latency-ms", "1000")
    assert kept["file_bytes"] <= card["file_bytes"]
    result = invoke(
        "pick", finished[0], "--int8", "--runs", tmp_path / "runs", "--out", out, "--max-int8-memory", "100", "--int8"
    )
    assert result.exit_code == cli.WRONG_INPUT and "`max_int8_memory` allows 100, it has" in result.stderr
