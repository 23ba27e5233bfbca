"""The pages Student, Compare, What matters and Progress, without a browser."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from app import words as text
from search.read import progress, tradeoffs
from search.read.budget import finished
from search.read.candidates import Timing
from search.read.reader import read
from search.ship import latencies
from tests.app import synthetic
from tests.app.pages import RNG, Opened, awkward, charts, traces, words


def test_the_address_chooses_the_student(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened("student", trial="4")
    assert at.header[0].value == "Student 4"
    assert "Selected" in traces(opened(trial="4"))


def test_an_unknown_student_is_said(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    assert "no trial 999" in words(opened("student", trial="999"))
    assert "no trial 999" in words(opened("compare", compare="999,1"))


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
    page_text = words(opened("student"))
    assert "larger" in page_text and "smaller than the teacher" not in page_text


def test_a_students_page_has_layers_curves_and_a_command(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened("student")
    layers = at.dataframe[0].value
    assert layers["share of parameters"].sum() == pytest.approx(100)
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
    predicted = synthetic.classes(rng, count)
    synthetic.fill(path, [("COMPLETE", synthetic.trained(0, RNG) | {"classes": predicted.model_dump(mode="json")})])
    at = opened("student")
    table = next(frame.value for frame in at.dataframe if "taken for" in frame.value)
    assert list(table["class"]) == names
    assert table["accuracy"][3] == f"{100 * predicted.right[3] / 40:.2f}%"
    assert table["teacher"][3] == f"{100 * taught.right[3] / 40:.2f}%"
    drawn = [chart for chart in charts(at) if "taken for" in chart.spec]
    assert len(drawn) == (2 if count == 10 else 1)  # a matrix of a hundred classes cannot be read
    gaps = sorted(range(count), key=lambda n: predicted.right[n] - taught.right[n])[:20]
    student = next(t for t in json.loads(drawn[0].spec)["data"] if t.get("name") == "student")
    assert sorted(student["x"]) == pytest.approx(sorted(100 * predicted.right[n] / 40 for n in gaps))
    assert all("class <" not in chart.spec for chart in drawn)
    if count == 10:
        (matrix,) = json.loads(drawn[1].spec)["data"]
        counts = {(true, other): count for true, row in enumerate(matrix["z"]) for other, count in enumerate(row)}
        assert {key: count for key, count in counts.items() if count} == {(a, b): n for a, b, n in predicted.mistaken}
        assert [counts[number, number] for number in range(count)] == [None] * count


@pytest.mark.parametrize("stored", [None, {"of": "many"}])
def test_a_student_whose_classes_were_not_counted_says_so(path: Path, opened: Opened, stored: Any) -> None:
    synthetic.empty(path)
    about = synthetic.trained(0, RNG)
    synthetic.fill(path, [("COMPLETE", about | {"classes": stored} if stored else about | {"classes": None})])
    assert "did not count its classes" in words(opened("student"))


def test_the_papers_nets_stand_beside_students(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30, study={"name": "digits", "data": {"name": "cifar10"}, "trials": 30})
    at = opened("compare", compare="1,FitNet 3,nobody,2")
    assert "no trial nobody: left out" in words(at)
    table = at.dataframe[0].value
    assert list(table.columns)[1:] == ["Student 1", "the paper's FitNet 3", "Student 2", "the teacher"]
    theirs = dict(zip(table["what"], table["the paper's FitNet 3"], strict=True))
    assert (theirs["parameters"], theirs["multiply-adds"], theirs["test accuracy"]) == ("1.6M", "392M", "91.10%")
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


def test_importances_on_the_latency_axis_follow_new_timings(path: Path, opened: Opened) -> None:
    """They were kept for these students and this axis, whatever the students' latencies had become."""
    rows = finished(read(synthetic.study(path, 60), "digits").candidates)

    def timed(date: str, milliseconds: list[float]) -> str:
        about = {"threads": 1, "device": "here", "date": date, "load": 0.0}
        for c, ms in zip(rows, milliseconds, strict=True):
            latencies.add(path.parent, "digits", c, Timing(p50_ms=ms, p90_ms=ms, **about))
        return next(str(c.alt) for c in charts(opened("matters", axis="latency")) if "equal cost" in c.alt)

    by_size = timed("2026-11-01T10:00:00+00:00", [c.cost.params / 1000 for c in rows])
    by_accuracy = timed("2026-11-02T10:00:00+00:00", [100 * tradeoffs.accuracy(c) for c in rows])
    assert by_size != by_accuracy
