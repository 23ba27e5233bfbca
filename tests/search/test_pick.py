"""Budgets, and the student for one as a folder to ship."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import optuna
import pytest
import torch

from fitnets.config import Data, Recipe
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.export import restored
from fitnets.images.images import accuracy, load, load_test
from search import cli
from search.read import layers
from search.read.budget import Budget, broken, fitting, nearest_miss
from search.read.budget import finished as ready
from search.read.candidates import Candidate
from search.read.evidence.statistics import wilson
from search.read.reader import read
from search.ship.shipper import Shipper
from search.ship.test_reads import READINGS
from search.storage.address import storage_url
from search.storage.writer import open_storage
from search.workers.trainer import Trainer
from tests.commands import invoke, study_file
from tests.helpers import STUDY

FILES = {"student.onnx", "student.safetensors", "recipe.json", "predict.py", "card.json", "README.md"}


@pytest.fixture(scope="module")
def candidates(finished: tuple[Path, Path]) -> tuple[Candidate, ...]:
    """The three trained students."""
    return read(storage_url(finished[1], None), "tiny").candidates


@pytest.fixture(scope="module")
def picked(finished: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A shipped student: its folder and its card."""
    root = tmp_path_factory.mktemp("picked")
    shutil.copytree(finished[1], root / "runs")
    result = invoke("pick", study_file(root), "--runs", root / "runs", "--max-params", "250k", "--out", root / "out")
    assert result.exit_code == cli.OK, result.output
    return root / "out", json.loads((root / "out" / "card.json").read_text())


# budgets


def test_without_limits_the_most_accurate_student_is_first(candidates: tuple[Candidate, ...]) -> None:
    accuracies = [c.outcome.val_accuracy for c in fitting(candidates, Budget()) if c.outcome]
    assert len(accuracies) == 3
    assert accuracies == sorted(accuracies, reverse=True)


def test_each_limit_keeps_out_what_breaks_it(candidates: tuple[Candidate, ...]) -> None:
    for limit, cost in (("max_params", "params"), ("max_macs", "macs")):
        values = sorted(getattr(c.cost, cost) for c in candidates)
        for allowed in (values[0], values[1] - 1, values[2]):
            kept = {c.trial for c in fitting(candidates, Budget.model_validate({limit: allowed}))}
            assert kept == {c.trial for c in candidates if getattr(c.cost, cost) <= allowed}
    best = max(c.outcome.val_accuracy for c in candidates if c.outcome)
    assert {c.outcome.val_accuracy for c in fitting(candidates, Budget(min_accuracy=best)) if c.outcome} == {best}
    assert fitting(candidates, Budget(min_accuracy=min(1.0, best + 1e-6))) == []


def test_measured_limits_count_only_where_they_were_measured(candidates: tuple[Candidate, ...]) -> None:
    budget = Budget(max_latency_ms=1.0, max_size_kb=10.0)
    assert broken(candidates[0], budget) == []
    found = broken(candidates[0], budget, latency_ms=1.5, size_kb=10.0)
    assert [(b.limit, b.excess) for b in found] == [("max_latency_ms", 0.5)]
    assert budget.known_before_export() == Budget()


def test_the_nearest_miss_breaks_its_worst_limit_least(candidates: tuple[Candidate, ...]) -> None:
    smallest = min(c.cost.params for c in candidates)
    miss = nearest_miss(candidates, Budget(max_params=smallest // 2))
    assert miss is not None
    assert miss[0].cost.params == smallest
    (limit,) = miss[1]
    assert limit.limit == "max_params"
    assert limit.text().startswith(f"`max_params` allows {smallest // 2:,}, it has {smallest:,} (")
    assert nearest_miss([], Budget()) is None


def test_unfinished_students_cannot_be_picked(candidates: tuple[Candidate, ...]) -> None:
    running = candidates[0].changed(state="running", outcome=None)
    failed = candidates[1].changed(state="failed")
    assert ready([running, failed]) == []


# the folder


def test_the_folder_holds_the_contracts_files(picked: tuple[Path, dict[str, Any]]) -> None:
    out, card = picked
    assert {path.name for path in out.iterdir()} == FILES
    assert set(card["sha256"]) == FILES - {"card.json"}
    for name in card["sha256"]:
        assert card["sha256"][name] == hashlib.sha256((out / name).read_bytes()).hexdigest()


def test_the_card_says_what_was_measured_and_how(
    picked: tuple[Path, dict[str, Any]], candidates: tuple[Candidate, ...]
) -> None:
    _, card = picked
    chosen = fitting(candidates, Budget(max_params=250_000))[0]
    assert chosen.outcome is not None
    assert card["trial"] == chosen.trial
    assert card["choice"]["budget"] == {"max_params": 250_000}
    assert card["choice"]["among"] == 3
    assert card["accuracy"]["validation"]["accuracy"] == chosen.outcome.val_accuracy
    assert "optimistic" in card["accuracy"]["validation"]["how"]
    for part in card["accuracy"].values():
        interval = wilson(round(part["accuracy"] * part["images"]), part["images"])
        assert (part["accuracy_low"], part["accuracy_high"]) == interval
    assert card["accuracy"]["test"]["images"] > 0 and card["accuracy"]["test"]["how"]
    assert card["cost"] == chosen.cost.model_dump(mode="json")
    latency = card["latency"]
    assert (latency["batch"], latency["threads"]) == (1, 1)
    assert 0 < latency["p50_ms"] <= latency["p90_ms"]
    assert latency["device"]
    assert card["versions"]["torch"] == torch.__version__.split("+")[0]
    assert 0 < card["teacher"]["validation_accuracy"] <= 1
    assert card["teacher"]["cost"]["params"] > 0


def test_the_files_reproduce_the_cards_numbers_through_onnx_and_torch(picked: tuple[Path, dict[str, Any]]) -> None:
    out, card = picked
    images = load(STUDY.data, Path("nowhere"))
    recipe = Recipe.model_validate_json((out / "recipe.json").read_text())
    student = restored(recipe.student, (out / "student.safetensors").read_bytes())
    assert accuracy(student, images, images.val) == card["accuracy"]["validation"]["accuracy"]
    session = onnxruntime.InferenceSession(out / "student.onnx", providers=["CPUExecutionProvider"])
    for split, said in ((images.val, "validation"), (load_test(STUDY.data, Path("nowhere"), images), "test")):
        pixels = split.pixels_NHWC.permute(0, 3, 1, 2).float().numpy() / 255
        logits = session.run(["logits"], {"pixels": np.ascontiguousarray(pixels)})[0]
        right = float((logits.argmax(1) == split.label_N.numpy()).mean())
        assert right == pytest.approx(card["accuracy"][said]["accuracy"], abs=1e-9)


def test_the_readmes_snippets_run(picked: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = picked
    monkeypatch.chdir(out)
    snippets = (out / "README.md").read_text().split("```python\n")[1:]
    assert len(snippets) == 2
    found: dict[str, Any] = {}
    for snippet in snippets:
        exec(snippet.split("```")[0], found)
    assert found["logits"].shape == (1, 10)
    assert found["student"](torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_lost_weights_are_trained_again_to_the_same_file(
    finished: tuple[Path, Path], picked: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Deleting the store costs time, never results."""
    shutil.copytree(finished[1], tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "store")
    result = invoke("pick", study_file(tmp_path), "--runs", tmp_path / "runs", "--out", tmp_path / "out")
    assert result.exit_code == cli.OK, result.output
    assert f"were not in {tmp_path}/runs/store any more" in result.stdout
    assert "it was trained again, bit for bit the same." in result.stdout
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["retrained"] is True and picked[1]["retrained"] is False
    assert card["sha256"]["student.safetensors"] == picked[1]["sha256"]["student.safetensors"]


@pytest.mark.parametrize("lost", ["deleted", "damaged"])
def test_limits_that_weights_do_not_decide_train_nothing_again(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    shutil.copytree(finished[1], tmp_path / "runs")
    students = tmp_path / "runs" / "store" / "student"
    if lost == "deleted":
        shutil.rmtree(students)
    for file in students.glob("*/student.safetensors"):
        file.write_bytes(b"torn")
    monkeypatch.setattr(Trainer, "trained", lambda *_: pytest.fail("a student was trained"))
    result = invoke(
        "pick", finished[0], "--runs", tmp_path / "runs", "--out", tmp_path / "out", "--max-size-kb", "0.001"
    )
    assert result.exit_code == cli.WRONG_INPUT
    assert "`max_size_kb` allows" in result.stderr


def test_a_student_is_not_exported_with_other_images(finished: tuple[Path, Path]) -> None:
    snapshot = read(storage_url(finished[1], None), "tiny")
    other = snapshot.changed(images=snapshot.images | {"images": "f" * 64})
    Shipper(snapshot, finished[1])
    with pytest.raises(
        InputError, match=r"are not those that the study was trained on \(digest \w{12}, was f{12}, read from"
    ):
        Shipper(other, finished[1])


def test_of_a_stored_definition_only_what_is_used_must_be_valid(finished: tuple[Path, Path], tmp_path: Path) -> None:
    """An earlier version allowed what this one refuses in a study to be run."""
    runs = tmp_path / "runs"
    shutil.copytree(finished[1], runs)
    known = optuna.load_study(study_name="tiny", storage=open_storage(storage_url(runs, None)))
    first = {"name": "theirs", "stages": [[4]], "hint": {"hint": 99, "guided": 99}}
    earlier = {**known.user_attrs["study"], "gpu_fraction": 2, "first": [first], "what_came_later": 1}
    known.set_user_attr("study", earlier)
    words = ("pick", finished[0], "--runs", runs, "--out", tmp_path / "out")
    result = invoke(*words)
    assert result.exit_code == cli.OK, result.output
    snapshot = read(storage_url(runs, None), "tiny")
    assert [row.shape[0] for row in layers.teacher(snapshot, snapshot.candidates[0].recipe)] == [8, 12, 10]
    known.set_user_attr("study", {**earlier, "data": {**earlier["data"], "what_came_later": 1}})
    result = invoke(*words)
    assert result.exit_code == cli.WRONG_INPUT
    assert (
        "the study `tiny` is another version's, and this one cannot read its images and its teacher (data."
        in result.stderr
    )
    assert result.stderr.count("\n") == 1


def test_a_log_that_cannot_be_written_is_told_before_the_test_images_are_read(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished[1], tmp_path / "runs")
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)  # root may write everywhere
    monkeypatch.setattr(Shipper, "exported", lambda *_: pytest.fail("it went on"))
    result = invoke("pick", finished[0], "--runs", tmp_path / "runs", "--out", tmp_path / "out")
    assert result.exit_code == cli.WRONG_INPUT
    assert f"`{tmp_path}/runs/{READINGS}` cannot be written" in result.stderr


def test_limits_on_the_exported_file_are_held_and_told(finished: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("pick", finished[0], "--runs", finished[1], "--out", tmp_path / "out")
    for flag in ("--max-latency-ms", "--max-size-kb"):
        result = invoke(*words, flag, "0.000001")
        assert result.exit_code == cli.WRONG_INPUT
        assert f"`{flag[2:].replace('-', '_')}` allows" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(finished: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(finished[1], tmp_path / "runs")
    (tmp_path / "file").write_text("in the way")
    result = invoke("pick", finished[0], "--runs", tmp_path / "runs", "--out", tmp_path / "file" / "out")
    assert result.exit_code == cli.WRONG_INPUT
    assert "cannot be written" in result.stderr and "--out" in result.stderr


def test_the_weights_in_the_store_are_what_the_outcome_says(
    finished: tuple[Path, Path], candidates: tuple[Candidate, ...]
) -> None:
    for candidate in candidates:
        assert candidate.outcome is not None
        found = Store(finished[1] / "store").get("student", candidate.outcome.weights_sha256)
        assert found is not None
        assert hashlib.sha256(found["student.safetensors"]).hexdigest() == candidate.outcome.weights_sha256


@pytest.mark.parametrize(
    ("first", "gpu", "again"),
    [
        ("cuda:0", True, ("cuda", None)),
        ("cuda:0", False, ("cpu", 1)),
        ("cpu", True, ("cpu", 1)),
    ],
)
def test_lost_weights_are_trained_again_on_a_gpu_where_there_is_one_and_a_cpu_did_not_train_them(
    finished: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    gpu: bool,
    again: tuple[str, int | None],
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished[1], runs)
    shutil.rmtree(runs / "store" / "student")
    snapshot = read(storage_url(runs, None), "tiny")
    ours = Shipper(snapshot, runs)
    used: list[tuple[str, int | None]] = []

    class OnCpu(Trainer):
        """Records where it should train, and trains on the CPU."""

        def __init__(self, data: Data, data_dir: str, store_dir: str, device: str, threads: int | None):
            used.append((device, threads))
            monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # torch itself must know the truth
            super().__init__(data, data_dir, store_dir, "cpu", 1)

    monkeypatch.setattr("search.ship.shipper.Trainer", OnCpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    candidate = snapshot.candidates[0]
    assert candidate.outcome is not None and candidate.outcome.versions["device"] == "cpu"
    outcome = candidate.outcome.changed(versions=candidate.outcome.versions | {"device": first})
    weights, retrained = ours.weights(candidate.model_copy(update={"outcome": outcome}))
    assert retrained and weights
    assert used == [again]
