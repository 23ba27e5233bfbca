"""Runs with fresh seeds as they are stored: which students the next ones are of, and what a user reads of them."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fitnets.config import Recipe
from fitnets.nets.cost import cost
from search.driver.fresh import FreshRuns, planned
from search.read.budget import Budget
from search.read.reader import read
from search.ship.confirmed import run_name
from search.storage.address import storage_url
from search.workers.inline import InlineWorkers
from search.workers.protocol import Failed
from tests.app import synthetic
from tests.commands import inline_crews, invoke
from tests.helpers import STUDY

ACCURACIES = (0.95, 0.93)  # by the number of validation images, 396, a student at 93 % is 1.3 points off


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A study with a small student, and a costlier one that is 2 points less accurate."""
    rng = random.Random(0)
    found = sorted((synthetic.recipe(rng) for _ in range(20)), key=lambda each: cost(each.student).macs)
    small, large = (synthetic.trained(i, rng, recipe) for i, recipe in enumerate((found[0], found[-1])))
    for about, accuracy in zip((small, large), ACCURACIES, strict=True):
        about["outcome"]["val_accuracy"] = accuracy
    made = synthetic.empty(tmp_path / "studies.db")
    synthetic.fill(tmp_path / "studies.db", [("COMPLETE", small), ("COMPLETE", large)])
    return made


def plan(url: str, seeds: int = 3) -> FreshRuns:
    return planned(url, read(url, "digits"), Budget(), seeds)


def test_once_the_spread_over_seeds_is_known_it_decides_who_is_near(url: str, tmp_path: Path) -> None:
    first = plan(url)
    assert (first.plan.trials, first.plan.spread) == ((0,), None)
    synthetic.confirm(tmp_path / "studies.db", [(0, [0.90, 0.95, 1.00])])
    second = plan(url)
    assert second.plan.trials == (0, 1)
    assert second.plan.spread == pytest.approx(0.05**2 / (0.95 * 0.05))
    assert second.missing == 3


def test_a_plan_stays_as_it_was_written_until_its_runs_have_ended(url: str, tmp_path: Path) -> None:
    """What the first runs say does not change which students the others are of."""
    synthetic.confirm(tmp_path / "studies.db", [(0, [0.90, 1.00])])
    assert (plan(url).plan.trials, plan(url).missing) == ((0,), 1)
    synthetic.add_run(tmp_path / "studies.db", read(url, "digits").candidates[0].recipe, run_name(0, 2), "failed")
    assert (plan(url).plan.trials, plan(url).missing) == ((0, 1), 3)


def flat(text: str) -> str:
    """Without the line breaks and columns of a terminal."""
    return " ".join(text.replace("│", " ").split())


def shown(url: str, path: Path, *runs: tuple[int, list[float | str]], seeds: int = 3) -> str:
    """What `search.results` prints with these fresh runs."""
    synthetic.confirm(path / "studies.db", runs, seeds)
    result = invoke("results", "digits", "--runs", path)
    assert result.exit_code == 0, result.output
    return result.output


def row(output: str, trial: int) -> str:
    """A student's row of the first table, that of the confirmed ones: its cells, which go on over several lines."""
    rows: list[list[str]] = []
    for line in output[: output.index("Pareto front, validation")].splitlines():
        cells = [cell.strip() for cell in line.split("│")[1:-1]]
        if cells and cells[0]:
            rows.append(cells)
        elif cells:  # the last row goes on
            rows[-1] = [f"{above} {below}".strip() for above, below in zip(rows[-1], cells, strict=True)]
    return " ; ".join(next(cells for cells in rows if cells[0] == str(trial)))


def test_results_say_which_students_are_tied_and_how_optimistic_the_search_was(url: str, tmp_path: Path) -> None:
    output = shown(url, tmp_path, (0, [0.90, 0.91, 0.92]), (1, [0.905, 0.915, 0.925, "failed"]), seeds=4)
    assert row(output, 1).endswith(" ; 1 run(s) failed, tied with 0") and "tied" not in row(output, 0)
    assert row(output, 0).startswith("0 ; 91.00% +- 1.62 ; 95.00% ; ")
    assert "the search's single runs were +2.75 points better than the means, on average" in flat(output)
    assert "the chance of these 396 validation images (+- 1.40 points)" in flat(output)


def test_results_count_failed_runs_and_keep_a_student_that_has_no_other(url: str, tmp_path: Path) -> None:
    output = shown(url, tmp_path, (0, [0.90, "failed", 0.92]), (1, ["failed"] * 3))
    assert row(output, 0).endswith(" ; 1 run(s) failed")
    assert row(output, 1).startswith("1 ;  ; 93.00% ; ") and row(output, 1).endswith(" ; all 3 runs failed")
    assert "were +4.00 points better than the means" in flat(output), "of those that have a mean"
    rows = json.loads(invoke("results", "digits", "--runs", tmp_path, "--format", "json").output)
    assert [(r["confirmed_runs"], r["confirmed_failed"]) for r in rows] == [(2, 1), (0, 3)]
    assert rows[1]["confirmed_accuracy"] is None


def test_results_do_not_call_runs_failed_that_are_still_to_come(url: str, tmp_path: Path) -> None:
    assert row(shown(url, tmp_path, (0, [0.90, 0.91, 0.92]), (1, ["failed"])), 1).endswith(" ; 1 run(s) failed")


@pytest.fixture
def trained(finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A study that was really trained, its file and a runs folder of its own; workers in this process."""
    inline_crews(monkeypatch)
    shutil.copytree(finished[1], tmp_path / "runs")
    return finished[0], tmp_path / "runs"


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> None:
    """Let the runs of these numbers, from 0 in the order of their beginning, diverge before they train."""
    submit, wait, failed = InlineWorkers.submit, InlineWorkers.wait, list[Failed]()

    def submitted(self: Any, number: int, recipe: Recipe) -> None:
        if fails(number):
            failed.append(Failed(number, "Diverged", "loss is nan", ""))
        else:
            submit(self, number, recipe)

    def waited(self: Any, seconds: float) -> Any:
        got = list(failed)
        failed.clear()
        return got or wait(self, seconds)

    monkeypatch.setattr(InlineWorkers, "submit", submitted)
    monkeypatch.setattr(InlineWorkers, "wait", waited)


def test_confirm_says_which_runs_failed_and_pick_does_too(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, runs = trained
    failing(monkeypatch, lambda number: number % 3 == 1)
    result = invoke("confirm", file, "--runs", runs)
    assert result.exit_code == 0, result.output
    assert "1 run(s) failed" in result.output
    assert "points better than the means, on average: the best of many is optimistic." in flat(result.output)
    picked = invoke("pick", file, "--runs", runs, "--out", tmp_path / "picked")
    assert "(2 fresh seeds, 1 failed; the search said" in flat(picked.output)
    assert json.loads((tmp_path / "picked" / "card.json").read_text())["choice"]["confirmed"]["failed_runs"] == 1


def test_where_every_fresh_run_failed_the_command_that_says_why_is_named(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, runs = trained
    front = read(storage_url(runs, None), STUDY.name)
    synthetic.confirm(runs / "studies.db", [(c.trial, ["failed"] * 3) for c in front.candidates], name=STUDY.name)
    result = invoke("confirm", file, "--runs", runs)
    assert result.exit_code == 2
    command = f"search.results {STUDY.name}.confirm --runs {runs} --name {STUDY.name}.confirm"
    assert f"every fresh run failed: `python -m {command}` says why." in flat(result.output)
    said = invoke("results", *command.split()[1:])
    assert said.exit_code == 0
    assert "trial 0 failed: Diverged: loss is nan" in said.output
