"""Confirmed students on the pages: their means and intervals, the search's own numbers, and runs still to come."""

import json
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app import confirmed, source
from app.charts.confirmed_marks import SEARCHED
from app.charts.front_chart import CONFIRMED, CONFIRMED_FRONT
from app.confirmed import NAMED
from search import cli
from search.read import progress, tradeoffs
from search.read.budget import Budget, finished
from search.read.candidates import ENDED, SUFFIX, Candidate, Timing
from search.read.reader import Reader, read
from search.ship import latencies
from search.ship.confirmed import Confirmation, at_means, stored_confirmation
from search.units import format_accuracy
from tests.app import synthetic
from tests.app.pages import Opened, charts, drawn_points, traces, words

BELOW = (0.031, 0.02, 0.024)  # the fresh runs' distances to the search's own


def searched(path: Path, trials: int = 60) -> list[Candidate]:
    """A study's front, the smallest student first."""
    return list(read(synthetic.study(path, trials), "digits").front())


def accuracies(c: Candidate, runs: int = 3) -> list[float]:
    return [tradeoffs.accuracy(c) - below for below in BELOW[:runs]]


def stored(path: Path) -> Confirmation:
    url = f"sqlite:///{path}"
    found = stored_confirmation(url, read(url, "digits"))
    assert found is not None
    return found


@pytest.fixture
def front(path: Path) -> list[Candidate]:
    """The front of a study of which the three smallest students and the largest are confirmed."""
    found = searched(path)
    synthetic.confirm(path, [(c.trial, accuracies(c)) for c in (*found[:3], found[-1])])
    return found


def spec(at: AppTest) -> Any:
    return json.loads(charts(at)[0].spec)


def test_confirmed_students_stand_at_their_means_with_their_intervals(
    path: Path, front: list[Candidate], opened: Opened
) -> None:
    drawn, found = traces(opened()), stored(path)
    shown: dict[int, Any] = {}
    for name in {CONFIRMED_FRONT, CONFIRMED} & set(drawn):
        trace = drawn[name]
        for (trial,), y, half in zip(trace["customdata"], trace["y"], trace["error_y"]["array"], strict=True):
            shown[trial] = (y, half)
    expected: dict[int, Any] = {
        each.trial: (pytest.approx(100 * each.mean, abs=1e-3), pytest.approx(100 * found.half_width(each), abs=1e-3))  # type: ignore[operator]
        for each in found.students
    }
    assert shown == expected
    assert "error_y" not in drawn["Others"]
    assert not {(point[0]) for point, _ in drawn_points(drawn["Others"])} & set(shown)


def test_what_the_search_said_is_hollow_and_joined_to_the_mean(
    path: Path, front: list[Candidate], opened: Opened
) -> None:
    drawn, found = traces(opened()), stored(path)
    hollow, lines = drawn[SEARCHED], drawn["joined"]
    assert hollow["marker"]["symbol"] == "circle-open"
    said = {trial: y for (trial,), y in zip(hollow["customdata"], hollow["y"], strict=True)}
    assert said == {each.trial: round(100 * each.search_accuracy, 3) for each in found.students}
    ends = list(zip(lines["x"][::3], lines["y"][::3], lines["x"][1::3], lines["y"][1::3], strict=True))
    assert sorted(ends) == sorted(
        (each.params, round(100 * each.mean, 3), each.params, round(100 * each.search_accuracy, 3))
        for each in found.students
    )
    assert set(lines["y"][2::3]) == {None}, "each line stands alone"


def test_everything_of_a_confirmed_student_is_inside_the_picture(
    path: Path, front: list[Candidate], opened: Opened
) -> None:
    bottom, top = spec(opened())["layout"]["yaxis"]["range"]
    found = stored(path)
    for each in found.students:
        half = found.half_width(each)
        assert half is not None
        assert bottom < 100 * (each.mean - half) and 100 * min(1.0, each.search_accuracy) < top


def test_the_line_is_the_confirmed_front(path: Path, front: list[Candidate], opened: Opened) -> None:
    at = opened()
    found = stored(path)
    line = traces(at)["front"]
    by_params = sorted(found.students, key=lambda each: (each.params, -each.mean))
    expected, best = [], 0.0
    for each in by_params:
        if each.mean > best:
            expected.append((each.params, each.mean))
            best = each.mean
    drawn = list(zip(line["x"], line["y"], strict=True))[:-1]
    assert drawn == [(params, pytest.approx(100 * mean)) for params, mean in expected]
    assert "The line joins the confirmed students that none of them beats in both" in words(at)
    others = sorted(c.trial for c in front if found.of(c.trial) is None)
    assert len(others) > NAMED
    numbers = ", ".join(map(str, others[:NAMED]))
    assert f"students {numbers} and others are not confirmed: one run each, so optimistic." in words(at)


def test_the_line_ends_where_a_costlier_student_was_not_confirmed(path: Path, opened: Opened) -> None:
    found = searched(path)
    synthetic.confirm(path, [(c.trial, accuracies(c)) for c in found[:3]])
    line = traces(opened())["front"]
    assert line["x"][-1] == line["x"][-2]


def test_like_is_compared_with_like(path: Path) -> None:
    """The search ranks 0, 1, 2, 3. The confirmed 0, 1 and 3 come first, by their means; 2 has a single run."""
    synthetic.empty(path)
    rng = random.Random(1)
    attrs = [synthetic.trained(i, rng) for i in range(4)]
    for i, about in enumerate(attrs):
        about["outcome"]["val_accuracy"] = 0.98 - 0.01 * i
    synthetic.fill(path, [("COMPLETE", about) for about in attrs])
    synthetic.confirm(path, [(0, [0.90, 0.91]), (1, [0.92, 0.93]), (3, [0.94, 0.95])])
    found = stored(path)
    rows = finished(read(f"sqlite:///{path}", "digits").candidates)
    students = at_means(rows, found)
    assert [c.trial for c in students] == [0, 1, 2, 3]
    assert [c.trial for c in confirmed.best(students, found, Budget(), 4)] == [3, 1, 0, 2]
    assert [c.trial for c in confirmed.best(students, found, Budget(), 2)] == [3, 1]
    assert [c.trial for c in confirmed.best(students, found, Budget(min_accuracy=0.924), 4)] == [3, 1, 2]
    assert confirmed.best(rows, None, Budget(), 4) == rows
    front = confirmed.front_on(students, found, "parameters")
    assert 2 not in {c.trial for c in front}, "a single run does not push confirmed students off their front"


def test_the_card_of_a_confirmed_student_says_what_the_search_said(
    path: Path, front: list[Candidate], opened: Opened
) -> None:
    at = opened(trial=str(front[0].trial))
    found = stored(path)
    student = found.of(front[0].trial)
    assert student is not None
    half = found.half_width(student)
    assert half is not None
    text = words(at)
    assert (
        f"**{format_accuracy(student.mean)} ± {100 * half:.2f}** validation accuracy "
        f"(3 fresh seeds; the search said {format_accuracy(student.search_accuracy)})" in text
    )
    assert "search.confirm" not in text
    assert f"chance of these 396 validation images (± {100 * found.images_error:.2f} points)" in text
    assert len({each.optimism for each in found.students}) > 1
    average = sum(each.optimism for each in found.students) / len(found.students)
    better = f"The search's single runs were {100 * average:+.2f} points better than the means, on average"
    assert better in text and better in words(opened("student", trial=str(front[0].trial)))


def test_a_student_that_cannot_be_told_from_a_cheaper_one_says_so(path: Path, opened: Opened) -> None:
    small, large = searched(path)[:2]
    synthetic.confirm(path, [(small.trial, [0.90, 0.91, 0.92]), (large.trial, [0.905, 0.915, 0.925])])
    fewer = ["parameters"] if small.cost.params < large.cost.params else []
    fewer += ["multiply-adds"] if small.cost.macs < large.cost.macs else []
    assert fewer
    tie = f"cannot be told from student {small.trial} (fewer {' and '.join(fewer)})"
    at = opened(trial=str(large.trial))
    assert f"It {tie}" in words(at)
    assert any(tie in text for text in traces(at)[CONFIRMED_FRONT]["text"])
    assert f"It {tie}." in words(opened("student", trial=str(large.trial)))
    assert "It cannot be told" not in words(opened(trial=str(small.trial)))


def test_the_tables_show_the_mean_beside_what_the_search_said(
    path: Path, front: list[Candidate], opened: Opened
) -> None:
    at = opened(max_params=str(front[2].cost.params))
    found = stored(path)
    shown = {
        int(row["student"].split()[0]): (row["accuracy"], row["search said"])
        for row in at.dataframe[0].value.to_dict("records")
    }
    each = found.students[-1]
    at.session_state.w_table = True
    at.run()
    (table,) = (frame.value for frame in at.dataframe if "limits broken" in frame.value)
    rows = {row["trial"]: row for row in table.to_dict("records")}
    for student in found.students:
        text = confirmed.interval(found, student)
        assert "±" in text
        assert shown.get(student.trial, (text, format_accuracy(student.search_accuracy))) == (
            text,
            format_accuracy(student.search_accuracy),
        )
        row = rows[student.trial]
        assert (row["accuracy"], row["the search said %"]) == (
            text,
            float(format_accuracy(student.search_accuracy)[:-1]),
        )
    assert set(shown) & {student.trial for student in found.students}
    other = next(trial for trial in rows if found.of(trial) is None)
    assert (rows[other]["note"], "±" in rows[other]["accuracy"]) == ("one run", False)
    assert "3 fresh seeds" in rows[each.trial]["note"]


def test_without_fresh_seeds_the_card_says_one_run_and_names_the_command(path: Path, opened: Opened) -> None:
    front = searched(path)
    trained = len(finished(read(f"sqlite:///{path}", "digits").candidates))
    at = opened(trial=str(front[0].trial))
    text = words(at)
    assert f"validation accuracy (one run, chosen as the best of {trained}: optimistic)" in text
    confirm = cli.command_for("digits", path.parent, f"sqlite:///{path}", "confirm")
    assert confirm.endswith(f" digits --runs {path.parent}")
    assert f"Confirm it with fresh seeds: `{confirm}`" in text
    beaten = next(c for c in read(f"sqlite:///{path}", "digits").candidates if c.outcome and not c.on_front)
    text = words(opened(trial=str(beaten.trial)))
    assert "validation accuracy (one run)" in text and "search.confirm" not in text


def test_the_students_page_lists_its_fresh_runs(path: Path, opened: Opened) -> None:
    first, second = searched(path)[:2]
    synthetic.confirm(path, [(first.trial, [0.9, "failed"]), (second.trial, ["failed", "running"])])
    at = opened("student", trial=str(first.trial))
    runs = next(frame.value for frame in at.dataframe if "run" in frame.value)
    assert list(runs["state"]) == ["complete", "failed", "not begun"]
    assert list(runs["accuracy"]) == ["90.00%", "", ""]
    assert runs["note"][1] == "Diverged: loss is nan"
    assert "1 of 3 fresh seeds, 1 failed" in words(at)
    at = opened("student", trial=str(second.trial))
    assert "No run with a fresh seed has succeeded." in words(at)
    at = opened()
    at.session_state.w_table = True
    at.run()
    (table,) = (frame.value for frame in at.dataframe if "limits broken" in frame.value)
    notes = dict(zip(table["trial"], table["note"], strict=True))
    assert (notes[first.trial], notes[second.trial]) == (
        "1 of 3 fresh seeds, 1 failed",
        "one run; 0 of 3 fresh seeds, 1 failed",
    )
    at = opened("student", trial=str(second.trial))
    runs = next(frame.value for frame in at.dataframe if "run" in frame.value)
    assert list(runs["state"]) == ["failed", "running", "not begun"]
    assert "Fresh seeds" not in [
        h.value for h in opened("student", trial=str(searched_but(path, first, second))).header
    ]


def searched_but(path: Path, *others: Candidate) -> int:
    known = {c.trial for c in others}
    return next(c.trial for c in read(f"sqlite:///{path}", "digits").front() if c.trial not in known)


def test_the_students_page_and_compare_show_the_mean(path: Path, front: list[Candidate], opened: Opened) -> None:
    found = stored(path)
    student, other = found.of(front[0].trial), searched_but(path, *front[:3], front[-1])
    assert student is not None
    text = confirmed.interval(found, student)
    page = opened("student", trial=str(student.trial))
    assert f"Validation accuracy  \n**{text}**" in words(page)
    assert page.dataframe[-1].value["validation"][0] == text
    table = opened("compare", compare=f"{student.trial},{other}").dataframe[0].value
    mine, theirs = (dict(zip(table["what"], table[f"Student {n}"], strict=True)) for n in (student.trial, other))
    assert (mine["validation accuracy"], mine["the search said"]) == (
        text,
        format_accuracy(student.search_accuracy),
    )
    assert mine["fresh seeds"] == ", ".join(format_accuracy(accuracy) for accuracy in student.accuracies)
    assert theirs["fresh seeds"] == "none"
    assert theirs["validation accuracy"].split(" (")[0] == theirs["the search said"]


def ended(path: Path, moment: float) -> None:
    """The driver of the fresh runs has ended."""
    with sqlite3.connect(path) as db:
        db.execute(
            "INSERT INTO study_user_attributes (study_id, key, value_json) "
            "SELECT study_id, ?, ? FROM studies WHERE study_name = ?",
            (ENDED, str(moment), f"digits{SUFFIX}"),
        )
    db.close()


@pytest.mark.parametrize("page", ["tradeoffs", "student", "progress"])
def test_a_confirmation_that_runs_says_how_far_it_is(path: Path, opened: Opened, page: str) -> None:
    first, second = searched(path)[:2]
    synthetic.confirm(path, [(first.trial, []), (second.trial, [])])
    at = opened(page, trial=str(first.trial))
    assert "Confirming: **0** of 6 runs with fresh seeds." in words(at)
    assert "±" not in words(at)
    if page == "tradeoffs":
        assert "Its runs with fresh seeds are still to come" in words(at) and "search.confirm" not in words(at)
    synthetic.add_run(path, first.recipe, f"student {first.trial}, fresh seed 1", 0.9)
    synthetic.add_run(path, first.recipe, f"student {first.trial}, fresh seed 2", "failed")
    synthetic.add_run(path, second.recipe, f"student {second.trial}, fresh seed 1", "running")
    at.run()
    assert not at.exception
    assert "Confirming: **2** of 6 runs with fresh seeds." in words(at)
    if page == "tradeoffs":
        assert "**90.00%** (86.5 to 92.5) validation accuracy (1 of 3 fresh seeds, 1 failed; the" in words(at)
        assert "so far 2 of 6 runs" in words(at)
        assert traces(at)[CONFIRMED_FRONT]["y"] == [90]
    ended(path, time.time())
    at.run()
    assert "The confirmation was stopped after 2 of 6 runs" in words(at)
    assert "Confirming" not in words(at)


def test_a_confirmation_without_news_is_told(path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    first = searched(path)[0]
    synthetic.confirm(path, [(first.trial, [0.9, "running"])])
    assert "Confirming: **1** of 3 runs" in words(opened())
    monkeypatch.setattr(progress, "WATCHED", 0.0)
    assert "stopped after 1 of 3 runs" in words(opened())


def test_a_finished_confirmation_says_nothing_in_the_header(path: Path, front: list[Candidate], opened: Opened) -> None:
    text = words(opened())
    assert "Confirming" not in text and "confirmation was stopped" not in text


def test_only_a_study_with_fresh_runs_is_read_twice(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    front, looks = searched(path), list[str]()
    look = Reader.look

    def counted(self: Reader) -> Any:
        looks.append(self.name)
        return look(self)

    monkeypatch.setattr(Reader, "look", counted)
    at = opened()
    assert set(looks) == {"digits"}
    synthetic.confirm(path, [(front[0].trial, [0.9, 0.91, 0.92])])
    at.run()
    assert set(looks) == {"digits", "digits.confirm"}
    assert CONFIRMED_FRONT in traces(at)
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM studies WHERE study_name = 'digits.confirm'")
    db.close()
    at.run()
    assert not at.exception
    assert CONFIRMED_FRONT not in traces(at) and "Front" in traces(at)


@pytest.mark.parametrize("page", ["tradeoffs", "student", "compare", "progress"])
def test_an_address_that_names_the_fresh_runs_shows_the_study(
    path: Path, front: list[Candidate], opened: Opened, page: str
) -> None:
    at = opened(page, study="digits.confirm", compare="1,2")
    assert at.title[0].value == "digits"
    assert "has no study digits.confirm: showing" in words(opened(study="digits.confirm"))


def test_a_search_of_that_name_confirms_nothing(path: Path, opened: Opened) -> None:
    searched(path)
    synthetic.empty(path, "digits.confirm")
    synthetic.fill(path, [("COMPLETE", synthetic.trained(0, random.Random(0)))], "digits.confirm")
    assert {"Front", "Others"} <= set(traces(opened()))


@pytest.mark.parametrize("axis", ["multiply-adds", "size", "memory"])
def test_every_axis_shows_confirmed_students(path: Path, front: list[Candidate], opened: Opened, axis: str) -> None:
    at = opened(axis=axis, min_accuracy="0.8", max_macs="60000")
    assert SEARCHED in traces(at)


def test_an_axis_without_confirmed_students_shows_the_searchs_front(
    path: Path, front: list[Candidate], opened: Opened
) -> None:
    found = stored(path)
    for c in front:
        if found.of(c.trial) is None:
            timing = Timing(p50_ms=c.trial + 1, p90_ms=99, threads=1, device="a CPU", date="2026-11-20", load=0.25)
            latencies.add(path.parent, "digits", c, timing)
    at = opened(axis="latency")
    assert "Front" in traces(at) and SEARCHED not in traces(at)
    assert "none on this axis is confirmed" in words(at)


@pytest.mark.usefixtures("opened")
def test_an_epoch_of_a_fresh_run_is_news_but_draws_no_page_again(path: Path) -> None:
    first = searched(path)[0]
    synthetic.confirm(path, [(first.trial, ["running"])])
    before = source.picture("digits")
    with sqlite3.connect(path) as db:
        db.execute(
            "UPDATE trial_user_attributes SET value_json = '[]' WHERE key = 'reports' AND trial_id = "
            "(SELECT MAX(trial_id) FROM trials)"
        )
    db.close()
    after = source.picture("digits")
    assert before.fresh is not None and after.fresh is not None
    assert after.version == before.version
    news = before.fresh.standing.news, after.fresh.standing.news
    assert news[0] is not None and news[1] is not None and news[1] > news[0]
