"""What matters: settings read from recipes, importances, and the sliders' filter."""

import math
from pathlib import Path

import pytest

from search.read import influence
from search.read.budget import finished
from search.read.candidates import Candidate
from search.read.reader import read
from tests.app import synthetic


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    path = tmp_path_factory.mktemp("influence") / "studies.db"
    return finished(read(synthetic.study(path, 300), "digits").candidates)


def test_settings_are_the_recipes(rows: list[Candidate]) -> None:
    found = {s.name: s.values for s in influence.settings(rows)}
    assert found["tau"] == tuple(c.recipe.distill.tau for c in rows)
    assert None in found["guided layer"]
    assert "convolutions" in found


def test_what_is_the_same_everywhere_is_no_setting(rows: list[Candidate]) -> None:
    assert influence.settings([rows[0]] * 5) == []


def test_importances_find_what_the_accuracy_was_made_of(rows: list[Candidate]) -> None:
    found = influence.importances(rows, "parameters")
    assert found is not None
    assert sum(found.shares.values()) == pytest.approx(1)
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)
    assert not set(influence.COSTS) & set(found.shares), "costs follow from the settings"
    assert found.count == sum(c.recipe.hint is not None for c in rows)


def test_at_equal_cost_size_does_not_matter_and_what_made_the_difference_does(rows: list[Candidate]) -> None:
    """D11: by accuracy alone, larger was better. Here size gives the accuracy, and tau what is above it."""
    made = []
    for c in rows:
        assert c.outcome is not None
        share = 0.8 + 0.02 * math.log10(c.cost.params) + 0.01 * math.log10(c.recipe.distill.tau)
        made.append(c.model_copy(update={"outcome": c.outcome.changed(val_accuracy=share)}))
    found = influence.importances(made, "parameters")
    assert found is not None
    assert next(iter(found.shares)) == "tau"
    assert found.shares["tau"] > 3 * found.shares["first width"]


def test_open_ends_of_ranges(rows: list[Candidate]) -> None:
    assert influence.within(rows, {}) == rows
    kept = influence.within(rows, {"tau": (None, 4.0)})
    assert {c.trial for c in kept} == {c.trial for c in rows if c.recipe.distill.tau <= 4.0}


def test_importances_of_a_few_or_of_equals_are_not_told(rows: list[Candidate]) -> None:
    assert influence.importances(rows[:5], "parameters") is None
    assert influence.importances([rows[0]] * 30, "parameters") is None


def test_sliders_keep_what_lies_inside(rows: list[Candidate]) -> None:
    kept = influence.inside(rows, {"tau": (2.0, 4.0), "guided layer": (2.0, 3.0)})
    assert kept
    assert {c.trial for c in kept} == {
        c.trial
        for c in rows
        if 2 <= c.recipe.distill.tau <= 4 and (c.recipe.hint is None or 2 <= c.recipe.hint.guided <= 3)
    }


def test_guided_share(tmp_path: Path) -> None:
    c = finished(read(synthetic.study(tmp_path / "s.db", 5), "digits").candidates)[0]
    share = influence.guided_share(c)
    assert (share is None) == (c.recipe.hint is None)
    assert share is None or 0 < share < 1
