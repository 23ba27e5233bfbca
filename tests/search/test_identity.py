"""Results are printed only for the images, the teacher and the definition that they belong to. Workers: inline."""

import json
import os
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import Result

from fitnets.config import Brought, Data
from search import cli
from search.read.definition import definition_note
from search.read.reader import read
from search.ship.test_reads import readings
from search.storage.address import storage_url
from search.study import Study
from tests.commands import Crew, inline_crews, invoke, study_file
from tests.helpers import STUDY

NAME = "pictures"
PICTURES = STUDY.changed(name=NAME, data=Data(name=NAME, val_fraction=0.3), trials=1)
CLASSES = ("bar", "box", "disc")
IMAGES = 12  # of each class


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> list[Crew]:
    """The crews that the commands made."""
    return inline_crews(monkeypatch)


def pictures(folder: Path, seed: int = 0) -> Path:
    """Image files that all differ, in class folders. Uncompressed: a changed pixel does not change the file's size."""
    draws = np.random.default_rng(seed)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(IMAGES):
            pixels = draws.integers(0, 60, (8, 8), dtype=np.uint8)
            pixels[label * 2] = 255
            Image.fromarray(pixels).save(folder / name / f"{number:02}.bmp")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished study of `images` in `runs`. Copy it to change it."""
    root = tmp_path_factory.mktemp("made")
    pictures(root / "images")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "search.workers.crew", types.SimpleNamespace(RayWorkers=Crew))
        result = run(root, "images")
    assert result.exit_code == cli.OK, result.output
    return root


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change, from before the images were moved there."""
    shutil.copytree(made, tmp_path / "own")
    return tmp_path / "own"


def run(root: Path, data: str, *words: str, study: Study = PICTURES) -> Result:
    return invoke("run", study_file(root, study), "--data", root / data, "--runs", root / "runs", *words)


def refused(result: Result, *parts: str) -> None:
    """Exit code 2, one line on stderr, and nothing of any result."""
    assert result.exit_code == cli.WRONG_INPUT, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr, result.stderr
    assert "Pareto" not in result.output and "is finished" not in result.output


def change_a_pixel(images: Path) -> None:
    """One pixel of one file, which keeps its size and its time."""
    file = images / "box" / "03.bmp"
    before, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 64
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def relabel(images: Path) -> None:
    (images / "box" / "03.bmp").rename(images / "disc" / "99.bmp")


def add(images: Path) -> None:
    Image.fromarray(np.full((8, 8), 9, dtype=np.uint8)).save(images / "box" / "99.bmp")


def remove(images: Path) -> None:
    (images / "box" / "03.bmp").unlink()


def rename_a_class(images: Path) -> None:
    """The labels, and so the digest, stay the same."""
    (images / "disc").rename(images / "drum")


CHANGES = [change_a_pixel, relabel, add, remove, rename_a_class]


# run


@pytest.mark.parametrize("words", [(), ("--trials", "2")])
def test_a_finished_study_is_no_answer_for_other_images(own: Path, words: tuple[str, ...]) -> None:
    pictures(own / "others", seed=1)
    got = run(own, "others", *words)
    refused(got, f"the images in `{own}/others` are not those that the study was trained on (digest", "--name")


@pytest.mark.parametrize("change", CHANGES)
def test_files_that_changed_since_are_seen_of_a_finished_study(own: Path, change: Callable[[Path], None]) -> None:
    assert run(own, "images").exit_code == cli.OK
    change(own / "images")
    refused(run(own, "images"), "are not those that the study was trained on", "restore them")


def test_a_smoke_run_is_no_answer_for_other_images(tmp_path: Path) -> None:
    pictures(tmp_path / "images")
    pictures(tmp_path / "others", seed=1)
    assert run(tmp_path, "images", "--smoke", "--trials", "1").exit_code == cli.OK
    refused(run(tmp_path, "others", "--smoke", "--trials", "1"), "are not those that the study was trained on")


def test_the_files_of_a_cluster_are_compared_by_its_workers(own: Path, inline: list[Crew]) -> None:
    pictures(own / "others", seed=1)
    refused(run(own, "others", "--address", "10.0.0.1:6379"), "are not those")
    result = run(own, "images", "--address", "10.0.0.1:6379")
    assert result.exit_code == cli.OK and "is finished" in result.output
    assert [crew.closed for crew in inline] == [True, True]


def test_images_that_were_moved_are_the_same_and_are_found_there_from_then_on(own: Path) -> None:
    (own / "images").rename(own / "moved")
    refused(run(own, "images"), "no images in", "--data")
    result = run(own, "moved")
    assert result.exit_code == cli.OK and "is finished" in result.output
    assert f"images of `{own}/moved`: 21 training and 9 validation, digest" in result.output
    picked = invoke("pick", own / f"{NAME}.py", "--runs", own / "runs", "--out", own / "out")
    assert picked.exit_code == cli.OK, picked.output


class Simple(nn.Sequential):
    """A network that its weights alone decide."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3))


BROUGHT = PICTURES.changed(
    teacher=Brought(build="somebody:net", weights="teacher.safetensors", hint_layers=("0",), min_accuracy=0.0)
)


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished study of a brought teacher, whose weights are `teacher.safetensors`."""
    somebody = types.ModuleType("somebody")
    vars(somebody).update(net=Simple)
    monkeypatch.setitem(sys.modules, "somebody", somebody)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_file(Simple().state_dict(), "teacher.safetensors")
    pictures(tmp_path / "images")
    result = run(tmp_path, "images", study=BROUGHT)
    assert result.exit_code == cli.OK, result.output
    return tmp_path


def replace_the_teacher() -> None:
    """Other weights in the same file; their accuracy is the same."""
    save_file({name: 2 * value for name, value in load_file("teacher.safetensors").items()}, "teacher.safetensors")


def test_a_teacher_that_was_replaced_is_seen_of_a_finished_study(brought: Path, inline: list[Crew]) -> None:
    assert run(brought, "images", study=BROUGHT).exit_code == cli.OK
    assert len(inline) == 1, "no workers are started for a finished study"
    replace_the_teacher()
    refused(run(brought, "images", study=BROUGHT), "the teacher is not the one that the study learnt from")
    assert len(inline) == 1
    got = run(brought, "images", "--address", "10.0.0.1:6379", study=BROUGHT)
    refused(got, "the teacher is not the one that the study learnt from")


def test_another_teachers_accuracy_is_not_told_of_a_student(brought: Path) -> None:
    words = ("pick", brought / f"{NAME}.py", "--runs", "runs", "--out", "out")
    result = invoke(*words)
    assert "the teacher's" in result.output
    replace_the_teacher()
    result = invoke(*words)
    assert result.exit_code == cli.OK
    assert "note: the teacher is not the one that this student learnt from" in result.output
    assert "the teacher's" not in result.output
    assert json.loads((brought / "out/card.json").read_text())["teacher"]["test_accuracy"] is None
    Path("teacher.safetensors").unlink()
    result = invoke(*words)
    assert (result.exit_code, "the teacher cannot be opened" in result.output) == (cli.OK, True)


def test_a_student_is_not_trained_again_with_another_teacher(brought: Path) -> None:
    replace_the_teacher()
    shutil.rmtree("runs/store/student")
    result = invoke("pick", brought / f"{NAME}.py", "--runs", "runs", "--out", "out")
    refused(result, "the teacher is not the one that this student learnt from")
    assert not Path("out").exists()


# pick and latency


@pytest.mark.parametrize("command", ["pick", "latency"])
def test_moved_images_are_known_by_their_digest(own: Path, command: str) -> None:
    assert run(own, "images").exit_code == cli.OK
    (own / "images").rename(own / "moved")
    words: list[object] = [own / f"{NAME}.py", "--runs", own / "runs"]
    words += ["--out", own / "out"] if command == "pick" else []
    refused(
        invoke(command, *words), f"that `{NAME}` was trained on are not in `{own}/images`: name the folder", "--data"
    )
    result = invoke(command, *words, "--data", own / "moved")
    assert result.exit_code == cli.OK, result.output
    pictures(own / "others", seed=1)
    refused(
        invoke(command, *words, "--data", own / "others"),
        f"in `{own}/others` are not those that the study was trained on",
    )
    refused(invoke(command, *words, "--data", own / "absent"), f"are not in `{own}/absent`", "--data")


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_picked_with_images_that_changed_since(own: Path, change: Callable[[Path], None]) -> None:
    change(own / "images")
    words = ("pick", own / f"{NAME}.py", "--runs", own / "runs", "--out", own / "out", "--data", own / "images")
    refused(invoke(*words), "are not those that")
    assert not (own / "out").exists() and readings(own / "runs", NAME) == {}


def test_a_finished_confirmation_is_no_answer_for_other_images(own: Path) -> None:
    words = (own / f"{NAME}.py", "--runs", own / "runs", "--data")
    result = invoke("confirm", *words, own / "images")
    assert result.exit_code == cli.OK and "confirmed front" in result.output, result.output
    change_a_pixel(own / "images")
    result = invoke("confirm", *words, own / "images")
    refused(result, "are not those that the study was trained on")
    assert "confirmed front" not in result.output


# definitions


@pytest.mark.parametrize("command", ["results", "pick", "latency"])
def test_a_definition_that_changed_since_is_told(own: Path, command: str) -> None:
    changed = PICTURES.changed(stage2=PICTURES.stage2.changed(epochs=9), max_params=10**9)
    study_file(own, changed)
    words = ["--data", own / "images"] if command != "results" else []
    words += ["--out", own / "out"] if command == "pick" else []
    result = invoke(command, own / f"{NAME}.py", "--runs", own / "runs", *words)
    assert result.exit_code == cli.OK, result.output
    note = f"note: `{NAME}` was searched with another definition than the study `{NAME}` has now"
    assert f"{note} (max_params: was None, is now 1000000000; stage2.epochs: was 1, is now 9): what" in result.stderr
    study_file(own, PICTURES.changed(trials=99, max_disk=10**9))
    result = invoke(command, own / f"{NAME}.py", "--runs", own / "runs", *words)
    assert "note: `" not in result.stderr, "these may differ"


def test_the_note_reaches_no_table_that_a_program_reads(own: Path) -> None:
    study_file(own, PICTURES.changed(max_params=10**9))
    result = invoke("results", own / f"{NAME}.py", "--runs", own / "runs", "--format", "json")
    assert json.loads(result.stdout) and "note:" in result.stderr


def test_a_smoke_run_another_name_and_another_seed_are_no_other_definition() -> None:
    for stored in (
        PICTURES,
        PICTURES.smoke(),
        PICTURES.changed(name="other", seed=4),
        PICTURES.smoke().changed(seed=1),
    ):
        assert definition_note(stored.name, stored.model_dump(mode="json"), PICTURES) is None
    other = STUDY.smoke()
    note = definition_note(other.name, other.model_dump(mode="json"), PICTURES)
    assert note is not None and "data.name: was digits, is now pictures" in note


def test_results_name_the_images(own: Path) -> None:
    result = invoke("results", own / f"{NAME}.py", "--runs", own / "runs")
    snapshot = read(storage_url(own / "runs", None), NAME)
    line = f"images of `{snapshot.images['data_dir']}`: 21 training and 9 validation, digest "
    assert line + snapshot.images["images"][:12] in result.output
    assert snapshot.changed(images={}).images_line() is None
