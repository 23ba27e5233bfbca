"""What matters: settings read from recipes, importances, and the sliders' filter."""

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
    found = influence.importances(rows)
    assert found is not None
    assert sum(found.shares.values()) == pytest.approx(1)
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)
    assert found.shares["parameters"] > 5 * found.shares["tau"]
    assert found.count == sum(c.recipe.hint is not None for c in rows)


def test_importances_of_a_few_or_of_equals_are_not_told(rows: list[Candidate]) -> None:
    assert influence.importances(rows[:5]) is None
    assert influence.importances([rows[0]] * 30) is None


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
