"""The command line: its frozen flags, what it prints and leaves, and what it says to wrong input. Workers: inline."""

import csv
import io
import json
import math
import re
import shutil
import sqlite3
import sys
import types
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import optuna
import pytest
import torch
import typer
from optuna.trial import TrialState, create_trial
from PIL import Image
from safetensors.torch import save
from torch import nn
from typer.testing import Result

from fitnets.config import Brought, Data, Recipe, Report
from fitnets.errors import InputError
from fitnets.values.base import sha256
from search import cli, run
from search.driver.rungs import EXPECTED_STOPPED
from search.read.reader import read
from search.storage.address import storage_url
from search.storage.lock import driving
from search.storage.writer import open_storage
from search.study import Stopping, Study
from search.units import parse_count
from search.workers.facts import TeacherFacts
from search.workers.protocol import Event, Failed
from tests.commands import COMMANDS, Crew, inline_crews, invoke, study_file
from tests.helpers import STUDY


@pytest.fixture(autouse=True)
def crew(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Crew]]:
    """The crews that the commands made; all of them must have been closed."""
    made = inline_crews(monkeypatch)
    yield made
    assert all(one.closed for one in made)


@pytest.fixture
def own(finished: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the finished study that a test may change."""
    shutil.copytree(finished[1], tmp_path / "runs")
    return study_file(tmp_path), tmp_path / "runs"


def refused(result: Result, *parts: str) -> None:
    """Exit code 2, on stderr, in words."""
    assert result.exit_code == cli.WRONG_INPUT, result.output
    assert result.stderr.strip()
    for part in parts:
        assert part in result.stderr, result.stderr


# the contract


def test_flags_are_frozen() -> None:
    """Section 4 of the design: scripts depend on them."""
    flags = {
        "run": "--trials --workers --data --runs --storage --address --name --seed --trial-seconds --max-disk --like "
        "--like-count --no-stopping --smoke --dry-run",
        "confirm": "--seeds --max-params --max-macs --min-accuracy --workers --data --runs --storage --address --name "
        "--dry-run",
        "results": "--format --runs --storage --name",
        "pick": "--max-params --max-macs --max-latency-ms --max-size-kb --max-memory --max-int8-memory --max-int8-size "
        "--device --min-accuracy --one-se --int8 --out --data --runs --storage --name",
        "latency": "--all --threads --batch --int8 --export --add --data --runs --storage --name",
    }
    for command, wanted in flags.items():
        params = typer.main.get_command(COMMANDS[command]).params
        options = {flag for p in params if p.param_type_name == "option" for flag in [*p.opts, *p.secondary_opts]}
        assert options - {"--help"} == set(wanted.split())
        assert [p.name for p in params if p.param_type_name == "argument"] == ["study"]
        for flag in wanted.split():
            assert flag in invoke(command, "--help").output


def test_exit_codes_are_frozen() -> None:
    assert (cli.OK, cli.FAILED, cli.WRONG_INPUT, cli.INTERRUPTED) == (0, 1, 2, 130)


# counts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250k", 250_000),
        ("0.25M", 250_000),
        ("30M", 30_000_000),
        ("250000", 250_000),
        ("1", 1),
        ("1.5k", 1500),
        ("1.2G", 1_200_000_000),
        ("20,802", 20_802),
    ],
)
def test_counts(text: str, value: int) -> None:
    assert parse_count(text, "--max-params") == value


def test_no_count_is_no_limit() -> None:
    assert parse_count(None, "--max-params") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "k",
        "M",
        "-5",
        "0",
        "0k",
        "0.5",
        "1.0005k",
        "1e6",
        "250K",
        "250m",
        "250 k",
        "20,80",
        "+3",
        "٣",
        "nan",
        "1P",
    ],
)
def test_other_counts_are_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_count(text, "--max-macs")
    rule = f"`--max-macs` is `{text}`, but a count is written as 250k, 0.25M, 30M or 250000"
    assert str(caught.value).startswith((f"{rule}.", f"{rule}: did you mean "))


@pytest.mark.parametrize("flag", ["--max-params", "--max-macs"])
def test_a_bad_count_on_the_command_line(flag: str, finished: tuple[Path, Path]) -> None:
    refused(invoke("pick", finished[0], "--runs", finished[1], flag, "12x"), f"`{flag}` is `12x`", "250k, 0.25M")


# wrong words


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_study(command: str, tmp_path: Path, crew: list[Crew]) -> None:
    refused(invoke(command, "digit", "--runs", tmp_path / "runs"), "no study is called `digit`: choose from", "digits")
    assert crew == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b", "x" * 101, "a\nb", "[red]"])
def test_names_with_path_tricks(command: str, name: str, tmp_path: Path) -> None:
    result = invoke(command, "digits", "--runs", tmp_path / "runs", "--name", name)
    refused(result, "`--name` is", "letters, digits")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--trials", "0"],
        ["--trials", "-3"],
        ["--trials", "many"],
        ["--workers", "0"],
        ["--seed", "-1"],
        ["--seed", "1.5"],
        ["--colour", "red"],
        ["digits"],
    ],
)
def test_wrong_options_of_run(words: list[str], tmp_path: Path, crew: list[Crew]) -> None:
    refused(invoke("run", "digits", "--runs", tmp_path / "runs", *words))
    assert crew == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-latency-ms", "0"], "`--max-latency-ms` is `0`, but"),
        (["--max-size-kb", "-1"], "`--max-size-kb` is `-1`, but"),
        (["--min-accuracy", "1.5"], "`--min-accuracy` is `1.5`, but"),
        (["--min-accuracy", "nan"], "`--min-accuracy` is `nan`, but"),
        (["--min-accuracy", "97"], "did you mean 0.97?"),
        (["--max-latency-ms", "fast"], "`--max-latency-ms` is `fast`, but"),
    ],
)
def test_wrong_options_of_pick(words: list[str], message: str, finished: tuple[Path, Path], tmp_path: Path) -> None:
    refused(invoke("pick", finished[0], "--runs", finished[1], "--out", tmp_path / "out", *words), message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_working_folder_that_was_deleted(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    refused(invoke(command, "digits"), "does not exist any more", "change to another one")


def test_no_study_at_all() -> None:
    for command in COMMANDS:
        refused(invoke(command), "STUDY")


def test_a_wrong_format(finished: tuple[Path, Path]) -> None:
    refused(invoke("results", finished[0], "--runs", finished[1], "--format", "xml"), "xml")


# folders and storages


@pytest.mark.parametrize("smoke", [[], ["--smoke"]])
def test_an_unwritable_folder_is_told_before_anything_starts(
    tmp_path: Path, crew: list[Crew], smoke: list[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(invoke("run", "digits", "--runs", tmp_path / "file" / "runs", *smoke), "cannot be written", "--runs")
    assert crew == []


def test_missing_images_name_the_files_to_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*arguments: Any, **options: Any) -> NoReturn:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    result = invoke("run", "mnist", "--data", tmp_path / "data", "--runs", tmp_path / "runs", "--smoke")
    refused(result, "`mnist` is not in", "MNIST/raw/*-ubyte", "--data")
    refused(
        invoke("run", "folder", "--data", tmp_path / "absent", "--runs", tmp_path / "runs"), "no images in", "--data"
    )


FOLDER = STUDY.changed(data=STUDY.data.changed(name="folder", limit=None))
BROUGHT = STUDY.changed(teacher=Brought(build="theirs:net", weights="absent.safetensors", hint_layers=("0",)))


@pytest.mark.parametrize(
    ("study", "data", "message"),
    [
        (FOLDER, "absent", "there is no such folder. It must hold one folder for each class"),
        (FOLDER, "empty", "it must hold one folder for each class"),
        (FOLDER, "file", "it is a file. It must hold one folder for each class"),
        (
            STUDY.changed(data=STUDY.data.changed(name="mnist")),
            "file",
            "it is a file. It must hold one folder for each class",
        ),
        (BROUGHT, "empty", "the teacher's `weights` are `absent.safetensors`, but there is no such file: give the"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_files_that_are_not_there_are_refused_before_anything_starts(
    tmp_path: Path, crew: list[Crew], study: Study, data: str, message: str, dry: list[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    file = study_file(tmp_path / "studies", study)
    refused(invoke("run", file, "--data", tmp_path / data, "--runs", tmp_path / "runs", *dry), message)
    assert crew == []


def test_a_clusters_files_are_its_workers_to_find(tmp_path: Path, crew: list[Crew]) -> None:
    """They lie on its nodes, and this machine may have none."""
    file = study_file(tmp_path, FOLDER)
    result = invoke(
        "run", file, "--data", tmp_path / "absent", "--runs", tmp_path / "runs", "--address", "10.0.0.1:6379"
    )
    refused(result, "no images in")
    assert len(crew) == 1


def test_an_unwritable_folder_is_refused_by_a_dry_run_too(tmp_path: Path, crew: list[Crew]) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(invoke("run", "digits", "--runs", tmp_path / "file" / "runs", "--dry-run"), "cannot be written", "--runs")
    assert crew == []


def test_a_run_says_how_far_its_forecast_was_from_what_it_took(tmp_path: Path) -> None:
    result = invoke("run", study_file(tmp_path), "--runs", tmp_path / "runs", "--trials", 1)
    assert re.search(r"^forecast \d+ s, took \d+ s$", result.output, re.MULTILINE), result.output
    result = invoke("run", study_file(tmp_path), "--runs", tmp_path / "runs", "--trials", 1)
    assert "took" not in result.output, "it was finished"


@pytest.mark.parametrize("command", ["results", "pick"])
def test_reading_a_storage_that_is_not_there_makes_nothing(command: str, tmp_path: Path) -> None:
    refused(invoke(command, "digits", "--runs", tmp_path / "runs"), "there is no study storage at", "--runs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "url",
    [
        "postgresql+nosuch://user:secret@127.0.0.1:1/db",
        "gopher://user:secret@127.0.0.1/db",
        "postgresql://user:secret@127.0.0.1:1/db",
        "user:secret@nonsense",
        "postgresql://user:secret@[127.0.0.1/db",
    ],
)
def test_a_storage_that_cannot_be_opened_never_tells_its_password(command: str, url: str, tmp_path: Path) -> None:
    result = invoke(command, "digits", "--runs", tmp_path / "runs", "--storage", url)
    refused(result, "the storage")
    if "://" in url:
        assert "secret" not in result.output


def test_the_command_to_continue_hides_the_password(finished: tuple[Path, Path]) -> None:
    url = "postgresql://user:secret@host/db"
    again = run._again("digits", [], data=Path("data"), runs=Path("runs"), storage=url, name=None)
    assert again == "python -m search.run digits --storage 'postgresql://user:***@host/db'"
    snapshot = read(storage_url(finished[1], None), "tiny")
    pick = run._pick("digits", Path("runs"), url, snapshot)
    assert "secret" not in pick
    front = [c.cost.params for c in snapshot.front()]
    assert pick.startswith(f"python -m search.pick digits --max-params {front[len(front) // 2]} ")


def test_a_name_that_the_storage_lacks_tells_those_it_has(finished: tuple[Path, Path]) -> None:
    for command in ("results", "pick"):
        refused(
            invoke(command, finished[0], "--runs", finished[1], "--name", "other"), "has no study `other`: it has tiny"
        )


def test_a_file_that_is_no_storage(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_text("not a database " * 1000)
    for command in COMMANDS:
        refused(invoke(command, "digits", "--runs", tmp_path))


# running, continuing, changing


def test_a_finished_study_says_so_and_how_to_extend_it(own: tuple[Path, Path], crew: list[Crew]) -> None:
    file, runs = own
    result = invoke("run", file, "--runs", runs)
    assert result.exit_code == cli.OK
    assert "is finished" in result.output
    assert f"search.run {file} --runs {runs} --trials 6" in result.output
    assert crew == [], "nothing is started for a study that is finished"
    assert invoke("run", file, "--runs", runs, "--trials", 2).exit_code == cli.OK


def test_more_trials_continue_it(own: tuple[Path, Path], crew: list[Crew]) -> None:
    file, runs = own
    before = rows(file, runs)
    result = invoke("run", file, "--runs", runs, "--trials", 4)
    assert result.exit_code == cli.OK
    assert "3 of 4 trials are done; for what is left:\n  1 trial on" in result.output
    after = rows(file, runs)
    assert len(crew) == 1
    assert [row["trial"] for row in after if row["state"] == "complete"] == [0, 1, 2, 3]
    for old, new in zip(before, after, strict=False):
        assert {**old, "on_front": None} == {**new, "on_front": None}


def test_a_lowered_total_leaves_no_trial_running(own: tuple[Path, Path], crew: list[Crew]) -> None:
    file, runs = own
    study = optuna.load_study(study_name="tiny", storage=open_storage(storage_url(runs, None)))
    last = study.trials[-1]
    recipe = Recipe.model_validate(last.user_attrs["recipe"]).changed(seed=99)
    about = {"recipe": recipe.model_dump(mode="json"), "digest": recipe.digest(), "cost": last.user_attrs["cost"]}
    left = create_trial(
        state=TrialState.RUNNING, params=last.params, distributions=last.distributions, user_attrs=about
    )
    study.add_trial(left)
    result = invoke("run", file, "--runs", runs, "--trials", 3)
    assert result.exit_code == cli.OK, result.output
    assert [row["state"] for row in rows(file, runs)].count("complete") == 4


def test_a_changed_study_is_refused_with_the_differences(own: tuple[Path, Path], crew: list[Crew]) -> None:
    file, runs = own
    shutil.copytree(runs, runs.with_name("others"))
    study_file(file.parent, STUDY.changed(max_params=9000, stage1=STUDY.stage1.changed(epochs=2)))
    result = invoke("run", file, "--runs", runs, "--trials", 9)
    refused(result, "max_params: was None, is now 9000", "stage1.epochs: was 1, is now 2", "--name")
    result = invoke("run", study_file(file.parent), "--runs", runs.with_name("others"), "--seed", 3)
    refused(result, "seed: was 0, is now 3")
    assert crew == []


def test_a_study_that_began_without_stopping_goes_on_without(own: tuple[Path, Path], crew: list[Crew]) -> None:
    file, runs = own
    study_file(file.parent, STUDY.changed(stopping=Stopping()))
    result = invoke("run", file, "--runs", runs, "--trials", 4)
    refused(
        result, "stopping.eta: was None, is now 3", "trained to its end: continue it so with --no-stopping", "--name"
    )
    assert crew == []
    result = invoke("run", file, "--runs", runs, "--trials", 4, "--no-stopping")
    assert result.exit_code == cli.OK, result.output
    assert [row["state"] for row in rows(file, runs)] == ["complete"] * 4
    result = invoke("run", file, "--runs", runs, "--no-stopping")
    assert f"search.run {file} --runs {runs} --no-stopping --trials 8" in result.output


def test_a_study_stops_its_students_and_says_so(tmp_path: Path) -> None:
    """Forecast, lines, results and continuing, with real trainings."""
    epochs = STUDY.stage2.changed(epochs=6)
    file, runs = study_file(tmp_path, STUDY.changed(stopping=Stopping(audit=0.0), stage2=epochs)), tmp_path / "runs"
    result = invoke("run", file, "--runs", runs, "--trials", 8)
    assert result.exit_code == cli.OK, result.output
    share = 1 - math.prod(1 - stopped for stopped in EXPECTED_STOPPED)
    assert f"8 trials on 1 slot(s), 42 epochs in all, as about {share:.0%} are stopped early" in result.output
    found = rows(file, runs)
    stopped = [row for row in found if row["state"] == "pruned"]
    assert len(found) == 8 and stopped and {row["stopped_at"] for row in stopped} <= {2, 4}
    assert f"{8 - len(stopped)} trained, {len(stopped)} stopped early, 0 running, 0 failed" in result.output
    assert f"8 of 8, {len(stopped)} stopped early" in result.output
    result = invoke("run", file, "--runs", runs, "--trials", 8)
    assert "has trained its 8 students: it is finished" in result.output
    result = invoke("run", file, "--runs", runs, "--trials", 9)
    assert result.exit_code == cli.OK and len(rows(file, runs)) == 9
    refused(invoke("run", file, "--runs", runs, "--no-stopping"), "stopping.eta: was 3, is now None", "change it back")


def test_another_name_is_another_study(own: tuple[Path, Path]) -> None:
    file, runs = own
    study_file(file.parent, STUDY.changed(seed=7))
    result = invoke("run", file, "--runs", runs, "--trials", 1, "--name", "second")
    assert result.exit_code == cli.OK, result.output
    assert "--name second" in result.output, "the command to pick must name it"
    assert len(rows(file, runs, "--name", "second")) == 1
    assert len(rows(file, runs, "--name", "tiny")) == 3


def test_other_images_than_the_studys_are_refused(own: tuple[Path, Path]) -> None:
    file, runs = own
    stored = optuna.load_study(study_name="tiny", storage=open_storage(storage_url(runs, None)))
    stored.set_user_attr("images", {**stored.user_attrs["images"], "images": "0" * 64})
    refused(invoke("run", file, "--runs", runs, "--trials", 4), "are not those that the study was trained on", "--name")


def test_a_study_that_did_not_read_the_validation_part_says_what_to_do(tmp_path: Path) -> None:
    """An earlier version split the validation images off `train/`, whatever lay beside it."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        place = tmp_path / "data" / ("train", "train", "train", "test")[number % 4] / "ab"[number % 3 > 0]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    file = study_file(tmp_path, STUDY.changed(data=Data(name="folder", val_fraction=0.3), trials=1))
    words = (file, "--runs", tmp_path / "runs")
    run = ("run", *words, "--data", tmp_path / "data")
    assert invoke(*run).exit_code == cli.OK
    shutil.copytree(tmp_path / "data" / "test", tmp_path / "data" / "val")
    got = "which did not read the validation part (`val/`), or before that was there. Move that folder away, or "
    refused(invoke(*run, "--trials", 2), got + "start a new study of another name with --name.")
    picked = invoke("pick", *words, "--out", tmp_path / "out")
    refused(picked, got + "search these under another name with `search.run --name`.")
    shutil.rmtree(tmp_path / "data" / "val")
    assert invoke(*run, "--trials", 2).exit_code == cli.OK
    assert invoke("pick", *words, "--out", tmp_path / "out").exit_code == cli.OK


class Theirs(nn.Module):
    """A teacher that somebody brings."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.top = nn.Conv2d(1, 4, 3), nn.Linear(144, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.top(self.first(x).relu().flatten(1))
        return logits


def test_a_study_of_an_earlier_version_goes_on_with_the_teacher_that_it_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "theirs", types.SimpleNamespace(net=Theirs))
    brought = Brought(build="theirs:net", hint_layers=("first",), min_accuracy=0.0)
    study, runs = STUDY.changed(teacher=brought, trials=1), tmp_path / "runs"
    assert invoke("run", study_file(tmp_path, study), "--runs", runs).exit_code == cli.OK
    known = optuna.load_study(study_name="tiny", storage=open_storage(storage_url(runs, None)))
    weights = {name: tensor.contiguous() for name, tensor in Theirs().state_dict().items()}
    contents = sha256(save(weights)), sha256(repr([(__name__, sha256(Path(__file__).read_bytes()))]))
    earlier = brought.changed(min_accuracy=0.01)  # the digest of that version depended on it
    digest = sha256(contents[0] + earlier.digest() + contents[1])
    known.set_user_attr("study", study.changed(teacher=earlier).model_dump(mode="json"))
    known.set_user_attr("teacher", {**known.user_attrs["teacher"], "teacher": digest})
    result = invoke("run", tmp_path / "tiny.py", "--runs", runs, "--trials", 2)
    assert result.exit_code == cli.OK, result.output
    assert len(rows(tmp_path / "tiny.py", runs)) == 2
    known.set_user_attr("teacher", {**known.user_attrs["teacher"], "teacher": "0" * 64})
    result = invoke("run", tmp_path / "tiny.py", "--runs", runs, "--trials", 3)
    refused(result, "the teacher is not the one that the study learnt from")


def native(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Have the workers' processor be one that is fastest in this precision."""
    monkeypatch.setattr("search.workers.trainer.native", lambda device: precision)


@pytest.mark.parametrize(("first", "then"), [("float32", "bf16"), ("bf16", "float32")])
def test_a_study_keeps_the_precision_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    study = STUDY.changed(teacher=STUDY.teacher.changed(precision="auto"))
    file, runs = study_file(tmp_path, study), tmp_path / "runs"
    native(monkeypatch, first)
    result = invoke("run", file, "--runs", runs, "--trials", 1)
    assert (result.exit_code, "lacks in hardware" in result.output) == (cli.OK, False), result.output
    native(monkeypatch, then)
    result = invoke("run", file, "--runs", runs, "--trials", 2)
    assert result.exit_code == cli.OK, result.output
    assert [row["recipe"]["precision"] for row in rows(file, runs)] == [first] * 2
    assert invoke("pick", file, "--runs", runs, "--out", tmp_path / "picked").exit_code == cli.OK
    card = json.loads((tmp_path / "picked" / "card.json").read_text())
    assert card["teacher"]["test_accuracy"] is not None
    line = "note: the study trains in bf16, which `cpu` here lacks in hardware: it goes on in bf16, slower than where"
    assert (line in result.output) == (then == "float32")


def test_a_study_of_an_earlier_version_keeps_the_precision_of_its_trials(
    own: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = storage_url(own[1], None)
    before = rows(*own)[0]["recipe"]["precision"]
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("DELETE FROM study_user_attributes WHERE key = 'precision'")
    native(monkeypatch, "bf16" if before == "float32" else "float32")
    assert invoke("run", own[0], "--runs", own[1], "--trials", 4).exit_code == cli.OK
    assert [row["recipe"]["precision"] for row in rows(*own)] == [before] * 4


def test_a_study_goes_on_with_another_share_of_a_gpu(own: tuple[Path, Path]) -> None:
    """It is the remedy that the message of an exhausted GPU names."""
    study_file(own[0].parent, STUDY.changed(gpu_fraction=0.5))
    result = invoke("run", own[0], "--runs", own[1], "--trials", 4)
    assert result.exit_code == cli.OK, result.output
    assert len(rows(*own)) == 4


def test_a_dry_run_forecasts_and_leaves_no_study(tmp_path: Path) -> None:
    file = study_file(tmp_path)
    result = invoke("run", file, "--runs", tmp_path / "runs", "--dry-run")
    assert result.exit_code == cli.OK
    for word in ("3", "epochs", "teacher"):
        assert word in result.output
    assert not (tmp_path / "runs" / "studies.db").exists()
    assert not (tmp_path / "runs" / "store" / "teacher").exists()


def test_a_dry_run_of_a_stored_study_forecasts_what_is_left(own: tuple[Path, Path]) -> None:
    file, runs = own
    before = storage_url(runs, None), rows(file, runs)
    with driving(before[0], STUDY.name):
        result = invoke("run", file, "--runs", runs, "--trials", 5, "--dry-run")
    assert result.exit_code == cli.OK, "another process searches it, and may go on"
    assert "3 of 5 trials are done; for what is left:" in result.output
    assert "it is finished" in invoke("run", file, "--runs", runs, "--dry-run").output
    study_file(file.parent, STUDY.changed(max_params=10**6))
    refused(invoke("run", file, "--runs", runs, "--dry-run"), "is stored with another definition", "max_params")
    assert rows(file, runs) == before[1]


def test_interrupted_says_how_to_continue(own: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file, runs = own

    def interrupted(self: Crew, seconds: float) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Crew, "wait", interrupted, raising=False)
        result = invoke("run", file, "--runs", runs, "--trials", 4)
    assert result.exit_code == cli.INTERRUPTED
    assert "took" not in result.output
    assert f"python -m search.run {file} --runs {runs} --trials 4" in result.output
    assert [row["state"] for row in rows(file, runs)][3] == "running"
    assert invoke("run", file, "--runs", runs, "--trials", 4).exit_code == cli.OK
    assert [row["state"] for row in rows(file, runs)] == ["complete"] * 4


def test_a_search_that_cannot_go_on_fails_with_its_reason(
    own: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Crew, seconds: float) -> list[Event]:
        assert self._running is not None
        number, self._running = self._running[0], None
        return [Failed(number, "OutOfMemoryError", "too large")]

    monkeypatch.setattr(Crew, "wait", failing, raising=False)
    result = invoke("run", own[0], "--runs", own[1], "--trials", 30)
    assert result.exit_code == cli.FAILED
    assert "5 trials in a row failed in the same way, which the next would too: OutOfMemoryError" in result.stderr
    assert [row["state"] for row in rows(*own)] == ["complete"] * 3 + ["failed"] * 5


def test_a_teacher_that_cannot_be_taught_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crew: list[Crew]
) -> None:
    def refuse(self: Crew, teacher: Any, on_report: Callable[[Report], None]) -> TeacherFacts:
        raise InputError("the teacher [sic] takes other images")

    monkeypatch.setattr(Crew, "teach", refuse, raising=False)
    result = invoke("run", study_file(tmp_path), "--runs", tmp_path / "runs")
    refused(result, "error: the teacher [sic] takes other images")
    assert len(crew) == 1


# results


def rows(file: Path, runs: Path, *words: str) -> list[dict[str, Any]]:
    """The results as JSON."""
    result = invoke("results", file, "--runs", runs, "--format", "json", *words)
    assert result.exit_code == cli.OK, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_results_as_json_keep_the_contract(finished: tuple[Path, Path]) -> None:
    found = rows(*finished)
    assert [row["trial"] for row in found] == [0, 1, 2]
    for row in found:
        assert row["state"] == "complete"
        assert type(row["val_accuracy"]) is float and 0 <= row["val_accuracy"] <= 1
        for name in ("params", "macs", "depth", "hint_layer", "guided_layer"):
            assert type(row[name]) is int, name
        assert type(row["on_front"]) is bool
        for name in ("tau", "lambda_start", "lambda_end", "seconds"):
            assert type(row[name]) is float, name
        recipe = Recipe.model_validate(row["recipe"])
        assert row["widths"] == [list(widths) for widths in recipe.student.stages]
        assert row["depth"] == recipe.student.depth
        assert recipe.hint is not None
        assert (row["hint_layer"], row["guided_layer"]) == (recipe.hint.hint, recipe.hint.guided)
    assert any(row["on_front"] for row in found)


def test_results_as_csv_are_the_same_rows(finished: tuple[Path, Path]) -> None:
    result = invoke("results", finished[0], "--runs", finished[1], "--format", "csv")
    table = list(csv.DictReader(io.StringIO(result.stdout)))
    for line, row in zip(table, rows(*finished), strict=True):
        assert list(line) == list(row)
        assert float(line["val_accuracy"]) == row["val_accuracy"]
        assert json.loads(line["recipe"]) == row["recipe"]
        assert json.loads(line["widths"]) == row["widths"]


def test_results_as_a_table_show_the_front_and_the_teacher(finished: tuple[Path, Path]) -> None:
    result = invoke("results", finished[0], "--runs", finished[1])
    assert result.exit_code == cli.OK
    assert "Pareto front" in result.output and "teacher" in result.output
    assert "3 trained, 0 running, 0 failed" in result.output


def test_reading_results_changes_no_file(own: tuple[Path, Path]) -> None:
    def listing() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in own[1].rglob("*") if path.is_file()}

    before = listing()
    rows(*own)
    assert listing() == before


# pick, as far as it needs no export


def test_a_budget_that_nothing_fits_names_the_nearest_miss(finished: tuple[Path, Path], tmp_path: Path) -> None:
    smallest = min(row["params"] for row in rows(*finished))
    result = invoke(
        "pick", finished[0], "--runs", finished[1], "--max-params", smallest - 1, "--out", tmp_path / "picked"
    )
    refused(result, "no student of `tiny` is within the budget", "The nearest is trial", "`max_params` allows")
    assert not (tmp_path / "picked").exists()
    refused(invoke("pick", finished[0], "--runs", finished[1], "--min-accuracy", "1.0"), "`min_accuracy` allows 1")
