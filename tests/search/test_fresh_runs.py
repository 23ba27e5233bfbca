"""Runs with fresh seeds as they are stored: which students the next ones are of, and what a user reads of them."""

import random
from pathlib import Path

import pytest

from fitnets.nets.cost import cost
from search.driver.fresh import FreshRuns, planned
from search.read.budget import Budget
from search.read.reader import read
from search.ship.confirmed import run_name
from tests.app import synthetic

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
