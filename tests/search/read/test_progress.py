"""How a search goes, told from its trials."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from search.read import progress
from search.read.budget import Budget
from search.read.candidates import Snapshot
from search.read.progress import Standing
from search.read.reader import read
from search.read.tradeoffs import accuracy
from tests.app import synthetic


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return read(synthetic.study(tmp_path / "studies.db", 60), "digits")


def of(tmp_path: Path, rows: list[tuple[str, dict[str, Any]]]) -> Snapshot:
    path = tmp_path / "made.db"
    url = synthetic.empty(path)
    synthetic.fill(path, rows)
    return read(url, "digits")


def test_growth_never_falls_and_marks_every_gain(snapshot: Snapshot) -> None:
    history = progress.growth(snapshot, "parameters", Budget(max_params=5000))
    shares = [row.hypervolume for row in history]
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1
    assert [row.gained for row in history] == [b > a for a, b in zip([0.0, *shares], shares, strict=False)]
    last = max(i for i, row in enumerate(history) if row.gained)
    assert history[last].trial in {c.trial for c in progress.front_after(snapshot, "parameters", 999)}
    inside = [accuracy(c) for c in snapshot.candidates if c.state == "complete" and c.cost.params <= 5000]
    assert history[-1].best == max(inside)
    ends = [row.ended for row in history]
    assert ends == sorted(ends)


@pytest.mark.parametrize("students", [1, 2, 17, 40])
def test_the_front_after_some_students_is_theirs_alone(snapshot: Snapshot, students: int) -> None:
    first = sorted((c for c in snapshot.candidates if c.outcome), key=lambda c: (c.ended or 0, c.trial))[:students]
    points = {c.trial: (c.cost.macs, -accuracy(c)) for c in first}
    kept = [
        trial
        for trial, mine in points.items()
        if not any(a <= mine[0] and b <= mine[1] and (a, b) != mine for a, b in points.values())
    ]
    found = progress.front_after(snapshot, "multiply-adds", students)
    assert sorted(c.trial for c in found) == sorted(kept)
    assert [c.cost.macs for c in found] == sorted(c.cost.macs for c in found)


def test_the_most_expensive_student_is_a_gain_where_it_is_the_best(tmp_path: Path) -> None:
    rng = random.Random(4)
    rows = [synthetic.trained(i, rng) for i in range(12)]
    rows.sort(key=lambda row: int(row["cost"]["params"]))
    for i, row in enumerate(rows):
        row["outcome"]["val_accuracy"] = 0.95 if i == 11 else 0.5
    history = progress.growth(of(tmp_path, [("COMPLETE", row) for row in rows]), "parameters")
    assert history[-1].gained and history[-1].hypervolume > history[-2].hypervolume
    found = progress.stall(history)
    assert found is not None and found.students == 0


def test_growth_of_nothing_is_nothing(tmp_path: Path) -> None:
    found = of(tmp_path, [])
    assert progress.growth(found, "parameters") == []
    assert progress.stall([]) is None
    assert progress.pace(found) is None
    assert progress.shifts(found, 0.0) == []
    assert progress.failures(found) == []


def test_stall_counts_students_since_the_last_gain(snapshot: Snapshot) -> None:
    history = progress.growth(snapshot, "parameters")
    last = max(i for i, row in enumerate(history) if row.gained)
    found = progress.stall(history)
    assert found is not None
    assert found.students == len(history) - 1 - last
    assert found.seconds == pytest.approx(history[-1].ended - history[last].ended)


def test_failures_are_grouped_whatever_their_numbers(tmp_path: Path) -> None:
    rng = random.Random(0)
    reasons = ["Diverged: loss is nan in epoch 3", "OOM: 12 MB", "Diverged: loss is nan in epoch 17", None]
    rows = [("FAIL", synthetic.running(i, rng) | ({"reason": r} if r else {})) for i, r in enumerate(reasons)]
    found = progress.failures(of(tmp_path, [*rows, ("FAIL", {"reason": "OOM: 99 MB"})]))
    assert [f.trials for f in found] == [(0, 2), (1, 4), (3,)]
    assert found[2].message == "no reason was recorded"


def test_shifts_never_overlap_on_a_slot(snapshot: Snapshot) -> None:
    found = progress.shifts(snapshot, synthetic.START + 999)
    assert {row.trial for row in found} == {c.trial for c in snapshot.candidates if c.state in ("complete", "failed")}
    for slot in {row.slot for row in found}:
        mine = sorted((row for row in found if row.slot == slot), key=lambda row: row.start)
        assert all(a.end <= b.start + 0.1 for a, b in pairwise(mine))


def test_pace_is_students_over_time(tmp_path: Path) -> None:
    rng = random.Random(0)
    found = progress.pace(of(tmp_path, [("COMPLETE", synthetic.trained(i, rng)) for i in range(11)]))
    assert found is not None
    assert found.per_hour == pytest.approx(1800)
    assert found.left == 30 - 11
    assert found.seconds_left == pytest.approx(2 * 19)


def test_news_are_the_reports_of_those_in_training(tmp_path: Path) -> None:
    rng = random.Random(0)
    about = synthetic.running(1, rng)
    found = of(tmp_path, [("COMPLETE", synthetic.trained(0, rng)), ("RUNNING", about)])
    trained = sum(report["seconds"] for report in about["reports"])
    assert progress.standing(found).news == pytest.approx(synthetic.START + 2 + trained)
    assert progress.standing(found, last_report=synthetic.START + 999).news == synthetic.START + 999


def test_nothing_is_called_silent_before_it_was_watched() -> None:
    about = Standing(counts={"running": 1}, wanted=10, news=100.0, result=None, patience=60.0, since=1000.0)
    assert about.word(1001.0) == "running"
    assert about.word(1061.0) == "silent"


@pytest.mark.parametrize("counts", [{}, {"running": 1}])
def test_a_search_with_a_stored_reason_is_called_stopped_at_once(counts: dict[str, int]) -> None:
    """An error that was not foreseen stores no time: for a minute, or for ever, the search looked alive."""
    about = Standing(counts=counts, wanted=10, news=100.0, result=None, patience=60.0, reason="KeyError: 'x'")
    assert about.word(101.0) == "stopped"


@pytest.mark.parametrize(("seconds", "patience"), [(None, 1800.0), (2.0, 60.0), (100.0, 300.0)])
def test_a_teacher_without_news_is_silent_by_the_time_of_its_epochs(
    tmp_path: Path, seconds: float | None, patience: float
) -> None:
    """The teacher of a driver that was killed was "in training" for ever."""
    last = {"stage": "teacher", "epoch": 3, "epochs": 9, "loss": 1.0, "seconds": seconds}
    url = synthetic.empty(tmp_path / "studies.db", teacher={}, teaching=last if seconds is not None else None)
    found = progress.standing(read(url, "digits"), since=100.0, last_change=1000.0)
    assert found.word(1000.0 + patience) == "empty"
    assert found.word(1001.0 + patience) == "silent"
    assert found.changed(since=990.0 + patience).word(1001.0 + patience) == "empty", "it was just opened"


def test_a_search_whose_driver_ended_is_called_stopped_at_once() -> None:
    about = Standing(counts={"running": 1}, wanted=10, news=100.0, result=None, patience=60.0, stopped=101.0)
    assert about.word(102.0) == "stopped"
    assert about.changed(counts={"complete": 10}).word(102.0) == "finished"


def test_a_night_that_stood_still_is_no_part_of_the_pace(tmp_path: Path) -> None:
    rng = random.Random(0)
    found = of(tmp_path, [("COMPLETE", synthetic.trained(i, rng)) for i in range(11)])
    late = tuple(c.changed(ended=(c.ended or 0) + (30_000 if c.trial > 5 else 0)) for c in found.candidates)
    pace = progress.pace(found.changed(candidates=late))
    assert pace is not None and pace.per_hour == pytest.approx(1800)


@pytest.mark.parametrize(
    ("counts", "now", "word"),
    [
        ({}, 0.0, "empty"),
        ({"complete": 5, "running": 1}, 110.0, "running"),
        ({"complete": 5, "running": 1}, 161.0, "silent"),
        ({"complete": 5}, 110.0, "stopped"),
        ({"complete": 8, "failed": 2}, 9e9, "finished"),
    ],
)
def test_a_studys_state_in_a_word(counts: dict[str, int], now: float, word: str) -> None:
    standing = Standing(counts=counts, wanted=10, news=100.0, result=100.0, patience=60.0)
    assert standing.word(now) == word
