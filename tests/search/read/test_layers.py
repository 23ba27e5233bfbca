"""Layers as people look at them."""

from pathlib import Path

import pytest

from fitnets.config import Hint
from fitnets.values.net import Net
from search.read import layers
from search.read.reader import read
from tests.app import synthetic
from tests.helpers import RECIPE


def test_shares_sum_to_one_and_the_guided_layer_is_marked() -> None:
    rows = layers.student(RECIPE)
    assert sum(row.params_share for row in rows) == pytest.approx(1)
    assert sum(row.macs_share for row in rows) == pytest.approx(1)
    assert [row.number for row in rows if row.role == "guided layer"] == [2]
    assert [row.kind for row in rows] == ["conv"] * 3 + ["output"]
    assert rows[1].text == "3x3, maxout of 2, pool 2x2"


def test_a_shortcut_stands_where_it_is_added() -> None:
    """Before activation and pooling, and only in the layers that have one."""
    net = Net.staged((1, 8, 8), 10, ((4, 4), (6, 6)), pieces=1, shortcuts=True)
    texts = [row.text for row in layers.described(net, None, "guided layer")]
    assert texts == ["3x3, ReLU", "3x3 + input, ReLU, pool 2x2", "3x3, ReLU", "3x3 + input, ReLU, pool 4x4", "linear"]


def test_without_hints_nothing_is_marked() -> None:
    assert not any(row.role for row in layers.student(RECIPE.without_hints()))
    assert layers.regressor(RECIPE.without_hints()) is None
    assert layers.regressor(RECIPE.changed(hint=Hint(hint=1, guided=1, regressor="paper"))) is not None


def test_the_teacher_is_the_studys_own(tmp_path: Path) -> None:
    found = read(synthetic.study(tmp_path / "studies.db", 3), "digits")
    rows = layers.teacher(found, RECIPE)
    widths = [width for stage in found.definition["teacher"]["stages"] for width in stage]
    assert [row.shape[0] for row in rows] == [*widths, 10]
    assert [row.number for row in rows if row.role == "hint layer"] == [2]


def test_a_teacher_that_the_definition_does_not_tell_is_left_out(tmp_path: Path) -> None:
    found = read(synthetic.study(tmp_path / "studies.db", 3, study={"name": "digits"}), "digits")
    assert layers.teacher(found, RECIPE) == []


def test_a_brought_teacher_has_its_hint_layers(tmp_path: Path) -> None:
    found = read(synthetic.study(tmp_path / "studies.db", 1), "digits")
    brought = {"kind": "brought", "build": "a.b:c", "hint_layers": ["layer1", "layer2"]}
    found = found.changed(definition=found.definition | {"teacher": brought})
    rows = layers.teacher(found, RECIPE)
    assert [row.text for row in rows] == ["layer1", "layer2"]
    assert rows[1].role == "hint layer"


def test_only_a_brought_teachers_hint_layers_are_counted(tmp_path: Path) -> None:
    found = read(synthetic.study(tmp_path / "studies.db", 1), "digits")
    assert layers.counted(layers.teacher(found, RECIPE)).isdigit()
    brought = {"kind": "brought", "build": "a.b:c", "hint_layers": ["layer1", "layer2"]}
    found = found.changed(definition=found.definition | {"teacher": brought})
    assert layers.counted(layers.teacher(found, RECIPE)) == "2 hint layers known"
    assert layers.counted([]) == ""
