"""The Trade-offs page: the budget, the chart and the table beside it, without a browser."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import words as text
from app.widgets import cards, panel
from search.read import published as paper
from search.read import tradeoffs
from search.read.budget import Broken, Budget, finished
from search.read.candidates import Timing
from search.read.reader import read
from search.read.tradeoffs import Axis
from search.ship import latencies
from tests.app import synthetic
from tests.app.pages import RNG, Opened, charts, drawn_points, traces, words


def test_the_budget_hollows_points_and_names_the_limit(path: Path, opened: Opened) -> None:
    synthetic.study(path, 120)
    at = opened(max_params="3000", max_macs="50000")
    drawn = traces(at)
    assert drawn["Front, over budget"]["marker"]["symbol"] == "circle-open"
    hover = drawn["Front, over budget"]["text"]
    assert any("parameters, over the limit of 3k" in text for text in hover)
    assert any("multiply-adds, over the limit of 50k" in text for text in hover)
    shapes = json.loads(charts(at)[0].spec)["layout"]["shapes"]
    assert [shape["x0"] for shape in shapes if shape["type"] == "rect"] == [3000]
    assert "Best within the budget" in charts(at)[0].alt
    assert "Best that fit" in words(at)


def test_nothing_fits_offers_the_nearest_miss(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened(max_params="10")
    assert "No student is within the budget. The nearest is" in words(at)
    button = next(b for b in at.button if b.label.startswith("Allow"))
    button.click().run()
    assert "No student is within the budget" not in words(at)


def test_accepting_the_nearest_miss_survives_its_own_link(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened(min_accuracy="0.9999")
    next(b for b in at.button if b.label.startswith("Accept")).click().run()
    assert "No student is within the budget" not in words(at)
    again = opened(**{name: str(at.query_params[name]) for name in ("min_accuracy",)})
    assert "No student is within the budget" not in words(again)


def test_the_table_of_all_students_is_made_when_it_is_opened(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened()
    trained = sum(c.outcome is not None for c in read(f"sqlite:///{path}", "digits").candidates)
    assert not any("limits broken" in frame.value for frame in at.dataframe)
    at.session_state.w_table = True
    at.run()
    (table,) = (frame.value for frame in at.dataframe if "limits broken" in frame.value)
    assert len(table) == trained
    offered = [str(element.proto) for element in at.get("download_button")]
    assert any("CSV of these students" in button for button in offered)


def test_a_preset_fills_the_fields_and_clear_empties_them(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened()
    box = next(s for s in at.selectbox if s.label == "Preset")
    box.select("10 times smaller than the teacher").run()
    fields = {n.label: n.value for n in at.text_input}
    assert fields["Parameters, at most"] == "8.445k"
    assert at.query_params["max_params"] == "8445"
    next(b for b in at.button if b.label == "Clear the budget").click().run()
    assert all(n.value == "" for n in at.text_input)
    assert "max_params" not in at.query_params


def test_a_preset_that_was_changed_is_not_named_any_more(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened()
    next(s for s in at.selectbox if s.label == "Preset").select("browser: weights of 2.3 MB, a median page").run()
    next(n for n in at.text_input if n.label.startswith("Size")).set_value("100kB").run()
    assert next(s for s in at.selectbox if s.label == "Preset").value is None
    assert at.query_params["max_size_kb"] == "100.0"


def test_a_student_at_exactly_the_typed_accuracy_fits(path: Path, opened: Opened) -> None:
    synthetic.empty(path)
    about = synthetic.trained(0, RNG)
    about["outcome"]["val_accuracy"] = 0.57
    synthetic.fill(path, [("COMPLETE", about)])
    at = opened()
    next(n for n in at.text_input if n.label.startswith("Validation")).set_value("57%").run()
    assert at.query_params["min_accuracy"] == "0.57"
    assert "No student is within the budget" not in words(at)


@pytest.mark.parametrize("data", ["cifar10", "mnist"])
def test_each_net_of_the_paper_fits_its_own_preset(path: Path, data: str) -> None:
    snapshot = read(synthetic.study(path, 3), "digits")
    published = paper.published(data)
    offers = panel.presets(snapshot, published)
    for p in published:
        if p.role == "fitnet":
            student = finished(snapshot.candidates)[0].model_copy(update={"cost": p.counted})
            assert tradeoffs.verdict(student, Budget.model_validate(offers[f"as the paper's {p.name}"])) == []


def test_a_limit_broken_by_a_hair_is_told_exactly() -> None:
    sentence = text.limit(Broken(limit="max_params", value=30_000_001, allowed=30_000_000))
    assert sentence == "30,000,001 parameters, over the limit of 30,000,000"
    sentence = text.limit(Broken(limit="min_accuracy", value=0.569999, allowed=0.57))
    assert sentence == "56.9999% accuracy, below 57%"


def test_typing_a_budget_reaches_the_address(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened()
    next(n for n in at.text_input if n.label.startswith("Multiply-adds")).set_value("0.1M").run()
    assert at.query_params["max_macs"] == "100000"
    assert not at.exception


def test_latency_is_offered_once_it_was_measured(path: Path, opened: Opened) -> None:
    url = synthetic.study(path, 60)
    at = opened(axis="latency")
    assert "latency" not in next(s for s in at.selectbox if s.label == "Cost to draw").options
    assert "python -m search.latency digits" in words(at)
    assert not at.exception
    timed = finished(read(url, "digits").candidates)[::3]
    for c in timed:
        timing = Timing(p50_ms=c.trial + 1, p90_ms=99, threads=1, device="a CPU", date="2026-11-20", load=0.25)
        latencies.add(path.parent, "digits", c, timing)
    at.run()
    next(s for s in at.selectbox if s.label == "Cost to draw").select("latency").run()
    drawn = traces(at)
    shown = {point[0]: x for name in ("Front", "Others") for point, x in drawn_points(drawn[name])}
    assert shown == {c.trial: c.trial + 1 for c in timed}
    assert f"Latency: {len(timed)} of" in words(at)
    assert "a CPU, 2026-11-20, load 0.2 at most" in words(at)
    slow = sorted(c.trial for c in timed)[1]
    next(n for n in at.text_input if n.label.startswith("Latency")).set_value(f"{slow} ms").run()
    assert at.query_params["max_latency_ms"] == str(float(slow))
    assert [row.split()[0] for row in at.dataframe[0].value["student"]] == [str(min(c.trial for c in timed))]
    assert not at.exception


def test_the_device_of_the_latency_axis_and_limit_is_chosen(path: Path, opened: Opened) -> None:
    """`search.latency --add` switched every page to the board."""
    rows = finished(read(synthetic.study(path, 60), "digits").candidates)
    here = latencies.device()

    def scale(at: AppTest) -> set[float]:
        drawn = [trace for trace in traces(at).values() if trace.get("customdata")]
        return {x / (point[0] + 1) for trace in drawn for point, x in drawn_points(trace)}

    for device, factor in ((here, 1.0), ("a board", 100.0)):
        for c in rows:
            ms = factor * (c.trial + 1)
            timing = Timing(p50_ms=ms, p90_ms=ms, threads=1, device=device, date="2026-11-20", load=0.25)
            latencies.add(path.parent, "digits", c, timing)
        if device == here:
            assert "Latency on" not in [s.label for s in opened(axis="latency").selectbox], "one device: no choice"
    at = opened(axis="latency", max_latency_ms="20")
    box = next(s for s in at.selectbox if s.label == "Latency on")
    assert (box.value, box.options) == (here, [here, "a board"])
    assert scale(at) == {1.0}
    assert "Within **20 ms of latency**: **student " in at.markdown[0].value
    box.select("a board").run()
    assert not at.exception
    assert scale(at) == {100.0}
    assert at.query_params["device"] == "a board"
    assert scale(opened(axis="latency", device="a board")) == {100.0}, "a copied link shows the same"
    assert scale(opened(axis="latency", device="another")) == {1.0}, "nothing was timed on that one"
    assert "no student. The nearest: " in at.markdown[0].value and "on a board, which" in at.markdown[0].value
    at.switch_page("screens/student.py").run()
    assert "on a board, which" in at.markdown[0].value, "the other pages follow"


def test_the_tick_goes_with_its_student(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened()
    trials = [int(row.split()[0]) for row in at.dataframe[0].value["student"]]
    at.session_state.at_trial = trials[2]
    at.run()
    assert at.session_state[f"best_rows {trials} {trials[2]}"].selection.rows == [2]


def test_a_beaten_student_says_by_whom(path: Path, opened: Opened) -> None:
    url = synthetic.study(path, 60)
    rows = finished(read(url, "digits").candidates)
    front = tradeoffs.front_on(rows, "parameters")
    loser = next(c for c in rows if c not in front)
    by = tradeoffs.beaten(loser, front, "parameters")
    assert by is not None and by.gain >= 0 and by.factor <= 1
    assert f"**Beaten** (by student {by.to})" in words(opened(trial=str(loser.trial)))
    assert all(tradeoffs.beaten(c, front, "parameters") is None for c in front)


@pytest.mark.parametrize("axis", ["parameters", "multiply-adds", "size", "memory"])
def test_an_exchange_rate_names_its_cost(axis: Axis) -> None:
    noun = {"size": "weights", "memory": "activations"}.get(axis, axis)
    step = tradeoffs.Exchange(to=7, gain=0.0384, factor=2.8)
    expected = f"**Next cheaper** (student 7): +3.84 points for 2.8\N{MULTIPLICATION SIGN} the {noun}"
    assert cards.rate(step, "**Next cheaper**", axis) == expected


def test_the_least_accuracy_is_drawn(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    spec = json.loads(charts(opened(min_accuracy="0.9"))[0].spec)
    shapes = spec["layout"]["shapes"]
    assert [shape["y1"] for shape in shapes if shape["type"] == "rect"] == [90]
    assert any(shape["type"] == "line" and shape["y0"] == shape["y1"] == 90 for shape in shapes)


def test_what_is_below_the_picture_is_told(path: Path, opened: Opened) -> None:
    url = synthetic.study(path, 60)
    low = synthetic.trained(60, RNG)
    low["outcome"]["val_accuracy"] = 0.01
    synthetic.fill(path, [("COMPLETE", low)])
    at = opened()
    bottom = json.loads(charts(at)[0].spec)["layout"]["yaxis"]["range"][0]
    rows = finished(read(url, "digits").candidates)
    below = sum(100 * tradeoffs.accuracy(c) < bottom for c in rows)
    assert below and f"{text.plural(below, 'student')} lie" in words(at)


def test_which_students_are_drawn_is_in_the_address(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened(share="front")
    assert "Others" not in traces(at)
    assert at.query_params["share"] == "front"


def test_the_papers_points_are_drawn_as_reported(path: Path, opened: Opened) -> None:
    definition = {"name": "digits", "data": {"name": "cifar10"}, "trials": 30}
    synthetic.study(path, 30, study=definition)
    drawn = traces(opened())["The paper (test accuracy)"]
    assert drawn["marker"]["symbol"] == "diamond"
    assert len(drawn["text"]) == 5
    assert {"T"} <= set(drawn["text"]) <= {"T", "F1", "F2", "F3", "F4", ""}, "a label that has no room is left out"
    third = [spec for spec in drawn["hovertext"] if "as reported: 1.6M parameters, 392M multiply-adds" in spec]
    assert len(third) == 1
    assert "as our counter counts it: 1.57M weights, 392M multiply-adds" in third[0]
    assert "FitNet 1" in words(opened("student")) + str(opened("student").dataframe[-1].value)
