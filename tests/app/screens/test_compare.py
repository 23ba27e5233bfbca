"""The Compare page's help for a decision (D14), and ranges that stand in the address."""

import json
import random
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import state
from app import words as text
from app.charts import palette, search_chart
from app.widgets.side_by_side import best_cells, differences
from fitnets.config import Report
from search.read.budget import Budget, finished
from search.read.evidence.class_rows import rows
from search.read.reader import read
from search.read.tradeoffs import verdict
from search.ship.sure.ties import Ties
from search.units import format_bytes
from tests.app import synthetic
from tests.app.pages import Opened, charts, traces, words


def test_the_best_cells_are_marked_and_ties_too(path: Path) -> None:
    url = synthetic.study(path, 60)
    snapshot = read(url, "digits")
    students = dict(enumerate(finished(snapshot.candidates)[:3]))
    marks = best_cells(Ties.stored(url, snapshot, None), students)
    assert marks[0, "validation accuracy"] == "best" and marks[1, "validation accuracy"] == "tied"
    least = min(students, key=lambda i: students[i].cost.params)
    assert marks[least, "parameters"] == "best"
    assert sum(name == "parameters" for _, name in marks) == 1
    assert best_cells(Ties.stored(url, snapshot, None), {0: students[0]}) == {}


def test_the_classes_that_differ_most_come_first() -> None:
    found = {name: rows(synthetic.classes(random.Random(i), 4), None, list("abcd")) for i, name in enumerate("xy")}
    table = differences(found)
    assert [float(row["difference"]) for row in table] == sorted((float(r["difference"]) for r in table), reverse=True)
    first = table[0]
    ends = [next(r.accuracy for r in rows if r.name == first["class"]) for rows in found.values()]
    assert float(first["difference"]) == pytest.approx(100 * abs(ends[0] - ends[1]), abs=0.005)


def test_curves_show_the_last_third_of_the_error_on_its_logarithm() -> None:
    """D14: on an axis from 0 to 100 % three students were one line."""
    reports = [
        Report(stage="stage 2", epoch=i, epochs=30, loss=1.0, val_accuracy=1 - 0.5 / i, seconds=1.0)
        for i in range(1, 31)
    ]
    drawn = search_chart.compared([("a", reports)], palette.LIGHT)
    assert list(drawn.data[0].y) == pytest.approx([50 / i for i in range(1, 31)])
    assert list(drawn.layout.xaxis.range) == [19.5, 30.5]
    assert drawn.layout.yaxis.type == "log" and 10 ** drawn.layout.yaxis.range[1] < 5
    whole = search_chart.compared([("a", reports)], palette.LIGHT, whole=True)
    assert whole.layout.xaxis.range[0] == 0.5 and 10 ** whole.layout.yaxis.range[1] > 50
    perfect = [reports[0].changed(val_accuracy=1.0)]
    assert search_chart.compared([("b", perfect)], palette.LIGHT).data[0].y[0] == search_chart.LEAST_ERROR


def test_the_teacher_has_a_column(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    numbers = [c.trial for c in finished(read(f"sqlite:///{path}", "digits").candidates)[:2]]
    at = opened("compare", compare=",".join(map(str, numbers)))
    (table,) = (frame.value for frame in at.dataframe if "the teacher" in frame.value and "what" in frame.value)
    facts = dict(zip(table["what"], table["the teacher"], strict=True))
    assert facts["validation accuracy"] == "98.74%" and facts["parameters"] == "84.5k"
    assert "Layer by layer" in words(at) and "Class by class" in words(at)


def test_what_a_device_needs_and_the_budget_have_rows(path: Path, opened: Opened) -> None:
    students = finished(read(synthetic.study(path, 60), "digits").candidates)
    large = students[0]
    small = min(students, key=lambda c: c.footprint.int8_size)
    limit = small.footprint.int8_size + 1
    at = opened("compare", compare=f"{large.trial},{small.trial}", max_int8_size=str(limit))
    table = at.dataframe[0].value
    for c in (large, small):
        facts = dict(zip(table["what"], table[f"Student {c.trial}"], strict=True))
        assert facts["weights, int8"].removesuffix(" (best)") == format_bytes(c.footprint.int8_size)
        assert facts["activations, peak, int8"].removesuffix(" (best)") == format_bytes(c.footprint.int8_memory)
        broken = verdict(c, Budget(max_int8_size=limit))
        assert facts["fits the budget"] == (f"no: {text.limits(broken)}" if c is large else "yes")
    assert "(best)" in facts["weights, int8"]
    without = opened("compare", compare=f"{large.trial},{small.trial}").dataframe[0].value
    assert "fits the budget" not in list(without["what"])


def test_ranges_stand_in_the_address_and_filter_the_charts(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened("matters", ranges="tau:2:4;nonsense;x::")
    tau = {c.trial: c.recipe.distill.tau for c in finished(read(f"sqlite:///{path}", "digits").candidates)}
    assert at.query_params["ranges"] in ("tau:2:4", ["tau:2:4"])
    scatter = next(chart for chart in charts(at) if '"customdata"' in chart.spec and "lambda start" in chart.spec)
    drawn = {row[0] for trace in json.loads(scatter.spec)["data"] for row in trace["customdata"]}
    assert drawn and all(1.7 <= tau[trial] <= 4.5 for trial in drawn)
    assert len(drawn) < len(tau)
    next(b for b in at.button if b.label == "Widen all ranges").click().run()
    assert "ranges" not in at.query_params


def test_ranges_filter_the_points_beside_the_front_alone(path: Path, opened: Opened) -> None:
    """Front, table and answer stay what `search.pick` takes, and the page says so."""
    synthetic.study(path, 60)
    tau = {c.trial: c.recipe.distill.tau for c in finished(read(f"sqlite:///{path}", "digits").candidates)}
    whole, narrowed = opened(), opened(ranges="tau:2:4")

    def drawn(at: AppTest, name: str) -> set[int]:
        return {row[0] for row in traces(at)[name]["customdata"]}

    inside = {trial for trial, value in tau.items() if 2 <= value <= 4}
    assert drawn(narrowed, "Others") == drawn(whole, "Others") & inside < drawn(whole, "Others")
    assert drawn(narrowed, "Front") == drawn(whole, "Front") and not drawn(whole, "Front") <= inside
    assert narrowed.markdown[0].value == whole.markdown[0].value
    assert list(narrowed.dataframe[0].value["student"]) == list(whole.dataframe[0].value["student"])
    assert "left out of the points beside the front; the front, the tables and the answer are of all" in words(narrowed)
    assert "as `search.pick` takes them" in words(opened("matters", ranges="tau:2:4"))


def test_ranges_are_read_from_an_address() -> None:
    assert state.parsed_ranges("tau:2:4;first width::8;x:a:b;y:1") == {"tau": (2.0, 4.0), "first width": (None, 8.0)}
