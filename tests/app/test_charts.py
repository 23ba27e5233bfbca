"""What the charts hold, as pure functions."""

from pathlib import Path

import pytest

from app.charts import figures, search_chart, student_chart
from app.charts.palette import DARK, LIGHT, Palette
from search.read import influence, layers, progress
from search.read.budget import Budget, finished
from search.read.influence import Setting
from search.read.reader import read
from tests.app import synthetic


def test_who_lacks_a_setting_is_drawn_inside_its_slider() -> None:
    setting = Setting(name="guided layer", log=False, values=(1.0, None, 5.0))
    found = figures.dimension(setting, (2.0, 4.0))
    (low, high), ends = found["constraintrange"]
    assert low < found["values"][1] < high
    assert ends == [2.0, 4.0]
    whole = Setting(name="guided layer", log=False, values=(1.0, 3.0, 5.0))
    assert figures.dimension(whole, (2.0, 4.0))["constraintrange"] == [2.0, 4.0]


def test_the_sentence_and_the_chart_count_the_same_students(tmp_path: Path) -> None:
    rows = finished(read(synthetic.study(tmp_path / "studies.db", 120), "digits").candidates)
    setting = next(s for s in influence.settings(rows) if s.name == "guided layer")
    found = figures.dimension(setting, (2.0, 3.0))
    ranges = [snapped(ends, found["tickvals"]) for ends in found["constraintrange"]]
    drawn = [v for v in found["values"] if any(low <= v <= high for low, high in ranges)]
    assert None in setting.values
    assert len(drawn) == len(influence.inside(rows, {"guided layer": (2.0, 3.0)}))


def snapped(ends: list[float], ticks: list[float]) -> tuple[float, float]:
    """A range as plotly.js draws it (parcoords, `ordinalScaleSnap`): moved to beyond the nearest ticks."""

    def snap(value: float, marks: list[float], sign: int) -> float:
        last = before = marks[0]
        for mark in marks[1:]:
            if sign * value < sign * (0.99 * last + 0.01 * mark):
                return 0.75 * last + 0.25 * before
            if sign * value < sign * mark or mark == marks[-1]:
                return 0.75 * mark + 0.25 * last
            before, last = last, mark
        return last

    return snap(ends[0], ticks, 1), snap(ends[1], ticks[::-1], -1)


@pytest.mark.parametrize("ends", [(21.0, 27.0), (0.4, 0.46), (900.0, 1100.0), (1.0, 1e6)])
def test_every_logarithmic_axis_has_ticks(ends: tuple[float, float]) -> None:
    """Errors from 21 to 27 % had none: 10, 20 and 50 are the usual ones."""
    axis = figures.log_axis(*ends)
    inside = [text for at, text in zip(axis["tickvals"], axis["ticktext"], strict=True) if ends[0] <= at <= ends[1]]
    assert len(set(inside)) >= 2


def test_the_growth_is_drawn_by_its_gains(tmp_path: Path) -> None:
    snapshot = read(synthetic.study(tmp_path / "studies.db", 200), "digits")
    history = progress.growth(snapshot, "parameters", Budget(max_params=5000))
    line, marks, best = search_chart.growth(history, False, LIGHT).data
    gains = [i for i, row in enumerate(history, start=1) if row.gained]
    assert list(marks.x) == gains
    assert list(line.x) == sorted({*gains, len(history)})
    assert line.y[-1] == 100 * history[-1].hypervolume
    assert len(best.x) < 40 and best.x[-1] == len(history)
    assert best.y[-1] == 100 * (history[-1].best or 0)


def test_a_brought_teachers_layers_are_not_counted(tmp_path: Path) -> None:
    found = read(synthetic.study(tmp_path / "studies.db", 1), "digits")
    brought = {"kind": "brought", "build": "a.b:c", "hint_layers": ["layer1", "layer2"]}
    found = found.changed(definition=found.definition | {"teacher": brought})
    recipe = found.candidates[0].recipe
    sentence = student_chart.anatomy_alt(layers.student(recipe), layers.teacher(found, recipe))
    assert "the teacher 2 hint layers known" in sentence


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `#RRGGBB`."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def over(colour: str, opacity: float, ground: str) -> str:
    """A colour as it is seen through its opacity on a background."""
    mixed = (
        round(opacity * int(colour[i : i + 2], 16) + (1 - opacity) * int(ground[i : i + 2], 16)) for i in (1, 3, 5)
    )
    return "#" + "".join(f"{v:02x}" for v in mixed)


@pytest.mark.parametrize(("palette", "ground"), [(LIGHT, "#FFFFFF"), (DARK, "#11161C")])
def test_the_text_on_every_block_can_be_read(tmp_path: Path, palette: Palette, ground: str) -> None:
    candidate = finished(read(synthetic.study(tmp_path / "studies.db", 20), "digits").candidates)[0]
    student = layers.student(candidate.recipe)
    drawing = student_chart.anatomy(student, student, palette)
    texts = [colour for trace in drawing.data for colour in trace.textfont.color]
    assert len(texts) == len(drawing.layout.shapes) == 2 * len(student)
    for text, block in zip(texts, drawing.layout.shapes, strict=True):
        ends = sorted((luminance(text), luminance(over(block.fillcolor, block.opacity, ground))))
        assert (ends[1] + 0.05) / (ends[0] + 0.05) >= 4.5, (text, block.fillcolor, block.opacity)
