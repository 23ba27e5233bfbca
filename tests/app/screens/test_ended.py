"""A search that ended before its end, or has not begun: what its pages say (D2, D8)."""

import json
import random
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from app.widgets import live
from search.read.candidates import ADVICE, ENDED, REASON
from search.read.progress import Standing
from tests.app import synthetic
from tests.app.pages import Opened, words

WHY = "5 trials in a row failed in the same way, which the next would too: ValueError: `lr` is 90: choose 0.1 or less"


def about(path: Path, **attributes: Any) -> None:
    """Attributes of the study, as its driver writes them."""
    with sqlite3.connect(path) as db:
        for key, value in attributes.items():
            db.execute("DELETE FROM study_user_attributes WHERE key = ?", (key,))
            row = "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, ?, ?)"
            db.execute(row, (key, json.dumps(value)))
    db.close()


def test_a_dead_search_looks_dead_and_says_why(path: Path, opened: Opened) -> None:
    """D2: the page said that a student was in training, and advised the command that fails again."""
    synthetic.empty(path)
    rng = random.Random(1)
    failed = [("FAIL", synthetic.running(i, rng) | {"reason": "ValueError: `lr` is 90"}) for i in range(5)]
    synthetic.fill(path, [*failed, ("RUNNING", synthetic.running(5, rng))])
    about(path, **{ENDED: time.time() - 60, REASON: WHY, ADVICE: "change"})
    at = opened()
    said = words(at)
    assert re.search(r"The search stopped \d+ (s|min) .*ago: 5 trials in a row failed", said)
    assert any("choose 0.1 or less" in error.value for error in at.error)
    assert "would otherwise end in the same way" in said
    assert "students in training" not in said and "student in training" not in said
    assert "In training: " not in said
    assert "in training when it ended" in said
    orphan = opened("student", trial="5")
    assert "interrupted" in words(orphan) and "running" not in words(orphan)


@pytest.mark.parametrize(
    ("advice", "said"),
    [
        ("said", "The search stopped: it died: run the same command again."),
        ("again", "run the same command again. The command that started it, given again, continues it."),
        ("change", "Change that first: the command that started it, given again, would otherwise end in the same way."),
        (None, "The search stopped: it died: run the same command again."),
    ],
)
def test_the_advice_is_that_of_the_reason(path: Path, opened: Opened, advice: str | None, said: str) -> None:
    """Every reason was followed by "Change that first", also one that said to run the same command again."""
    synthetic.empty(path)
    about(path, **{REASON: "it died: run the same command again."} | ({ADVICE: advice} if advice else {}))
    (error,) = opened().error
    assert error.value.endswith(said)


def test_a_search_that_was_told_to_stop_continues_with_its_command(path: Path, opened: Opened) -> None:
    synthetic.study(path, 10)
    about(path, **{ENDED: time.time(), "study": {"trials": 99}})
    assert "the command that started it, given again, continues it" in words(opened())


def test_the_teachers_training_is_shown(path: Path, opened: Opened) -> None:
    """D8: for hours the page said that there is no study storage."""
    last: Any = {"stage": "teacher", "epoch": 12, "epochs": 40, "loss": 0.5, "val_accuracy": 0.9712, "seconds": 2.0}
    synthetic.empty(path, teacher={}, teaching=last)
    said = words(opened())
    assert "The teacher is in training: epoch **12** of 40, 97.12% so far, about 56 s left." in said
    about(path, **{ENDED: time.time(), REASON: "3 workers in a row died"})
    said = words(opened())
    assert "The teacher is in training" not in said
    assert "3 workers in a row died" in said


def test_a_teacher_whose_driver_was_killed_is_in_training_no_longer(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was "in training, about 56 s left" for ever."""
    last: Any = {"stage": "teacher", "epoch": 12, "epochs": 40, "loss": 0.5, "val_accuracy": 0.9712, "seconds": 2.0}
    synthetic.empty(path, teacher={}, teaching=last)
    at = opened()
    assert "The teacher is in training" in words(at)
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    said = words(at.run())
    assert "The teacher is in training" not in said
    assert "Nothing has been reported for 61 s, much longer than an epoch of the teacher takes." in said
    assert "the command that started it, given again, continues it" in said


def test_an_error_that_was_not_foreseen_is_told_while_the_teacher_trains(path: Path, opened: Opened) -> None:
    """It stores no time of its end."""
    synthetic.empty(path, teacher={}, teaching=None)
    about(path, **{REASON: "KeyError: 'x'"})
    said = words(opened())
    assert "The search stopped: KeyError: 'x'" in said
    assert "its epochs appear here" not in said


def test_the_header_says_how_many_of_how_many_and_the_time_left() -> None:
    standing = Standing(
        counts={"complete": 4, "pruned": 2, "running": 1}, wanted=30, news=99.0, result=None, patience=60.0
    )
    line = live.counts_line(standing, 100.0, 51.0)
    assert line == "**6** of 30 · **4** trained · **1** in training · **2** stopped early · about 51 s left"
