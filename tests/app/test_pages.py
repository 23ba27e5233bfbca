"""Every page in every state of the data, run as Streamlit runs it, without a browser."""

import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import panel, source, state
from app import words as text
from app.screens import matters
from search import progress, storage, timings, tradeoffs
from search.budget import Broken, Budget, finished
from search.paper import published as paper
from search.results import Timing, read
from tests.app import synthetic

MAIN = Path(__file__).parents[2] / "app/main.py"
PAGES = ("tradeoffs", "student", "compare", "matters", "progress")
RNG = random.Random(3)
Opened = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No reader or picture of another test."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies.db"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A page of the app, run once."""
    monkeypatch.setenv("FITNET_RUNS", str(tmp_path))
    monkeypatch.delenv("FITNET_STORAGE", raising=False)

    def open_page(page: str = "tradeoffs", **query: str) -> AppTest:
        at = AppTest.from_file(str(MAIN), default_timeout=60)
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
        if page != "tradeoffs":
            at.switch_page(f"screens/{page}.py").run()
        assert not at.exception, at.exception[0].message
        return at

    return open_page


def words(at: AppTest) -> str:
    """Everything that the page says."""
    kinds = (at.title, at.header, at.subheader, at.markdown, at.info, at.warning, at.error, at.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def charts(at: AppTest) -> list[Any]:
    return [element.proto for element in at.get("plotly_chart")]


def traces(at: AppTest, chart: int = 0) -> dict[str, Any]:
    return {trace.get("name"): trace for trace in json.loads(charts(at)[chart].spec)["data"]}


def test_the_first_command_writes_where_the_pages_look_and_names_no_password(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source.first_command() == f"python -m search.run digits --runs {tmp_path}"
    monkeypatch.setenv("FITNET_STORAGE", f"sqlite:///{tmp_path}/other.db")
    optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/other.db")
    command = f"python -m search.run digits --runs {tmp_path} --storage sqlite:///{tmp_path}/other.db"
    assert command in words(AppTest.from_file(str(MAIN), default_timeout=60).run())
    monkeypatch.setenv("FITNET_STORAGE", "postgresql://me:secret@host/studies")
    assert "secret" not in source.first_command() and "host/studies" in source.first_command()


@pytest.mark.parametrize("page", PAGES)
def test_every_chart_says_what_it_shows(path: Path, opened: Opened, page: str) -> None:
    synthetic.study(path, 120)
    at = opened(page, compare="1,2,3")
    found = charts(at)
    assert found
    assert all(len(chart.alt) > 30 for chart in found)
    assert all(len(chart.spec) < 100_000 for chart in found)
    assert len(at.dataframe) > 0


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("state", ["missing", "junk", "no study", "empty"])
def test_no_data_is_said_in_words(path: Path, opened: Opened, page: str, state: str) -> None:
    expected = {
        "missing": "no study storage",
        "junk": "not a study storage",
        "no study": "no stud",
        "empty": "",
    }[state]
    if state == "junk":
        path.write_bytes(b"junk" * 999)
    elif state == "no study":
        url = synthetic.empty(path)
        with sqlite3.connect(path) as db:
            db.execute("DELETE FROM studies")
        db.close()
        assert url
    elif state == "empty":
        synthetic.empty(path)
    at = opened(page)
    said = words(at)
    assert expected in said
    assert not charts(at)
    assert ("training its teacher" in said) == (state == "no study")
    if state == "empty":
        assert any(word in said for word in ("yet", "so far", "starts with", "Choose")), said
    else:
        assert "python -m search.run" in said
    assert path.exists() == (state != "missing")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", ["running", "failed", "infeasible", "one", "equal", "odd"])
def test_awkward_studies_are_shown(path: Path, opened: Opened, page: str, kind: str) -> None:
    synthetic.empty(path)
    synthetic.fill(path, awkward(kind))
    at = opened(page)
    assert "digits" in words(at)
    if kind == "one" and page == "tradeoffs":
        assert "no front to draw yet" in words(at)
        assert len(charts(at)) == 1
    if kind == "running" and page == "tradeoffs":
        assert "stage 1, epoch 2 of 3" in words(at)
        assert not charts(at)
    if kind == "failed" and page in ("tradeoffs", "progress"):
        tables = [str(frame.value) for frame in at.dataframe]
        assert "ValueError" in words(at) + "".join(tables)
    if kind == "odd":
        assert "another version's" in words(at)


def awkward(kind: str) -> list[tuple[str, dict[str, Any]]]:
    over = synthetic.running(0, RNG, epochs=0) | {"infeasible": True}
    one = synthetic.trained(0, RNG)
    future = synthetic.trained(1, RNG)
    future["recipe"] = future["recipe"] | {"unknown": 1}
    nan = synthetic.trained(2, RNG)
    nan["outcome"]["val_accuracy"] = float("nan")
    bare = {"recipe": one["recipe"]}
    return {
        "running": [("RUNNING", synthetic.running(0, RNG)), ("WAITING", {})],
        "failed": [("FAIL", synthetic.running(0, RNG) | {"reason": "ValueError: <b>7</b> is wrong"})] * 3,
        "infeasible": [("PRUNED", over)],
        "one": [("COMPLETE", one)],
        "equal": [("COMPLETE", one)] * 12,
        "odd": [("COMPLETE", future), ("COMPLETE", nan), ("COMPLETE", bare), ("FAIL", {}), ("COMPLETE", {})],
    }[kind]


@pytest.mark.parametrize("page", PAGES)
def test_a_busy_storage_keeps_the_last_picture(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr(storage, "PATIENCE", 0.1)
    synthetic.study(path, 30)
    at = opened(page, compare="1,2", trial="1")
    drawn = len(charts(at))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA locking_mode = EXCLUSIVE")
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("DELETE FROM trial_heartbeats")
    try:
        at.run()
        assert not at.exception
        assert "storage is busy" in words(at)
        assert len(charts(at)) == drawn
        if page == "student":
            at.session_state.at_trial = 2
            at.run()
            assert "epochs cannot be read just now" in words(at)
            assert "classes cannot be read just now" in words(at)
    finally:
        writer.execute("ROLLBACK")
        writer.close()
    at.run()
    assert "storage is busy" not in words(at)


def test_a_storage_that_is_busy_from_the_start_says_so(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PATIENCE", 0.1)
    synthetic.study(path, 5)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA locking_mode = EXCLUSIVE")
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("DELETE FROM trial_heartbeats")
    try:
        said = words(opened())
        assert "locked by another program" in said
        assert "A study starts" not in said
    finally:
        writer.execute("ROLLBACK")
        writer.close()


def test_a_deleted_file_is_said_and_its_return_too(path: Path, opened: Opened, tmp_path: Path) -> None:
    synthetic.study(path, 30)
    at = opened()
    kept = tmp_path / "elsewhere"
    path.rename(kept)
    at.run()
    assert "no study storage" in words(at)
    kept.rename(path)
    at.run()
    assert len(charts(at)) == 1


def test_the_budget_hollows_points_and_names_the_limit(path: Path, opened: Opened) -> None:
    synthetic.study(path, 120)
    at = opened(max_params="3000", max_macs="50000")
    drawn = traces(at)
    assert drawn["Front, over the budget"]["marker"]["symbol"] == "circle-open"
    hover = drawn["Front, over the budget"]["text"]
    assert any("parameters, over the limit of 3 k" in text for text in hover)
    assert any("multiply-adds, over the limit of 50 k" in text for text in hover)
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
    assert any("CSV of these students" in told for told in offered)


def test_a_preset_fills_the_fields_and_clear_empties_them(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened()
    box = next(s for s in at.selectbox if s.label == "Preset")
    box.select("10 times smaller than the teacher").run()
    fields = {n.label: n.value for n in at.number_input}
    assert fields["Parameters, thousands at most"] == pytest.approx(8.445)
    assert at.query_params["max_params"] == "8445"
    next(b for b in at.button if b.label == "Clear the budget").click().run()
    assert all(n.value is None for n in at.number_input)
    assert "max_params" not in at.query_params


def test_a_student_at_exactly_the_typed_accuracy_fits(path: Path, opened: Opened) -> None:
    synthetic.empty(path)
    about = synthetic.trained(0, RNG)
    about["outcome"]["val_accuracy"] = 0.57
    synthetic.fill(path, [("COMPLETE", about)])
    at = opened()
    next(n for n in at.number_input if n.label.startswith("Validation")).set_value(57.0).run()
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
    told = text.limit(Broken(limit="max_params", value=30_000_001, allowed=30_000_000))
    assert told == "30,000,001 parameters, over the limit of 30,000,000"
    told = text.limit(Broken(limit="min_accuracy", value=0.569999, allowed=0.57))
    assert told == "56.9999 % accuracy, below 57 %"


def test_a_newer_study_does_not_take_the_page(path: Path, opened: Opened) -> None:
    synthetic.study(path, 20)
    at = opened(max_params="3000")
    assert "study" not in at.query_params
    before = json.loads(charts(at)[0].spec)["layout"]["uirevision"]
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO studies (study_name) VALUES ('newer')")
    db.close()
    at.run()
    assert at.title[0].value == "digits"
    assert at.query_params["study"] == "digits"
    assert json.loads(charts(at)[0].spec)["layout"]["uirevision"] == before
    assert "digits" in before


def test_typing_a_budget_reaches_the_address(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened()
    next(n for n in at.number_input if n.label.startswith("Multiply-adds")).set_value(0.1).run()
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
        timings.add(path.parent, "digits", c, timing)
    at.run()
    next(s for s in at.selectbox if s.label == "Cost to draw").select("latency").run()
    drawn = traces(at)
    shown = {point[0]: x for name in ("Front", "Others") for point, x in drawn_points(drawn[name])}
    assert shown == {c.trial: c.trial + 1 for c in timed}
    assert f"Latency: {len(timed)} of" in words(at)
    assert "a CPU, 2026-11-20, load 0.2 at most" in words(at)
    slow = sorted(c.trial for c in timed)[1]
    next(n for n in at.number_input if n.label.startswith("Latency")).set_value(float(slow)).run()
    assert at.query_params["max_latency_ms"] == str(float(slow))
    assert [row.split()[0] for row in at.dataframe[0].value["student"]] == [str(min(c.trial for c in timed))]
    assert not at.exception


def drawn_points(trace: dict[str, Any]) -> list[tuple[list[int], float]]:
    return list(zip(trace["customdata"], trace["x"], strict=True))


@pytest.mark.parametrize("query", [{"trial": "x"}, {"max_params": "-3"}, {"axis": "beauty"}, {"min_accuracy": "7"}])
def test_a_nonsense_address_is_harmless(path: Path, opened: Opened, query: dict[str, str]) -> None:
    synthetic.study(path, 30)
    assert len(charts(opened(**query))) == 1


def test_the_address_chooses_the_student(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened("student", trial="4")
    assert at.header[0].value == "Student 4"
    assert "Selected" in traces(opened(trial="4"))


def test_an_unknown_student_is_said(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    assert "no trial 999" in words(opened("student", trial="999"))
    assert "no trial 999" in words(opened("compare", compare="999,1"))


def test_the_page_holds_its_student_while_better_ones_come(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened("student")
    before = at.header[0].value
    best = synthetic.trained(30, RNG)
    best["outcome"]["val_accuracy"] = 0.9999
    synthetic.fill(path, [("COMPLETE", best)])
    at.run()
    assert at.header[0].value == before


def test_the_most_accurate_student_is_shown_where_none_fits(path: Path, opened: Opened) -> None:
    url = synthetic.study(path, 30)
    best = finished(read(url, "digits").candidates)[0]
    assert opened("student", max_params="1").header[0].value == text.title(best)


def test_a_failed_student_shows_its_log(path: Path, opened: Opened) -> None:
    synthetic.empty(path)
    about = synthetic.running(0, RNG) | {"reason": "ValueError: 7", "log": "one line\nthe last line"}
    synthetic.fill(path, [("FAIL", about)])
    assert "the last line" in words(opened("student"))


def test_a_student_is_laid_beside_others_from_its_page(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened("student", trial="4")
    next(b for b in at.button if b.label == "Compare").click().run()
    assert at.query_params["compare"] == "4"


def test_a_student_with_an_unreadable_outcome_says_so(path: Path, opened: Opened) -> None:
    synthetic.empty(path)
    synthetic.fill(path, [*awkward("odd"), ("COMPLETE", synthetic.trained(9, RNG))])
    assert "It has no result: its outcome cannot be read" in words(opened(trial="1"))
    assert "its outcome cannot be read" in words(opened("student", trial="1"))


def test_a_larger_student_is_called_larger(path: Path, opened: Opened) -> None:
    small = {"val_accuracy": 0.9, "params": 10, "macs": 10, "weight_bytes": 40, "peak_activation_bytes": 10}
    synthetic.study(path, 5, teacher=small)
    said = words(opened("student"))
    assert "larger" in said and "smaller than the teacher" not in said


def test_the_tick_goes_with_its_student(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened()
    trials = [int(row.split()[0]) for row in at.dataframe[0].value["student"]]
    at.session_state.at_trial = trials[2]
    at.run()
    assert at.session_state[f"best_rows {trials} {trials[2]}"].selection.rows == [2]


def test_a_preset_that_was_changed_is_not_named_any_more(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened()
    next(s for s in at.selectbox if s.label == "Preset").select("microcontroller: 256 kB").run()
    next(n for n in at.number_input if n.label.startswith("Size")).set_value(100.0).run()
    assert next(s for s in at.selectbox if s.label == "Preset").value is None
    assert at.query_params["max_size_kb"] == "100.0"


def test_the_sliders_stay_while_students_arrive(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened("matters")
    slider = next(s for s in at.select_slider if s.label == "tau")
    third, last = slider.options[len(slider.options) // 3], slider.options[-1]
    slider.set_range(float(third), float(last)).run()
    first = next(s.value for s in at.select_slider if s.label == "tau")
    synthetic.fill(path, [("COMPLETE", synthetic.trained(60 + i, RNG)) for i in range(5)])
    at.run()
    kept = next(s.value for s in at.select_slider if s.label == "tau")
    assert not at.exception
    assert kept[0] == pytest.approx(first[0], rel=0.2)
    assert kept[1] >= first[1]
    assert matters.snapped((None, 3.2), [1.0, 3.0, 9.0]) == (1.0, 3.0)


def test_the_front_then_stays_while_students_arrive(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened("progress")
    at.slider[0].set_value(7).run()
    synthetic.fill(path, [("COMPLETE", synthetic.trained(60, RNG))])
    at.run()
    assert "After 7 students the front had" in words(at)


def test_a_beaten_student_says_by_whom(path: Path, opened: Opened) -> None:
    url = synthetic.study(path, 60)
    rows = finished(read(url, "digits").candidates)
    front = tradeoffs.front_on(rows, "parameters")
    loser = next(c for c in rows if c not in front)
    by = tradeoffs.beaten(loser, front, "parameters")
    assert by is not None and by.gain >= 0 and by.factor <= 1
    assert f"**Beaten** (by student {by.to})" in words(opened(trial=str(loser.trial)))
    assert all(tradeoffs.beaten(c, front, "parameters") is None for c in front)


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


def test_back_in_the_browser_chooses_what_was_chosen(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic.study(path, 30)
    at = opened("student", trial="4")
    at.number_input(key="w_trial").set_value(5).run()
    assert at.query_params["trial"] == "5"
    at.query_params["trial"] = "4"
    at.run()
    assert at.header[0].value == "Student 5", "an address that is a moment old is not the reader's"
    monkeypatch.setattr(state, "SETTLED", 0.0)
    at.query_params["trial"] = "4"
    at.run()
    assert at.header[0].value == "Student 4"


def test_a_paused_page_counts_what_is_new(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened()
    at.toggle(key="paused").set_value(True).run()
    assert "paused" in words(at)


def test_a_name_cannot_make_the_browser_fetch(path: Path, opened: Opened) -> None:
    synthetic.empty(path)
    named = {"name": "![](https://elsewhere/x.png)"}
    synthetic.fill(path, [("COMPLETE", synthetic.trained(i, RNG) | named) for i in range(6)])
    said = words(opened(trial="1")) + words(opened("student", trial="1"))
    assert "![](" not in said
    assert "!\\[\\](https" in said


def test_a_students_page_has_layers_curves_and_a_command(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened("student")
    layers = at.dataframe[0].value
    assert layers["their share"].sum() == pytest.approx(100)
    assert list(layers["role"]).count("guided layer") == 1
    names = set(traces(at, 1))
    assert {"hint R², stage 1", "validation accuracy, stage 2", "lambda"} <= names
    assert "search.export_one digits --trial" in words(at)
    assert "no longer in" in words(at)


@pytest.mark.parametrize("count", [10, 100])
def test_a_students_classes_stand_beside_the_teachers(path: Path, opened: Opened, count: int) -> None:
    names = [f"class <{number}>" for number in range(count)]
    rng = random.Random(count)
    taught = synthetic.classes(rng, count)
    teacher = {"val_accuracy": taught.accuracy, "classes": taught.model_dump(mode="json")}
    synthetic.empty(path, teacher=teacher, images={"classes": names})
    told = synthetic.classes(rng, count)
    synthetic.fill(path, [("COMPLETE", synthetic.trained(0, RNG) | {"classes": told.model_dump(mode="json")})])
    at = opened("student")
    table = next(frame.value for frame in at.dataframe if "taken for" in frame.value)
    assert list(table["class"]) == names
    assert table["accuracy"][3] == f"{100 * told.right[3] / 40:.2f} %"
    assert table["teacher"][3] == f"{100 * taught.right[3] / 40:.2f} %"
    drawn = [chart for chart in charts(at) if "taken for" in chart.spec]
    assert len(drawn) == (2 if count == 10 else 1)  # a matrix of a hundred classes cannot be read
    gaps = sorted(range(count), key=lambda n: told.right[n] - taught.right[n])[:20]
    student = next(t for t in json.loads(drawn[0].spec)["data"] if t.get("name") == "student")
    assert sorted(student["x"]) == pytest.approx(sorted(100 * told.right[n] / 40 for n in gaps))
    assert all("class <" not in chart.spec for chart in drawn)
    if count == 10:
        (matrix,) = json.loads(drawn[1].spec)["data"]
        counts = {(true, other): count for true, row in enumerate(matrix["z"]) for other, count in enumerate(row)}
        assert {key: count for key, count in counts.items() if count} == {(a, b): n for a, b, n in told.mistaken}
        assert [counts[number, number] for number in range(count)] == [None] * count


@pytest.mark.parametrize("kept", [None, {"of": "many"}])
def test_a_student_whose_classes_were_not_counted_says_so(path: Path, opened: Opened, kept: Any) -> None:
    synthetic.empty(path)
    about = synthetic.trained(0, RNG)
    synthetic.fill(path, [("COMPLETE", about | {"classes": kept} if kept else about | {"classes": None})])
    assert "did not count its classes" in words(opened("student"))


def test_the_papers_points_are_drawn_as_reported(path: Path, opened: Opened) -> None:
    definition = {"name": "digits", "data": {"name": "cifar10"}, "trials": 30}
    synthetic.study(path, 30, study=definition)
    drawn = traces(opened())["The paper (test accuracy)"]
    assert drawn["marker"]["symbol"] == "diamond"
    spec = dict(zip(drawn["text"], drawn["hovertext"], strict=True))
    assert set(spec) == {"T", "F1", "F2", "F3", "F4"}
    assert "as reported: 1.6 M parameters, 392 M multiply-adds" in spec["F3"]
    assert "as our counter counts it: 1.57 M weights, 392 M multiply-adds" in spec["F3"]
    assert "FitNet 1" in words(opened("student")) + str(opened("student").dataframe[-1].value)


def test_the_papers_nets_stand_beside_students(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30, study={"name": "digits", "data": {"name": "cifar10"}, "trials": 30})
    at = opened("compare", compare="1,FitNet 3,nobody,2")
    assert "no trial nobody: left out" in words(at)
    table = at.dataframe[0].value
    assert list(table.columns)[1:] == ["Student 1", "the paper's FitNet 3", "Student 2"]
    theirs = dict(zip(table[""], table["the paper's FitNet 3"], strict=True))
    assert (theirs["parameters"], theirs["multiply-adds"], theirs["test accuracy"]) == ("1.6 M", "392 M", "91.10 %")
    assert "the paper's FitNet 3" in traces(at, -1)
    assert at.query_params["compare"] == "1,FitNet 3,2"


def test_the_front_then_and_now(path: Path, opened: Opened) -> None:
    url = synthetic.study(path, 60)
    at = opened("progress")
    at.slider[0].set_value(7).run()
    assert "After 7 students the front had" in words(at)
    drawn = traces(at, 1)
    expected = progress.front_after(read(url, "digits"), "parameters", 7)
    assert drawn["then"]["x"] == [c.cost.params for c in expected]
    assert drawn["now"]["x"] == [
        c.cost.params for c in tradeoffs.front_on(read(url, "digits").candidates, "parameters")
    ]


@pytest.mark.parametrize(("page", "students"), [("tradeoffs", 1), ("compare", 2)])
def test_files_are_offered_where_a_student_is_chosen(path: Path, opened: Opened, page: str, students: int) -> None:
    synthetic.study(path, 30)
    at = opened(page, trial="1", compare="1,2")
    assert "Make the files" not in [b.label for b in at.button], "filled only when it is opened"
    for trial in range(1, students + 1):
        at.session_state[f"download {trial}"] = True
    at.run()
    assert [b.label for b in at.button].count("Make the files") == students


def test_names_are_text_not_markup(path: Path, opened: Opened) -> None:
    synthetic.empty(path)
    rows = [("COMPLETE", synthetic.trained(i, RNG) | {"name": "<img src=x>"}) for i in range(6)]
    synthetic.fill(path, rows)
    at = opened()
    assert "<img" not in charts(at)[0].spec
    assert "&lt;img" in charts(at)[0].spec


def test_a_new_trial_arrives_and_the_choice_stays(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened(trial="4")
    before = json.loads(charts(at)[0].spec)
    synthetic.fill(path, [("COMPLETE", synthetic.trained(60, RNG))])
    at.run()
    after = json.loads(charts(at)[0].spec)
    assert after["layout"]["uirevision"] == before["layout"]["uirevision"]
    ring = next(trace for trace in after["data"] if trace.get("name") == "Selected")
    assert ring["customdata"] == [[4]]
    assert sum(len(t["text"]) for t in after["data"] if t.get("name") in ("Others", "Front")) == 1 + sum(
        len(t["text"]) for t in before["data"] if t.get("name") in ("Others", "Front")
    )


def test_two_studies_are_chosen_by_name(path: Path, opened: Opened) -> None:
    synthetic.study(path, 10)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO studies (study_name) VALUES ('other')")
    db.close()
    at = opened(study="digits")
    assert at.title[0].value == "digits"
    box = next(s for s in at.selectbox if s.label == "Study")
    box.select("other").run()
    assert at.title[0].value == "other"
    assert not at.exception


def test_running_students_stand_at_their_known_cost(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    attrs = synthetic.running(30, RNG)
    synthetic.fill(path, [("RUNNING", attrs)])
    at = opened()
    drawn = traces(at)["In training"]
    assert drawn["marker"]["symbol"] == "square-open"
    assert "Student 30 (stage 1, epoch 2 of 3)" in words(at)
    before = charts(at)[0].spec
    with sqlite3.connect(path) as db:
        grown = json.dumps([*attrs["reports"], attrs["reports"][-1]])
        db.execute("UPDATE trial_user_attributes SET value_json = ? WHERE trial_id = 31 AND key = 'reports'", (grown,))
    db.close()
    at.run()
    assert charts(at)[0].spec == before, "an epoch must not mount the chart anew"


def test_a_silent_search_is_told(path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.study(path, 10)
    synthetic.fill(path, [("RUNNING", synthetic.running(10, RNG))])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'study'", (json.dumps({"trials": 99}),))
    db.close()
    said = words(opened())
    assert "has died" not in said, "it may have been continued: nobody has looked on for long enough"
    monkeypatch.setattr(progress, "WATCHED", 0.0)
    assert "stopped or has died" in words(opened())


@pytest.mark.slow
def test_five_thousand_students_stay_quick(path: Path, opened: Opened) -> None:
    synthetic.study(path, 5000)
    at = opened()
    began = time.process_time()
    at.run()
    assert time.process_time() - began < 1.0
    assert sum(len(t.get("text", ())) for t in traces(at).values()) <= 1300
    assert len(charts(at)[0].spec) < 400_000
