"""What an exported student's folder says and does alone: `predict.py` reproduces the card's accuracy, exactly."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from fitnets.config import Data
from fitnets.images.sources import read
from search import cli
from search.study import Study
from tests.commands import inline_crews, invoke, study_file
from tests.helpers import STUDY
from tests.photos import idx, photographs


@pytest.fixture(autouse=True)
def crew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inline workers."""
    inline_crews(monkeypatch)


def picked(root: Path, study: Study, data: Path, *options: str) -> tuple[Path, dict[str, Any]]:
    """A study's best student: its folder and its card."""
    file = study_file(root, study)
    words = ("--runs", root / "runs")
    result = invoke("run", file, "--data", data, "--trials", 1, *words)
    assert result.exit_code == cli.OK, result.output
    result = invoke("pick", file, "--out", root / "out", *words, *options)
    assert result.exit_code == cli.OK, result.output
    card: dict[str, Any] = json.loads((root / "out" / "card.json").read_text())
    return root / "out", card


def longer(data: Data, epochs: int) -> Study:
    """The tiny study on other images, with students that learn something."""
    return STUDY.changed(data=data, stage2=STUDY.stage2.changed(epochs=epochs, lr=1e-2, batch=16))


def predicted(out: Path, elsewhere: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """`predict.py` as a person starts it, without this project's packages on the path."""
    return subprocess.run(
        [sys.executable, "-I", str(out / "predict.py"), *map(str, words)],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )


def accuracy(result: subprocess.CompletedProcess[str]) -> tuple[float, int]:
    """The share of the files that have their folder's name for their label, and how many files there are."""
    assert result.returncode == 0, result.stderr
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert all(0 < float(probability) <= 1 for *_, probability in rows)
    right = [Path(file).parent.name == label for file, label, _ in rows]
    return sum(right) / len(right), len(right)


def test_photographs_of_every_kind_give_the_cards_test_accuracy(tmp_path: Path) -> None:
    """Mixed sizes, EXIF orientations, alpha, 16 bits, CMYK, palettes and greys, from their original files."""
    photographs(tmp_path / "data" / "train", 40)
    photographs(tmp_path / "data" / "test", 30, first=500)
    out, card = picked(tmp_path, longer(Data(name="photos", max_size=24), 8), tmp_path / "data")
    result = predicted(out, tmp_path, tmp_path / "data" / "test")
    test = card["accuracy"]["test"]
    assert accuracy(result) == (test["accuracy"], test["images"]) and test["images"] == 90
    assert test["accuracy"] > 0.4, "chance is 0.33"
    one = tmp_path / "data" / "test" / "disc" / "501.jpg"
    top = predicted(out, tmp_path, "--top", 3, one)
    file, *rest = top.stdout.strip().split("\t")
    assert file == str(one) and sorted(rest[::2]) == card["classes"] == ["bar", "box", "disc"]
    assert sum(map(float, rest[1::2])) == pytest.approx(1, abs=2e-4)
    assert rest[0] == next(line.split("\t")[1] for line in result.stdout.splitlines() if line.startswith(str(one)))


@pytest.mark.parametrize("options", [(), ("--int8",)])
def test_the_digits_as_files_give_the_cards_test_accuracy(tmp_path: Path, options: tuple[str, ...]) -> None:
    out, card = picked(tmp_path, longer(Data(name="digits"), 2), tmp_path, *options)
    assert card["precision"] == ("int8" if options else "float32")
    raw = read(Data(name="digits"), tmp_path, "test")
    for i, (pixels, label) in enumerate(zip(raw.pixels_NHWC, raw.label_N, strict=True)):
        (tmp_path / "files" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(tmp_path / "files" / str(label) / f"{i}.png")
    got = predicted(out, tmp_path, tmp_path / "files")
    assert accuracy(got) == (card["accuracy"]["test"]["accuracy"], len(raw.label_N))
    assert (card["input"]["colour"], card["input"]["rows"], card["input"]["columns"]) == ("grey", 8, 8)
    assert "values of 0 to 16 multiplied by 255/16" in card["input"]["notes"][0]
    assert card["input"]["notes"][0] in (out / "README.md").read_text()


def test_mnist_as_files_gives_the_cards_test_accuracy(tmp_path: Path) -> None:
    """In torchvision's layout: scikit-learn's digits, enlarged."""
    digits, folder = Data(name="digits"), tmp_path / "data" / "mnist" / "MNIST" / "raw"
    for part, name in (("train", "train"), ("test", "t10k")):
        raw = read(digits, tmp_path, "train" if part == "train" else "test")
        large = [np.asarray(Image.fromarray(pixels[..., 0]).resize((28, 28))) for pixels in raw.pixels_NHWC]
        idx(folder / f"{name}-images-idx3-ubyte", np.stack(large))
        idx(folder / f"{name}-labels-idx1-ubyte", raw.label_N.astype(np.uint8))
    out, card = picked(tmp_path, longer(Data(name="mnist", limit=800), 1), tmp_path / "data")
    raw = read(Data(name="mnist"), tmp_path / "data", "test")
    for i, (pixels, label) in enumerate(zip(raw.pixels_NHWC, raw.label_N, strict=True)):
        (tmp_path / "files" / raw.classes[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(tmp_path / "files" / raw.classes[label] / f"{i}.png")
    assert accuracy(predicted(out, tmp_path, tmp_path / "files")) == (card["accuracy"]["test"]["accuracy"], 401)
    assert "white ink on black" in card["input"]["notes"][0]
    assert card["classes"][0] == "0 - zero"


@pytest.fixture(scope="module")
def folder(finished: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported student of the tiny study."""
    out = tmp_path_factory.mktemp("shipped") / "out"
    runs = tmp_path_factory.mktemp("shipped") / "runs"
    shutil.copytree(finished[1], runs)
    result = invoke("pick", finished[0], "--runs", runs, "--out", out)
    assert result.exit_code == cli.OK, result.output
    return out


def test_the_onnx_file_states_what_the_card_states(folder: Path) -> None:
    card, model = json.loads((folder / "card.json").read_text()), onnx.load(folder / "student.onnx")
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["classes"]) == card["classes"] == [str(digit) for digit in range(10)]
    for name, value in card["input"].items():
        assert said[name] == (value if isinstance(value, str) else json.dumps(value))
    assert {"rows", "columns", "colour", "range", "resize", "antialias", "orientation", "transparency"} <= set(said)
    assert card["onnx"] == {"opset": model.opset_import[0].version, "ir_version": model.ir_version} | {
        "onnxruntime": "1.8"
    }
    readme = (folder / "README.md").read_text()
    assert "needs onnxruntime 1.8 or" in readme and "python predict.py photo.jpg" in readme
    for rule in ("resize", "colours", "orientation", "transparency", "depth"):
        assert card["input"][rule] in readme


def test_predict_needs_pillow_numpy_and_onnxruntime_alone_and_no_new_python(folder: Path) -> None:
    tree = ast.parse((folder / "predict.py").read_text(), feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert others == {"numpy", "PIL", "onnxruntime"}


def test_predict_names_what_it_cannot_read_and_goes_on(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    (tmp_path / "notes.txt").write_text("left out")
    (tmp_path / ".hidden.png").write_text("left out")
    Image.new("L", (8, 8), 9).save(tmp_path / "whole.png")
    result = predicted(folder, tmp_path, tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [str(tmp_path / "whole.png")]
    assert result.stderr.startswith(f"{tmp_path}/torn.png is not an image that can be read (")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "FILE_OR_FOLDER"),
        (["absent.png"], "there is no `absent.png`: check the path"),
        (["."], "no image files (.png, .jpg"),
        (["--model", "absent.onnx", "."], "there is no `absent.onnx`"),
        (["--top", "0", "."], "`--top` is 0: choose 1 or more"),
        (["--model", "mine.onnx", "mine.onnx"], "`mine.onnx` is not a student that FitNet Search exported"),
    ],
)
def test_predict_refuses_wrong_input(folder: Path, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "mine.onnx").write_text("no model")
    result = predicted(folder, tmp_path, *words)
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    assert said in result.stderr
