"""`python -m search.confirm`: a finished study's front trained again with fresh seeds, as typed."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from fitnets.config import Recipe
from search.read.candidates import SUFFIX, Candidate, Snapshot
from search.read.listing import studies
from search.read.reader import read
from search.storage.address import storage_url
from search.units import typed_accuracy
from search.workers.inline import InlineWorkers
from tests.app import synthetic
from tests.commands import inline_crews, invoke
from tests.helpers import STUDY
from tests.search.ship.test_confirmed import confirmation, confirmed


@pytest.fixture
def study(finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A finished study's file and a runs folder of its own; workers in this process."""
    inline_crews(monkeypatch)
    file, runs = finished
    shutil.copytree(runs, tmp_path / "runs")
    return file, tmp_path / "runs"


def fresh(runs: Path) -> Snapshot:
    """The fresh runs' study."""
    return read(storage_url(runs, None), STUDY.name + SUFFIX)


def test_the_front_is_trained_again_with_three_fresh_seeds(study: tuple[Path, Path]) -> None:
    file, runs = study
    searched = read(storage_url(runs, None), STUDY.name)
    result = invoke("confirm", file, "--runs", runs)
    assert result.exit_code == 0, result.output
    found = fresh(runs)
    assert found.confirms is not None
    front = {c.trial for c in searched.front()}
    assert front <= set(found.confirms.trials)
    assert len(found.candidates) == 3 * len(found.confirms.trials)
    recipes = {c.trial: c.recipe for c in searched.candidates}
    for run in found.candidates:
        assert run.name is not None
        own = recipes[int(run.name.split()[1].rstrip(","))]
        assert run.recipe == own.changed(seed=run.recipe.seed), "all but the seed is the search's recipe"
        assert run.recipe.seed != own.seed
        assert run.state == "complete"
    assert len({run.recipe.seed for run in found.candidates}) == len(found.candidates)
    assert "confirmed front, mean validation accuracy of 3 fresh seeds" in result.output
    assert "+-" in result.output
    assert read(storage_url(runs, None), STUDY.name) == searched, "the search itself, and its sampler, learn nothing"


def runs_alone(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Without what further runs may change."""
    return [candidate.changed(on_front=False) for candidate in candidates]


def test_the_same_command_trains_nothing_again_and_more_seeds_add_runs(study: tuple[Path, Path]) -> None:
    file, runs = study
    assert invoke("confirm", file, "--runs", runs).exit_code == 0
    before = fresh(runs).candidates
    again = invoke("confirm", file, "--runs", runs)
    assert "all" in again.output.splitlines()[0]
    assert fresh(runs).candidates == before
    assert invoke("confirm", file, "--runs", runs, "--seeds", 4).exit_code == 0
    after = fresh(runs)
    assert runs_alone(after.candidates[: len(before)]) == runs_alone(before)
    assert len(after.candidates) == len(before) * 4 // 3
    fewer = invoke("confirm", file, "--runs", runs)
    assert "4 fresh seeds each" in fewer.output, "runs that are there stay in the mean"


def test_a_driver_that_dies_adds_no_run_twice(study: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file, runs = study
    submit, submitted = InlineWorkers.submit, list[Recipe]()

    class Crash(BaseException):
        """The driver dies."""

    def dies(self: Any, number: int, recipe: Recipe) -> None:
        submitted.append(recipe)
        if len(submitted) == 3:
            raise Crash
        submit(self, number, recipe)

    with monkeypatch.context() as patch:
        patch.setattr(InlineWorkers, "submit", dies)
        with pytest.raises(Crash):
            invoke("confirm", file, "--runs", runs)
    result = invoke("confirm", file, "--runs", runs)
    assert result.exit_code == 0, result.output
    found = fresh(runs)
    assert found.confirms is not None
    assert sorted(c.name or "" for c in found.candidates) == sorted({c.name or "" for c in found.candidates})
    assert len(found.candidates) == 3 * len(found.confirms.trials)
    assert {c.state for c in found.candidates} == {"complete"}


def test_fresh_runs_are_not_listed_as_a_study_of_their_own(study: tuple[Path, Path]) -> None:
    file, runs = study
    assert invoke("confirm", file, "--runs", runs).exit_code == 0
    assert studies(storage_url(runs, None)) == [STUDY.name]


def test_a_dry_run_says_what_would_be_trained(study: tuple[Path, Path]) -> None:
    file, runs = study
    result = invoke("confirm", file, "--runs", runs, "--dry-run", "--workers", 1)
    assert result.exit_code == 0
    assert "runs to train, about" in result.output
    assert studies(storage_url(runs, None)) == [STUDY.name]
    with pytest.raises(Exception, match="no study"):
        fresh(runs)


def test_students_below_the_least_accuracy_are_left_out(tmp_path: Path) -> None:
    """The study's own where none is given, unless no student reaches it."""
    url = synthetic.study(tmp_path / "studies.db", 40)
    front = sorted(c.outcome.val_accuracy for c in read(url, "digits").front() if c.outcome)
    least = front[len(front) // 2]
    assert front[0] < least < front[-1]

    def says(*words: str) -> str:
        return invoke("confirm", "digits", "--runs", tmp_path, "--dry-run", *words).output.splitlines()[-1]

    everyone, given = says(), says("--min-accuracy", f"{least}")
    assert f" students of {typed_accuracy(least)} or more on the front" in given
    assert int(given.split()[1]) < int(everyone.split()[1])
    stored = optuna.load_study(study_name="digits", storage=url)
    stored.set_user_attr("study", stored.user_attrs["study"] | {"min_accuracy": least})
    assert says() == given
    assert says("--min-accuracy", "0") == everyone
    stored.set_user_attr("study", stored.user_attrs["study"] | {"min_accuracy": 0.9999})
    assert says() == everyone


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--min-accuracy", "85"], "`--min-accuracy` is `85`, but an accuracy is written as"),
        (["--seeds", "2"], "`--seeds` is 2, but the mean of fewer than 3 runs"),
        (["--max-params", "1"], "is within the limits: raise them"),
        (["--name", "other"], "other"),
    ],
)
def test_wrong_input_is_one_line(study: tuple[Path, Path], words: list[str], says: str) -> None:
    file, runs = study
    result = invoke("confirm", file, "--runs", runs, *words)
    assert result.exit_code == 2
    assert says in result.output


def test_other_images_are_refused(study: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file, runs = study
    opened = InlineWorkers.open

    def other(self: Any, *arguments: Any) -> Any:
        return opened(self, *arguments).changed(images="0" * 64)

    monkeypatch.setattr(InlineWorkers, "open", other)
    result = invoke("confirm", file, "--runs", runs)
    assert result.exit_code == 2
    assert "are not those that the study was trained on" in result.output


def test_results_show_the_confirmed_front_first(study: tuple[Path, Path]) -> None:
    file, runs = study
    before = json.loads(invoke("results", file, "--runs", runs, "--format", "json").output)
    assert {row["confirmed_accuracy"] for row in before} == {row["confirmed_low"] for row in before} == {None}
    assert all(row["accuracy_low"] < row["val_accuracy"] < row["accuracy_high"] for row in before)
    assert invoke("confirm", file, "--runs", runs).exit_code == 0
    text = invoke("results", file, "--runs", runs).output
    assert text.index("confirmed front, mean") < text.index("Pareto front, validation accuracy")
    rows = json.loads(invoke("results", file, "--runs", runs, "--format", "json").output)
    found = fresh(runs)
    assert found.confirms is not None
    for row in rows:
        own = [c.outcome for c in found.candidates if (c.name or "").startswith(f"student {row['trial']},")]
        if row["trial"] in found.confirms.trials:
            mean = sum(outcome.val_accuracy for outcome in own if outcome) / 3
            assert row["confirmed_accuracy"] == pytest.approx(mean)
            assert row["confirmed_half_width"] > 0
            assert row["confirmed_low"] <= row["confirmed_accuracy"] <= row["confirmed_high"]
        assert row["confirmed_runs"] == len(own)


def test_pick_chooses_by_the_confirmed_accuracy_and_says_both(study: tuple[Path, Path], tmp_path: Path) -> None:
    file, runs = study
    before = invoke("pick", file, "--runs", runs, "--out", tmp_path / "single")
    assert "(one run, chosen as the best of 3: optimistic; to confirm it: python -m search.confirm" in before.output
    assert json.loads((tmp_path / "single" / "card.json").read_text())["choice"]["confirmed"] is None
    refused = invoke("pick", file, "--runs", runs, "--one-se", "--out", tmp_path / "se")
    assert refused.exit_code == 2
    assert (
        "`--one-se` needs students that were trained with fresh seeds: run `python -m search.confirm" in refused.output
    )
    assert invoke("confirm", file, "--runs", runs).exit_code == 0
    result = invoke("pick", file, "--runs", runs, "--out", tmp_path / "confirmed")
    assert result.exit_code == 0, result.output
    assert "(3 fresh seeds; the search said" in result.output
    choice = json.loads((tmp_path / "confirmed" / "card.json").read_text())["choice"]
    assert choice["by"] == "the highest confirmed validation accuracy within the budget"
    assert len(choice["confirmed"]["runs"]) == 3
    assert (
        choice["confirmed"]["accuracy_low"] <= choice["confirmed"]["accuracy"] <= choice["confirmed"]["accuracy_high"]
    )
    assert invoke("pick", file, "--runs", runs, "--one-se", "--out", tmp_path / "se").exit_code == 0


def test_pick_takes_an_unconfirmed_student_where_no_confirmed_file_fits(
    study: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the pages' answer does."""
    file, runs = study
    students = [c for c in read(storage_url(runs, None), STUDY.name).candidates if c.state == "complete"]
    smallest, *others = sorted(students, key=lambda c: c.cost.params)
    assert smallest.cost.params < others[0].cost.params
    only = invoke("pick", file, "--runs", runs, "--max-params", smallest.cost.params, "--out", tmp_path / "only")
    assert only.exit_code == 0, only.output
    limit = (tmp_path / "only" / "student.onnx").stat().st_size / 1000
    found = confirmation(*(confirmed(c.trial, 0.5, 0.6, 0.7, search=0.9, params=c.cost.params) for c in others))
    monkeypatch.setattr("search.pick.stored_confirmation", lambda url, snapshot: found)
    result = invoke("pick", file, "--runs", runs, "--max-size-kb", limit, "--out", tmp_path / "small")
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "small" / "card.json").read_text())
    assert card["trial"] == smallest.trial
    assert card["choice"]["by"] == "the highest validation accuracy within the budget"
    assert "(one run, chosen as the best of" in result.output
    none = invoke("pick", file, "--runs", runs, "--max-size-kb", "0.001", "--out", tmp_path / "none")
    assert none.exit_code == 2
    assert any(f"The nearest is trial {c.trial} " in none.output for c in others)
