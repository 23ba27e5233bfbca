"""The students' files that the server has made: how many stay, and what the page offers where none can be made."""

import random
from pathlib import Path
from typing import NoReturn

import pytest

from app.widgets import exports
from app.widgets.exports import Exports, hashed
from fitnets.errors import InputError
from search.read.reader import read
from search.ship import student_files
from search.ship.student_files import File
from search.units import format_duration
from tests.app import synthetic
from tests.app.pages import Opened, words


def files(size: int) -> tuple[exports.Hashed, ...]:
    return hashed([File(name="card.json", content=b"{}"), File(name="student.onnx", content=bytes(size - 2))])


def test_the_least_recently_used_files_go_where_the_limit_is_exceeded() -> None:
    made = Exports(most_bytes=1000)
    for weights in ("a", "b", "c"):
        made.put("url", "digits", weights, files(300))
    assert made.get("url", "digits", "a") is not None
    made.put("url", "mnist", "d", files(300))
    assert made.get("url", "digits", "b") is None
    assert [made.get("url", "digits", w) is not None for w in ("a", "c")] == [True, True]
    assert made.get("url", "mnist", "d") is not None and made.get("another", "mnist", "d") is None
    assert made.bytes == 900


def test_a_student_larger_than_the_limit_is_there_until_the_next() -> None:
    made = Exports(most_bytes=100)
    made.put("url", "digits", "a", files(500))
    assert made.get("url", "digits", "a") is not None
    made.put("url", "digits", "b", files(50))
    assert made.get("url", "digits", "a") is None and made.get("url", "digits", "b") is not None


def test_many_exports_of_one_study_take_no_more_than_the_limit() -> None:
    made = Exports(most_bytes=10_000)
    for i in range(500):
        made.put("url", "digits", str(i), files(300))
        assert made.bytes <= 10_000
    assert made.get("url", "digits", "499") is not None


def test_images_that_were_moved_are_told_with_the_command_that_takes_their_folder(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise InputError("the images are not in `old`: name the folder where they are now with --data.")

    trial = next(c.trial for c in read(synthetic.study(path, 8), "digits").candidates if c.outcome)
    monkeypatch.setattr(student_files, "exported", refuse)
    at = opened("student", trial=str(trial))
    next(b for b in at.button if b.label == "Make the files").click().run()
    assert "The files could not be made: the images are not in `old`" in words(at)
    assert any(code.value.endswith("--data DIR") and "search.export_one digits" in code.value for code in at.code)


def test_files_that_went_are_offered_anew(path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    url = synthetic.study(path, 8)
    first, second, *_ = (c for c in read(url, "digits").candidates if c.outcome)
    made = Exports(most_bytes=400)
    monkeypatch.setattr(exports, "shared", lambda: made)
    assert first.outcome is not None and second.outcome is not None
    made.put(f"sqlite:///{path}", "digits", first.outcome.weights_sha256, files(300))
    assert "Make the files" not in [b.label for b in opened("student", trial=str(first.trial)).button]
    made.put(f"sqlite:///{path}", "digits", second.outcome.weights_sha256, files(300))
    assert "Make the files" in [b.label for b in opened("student", trial=str(first.trial)).button]


@pytest.mark.parametrize("seconds", [student_files.PATIENCE - 1, student_files.PATIENCE + 1])
def test_lost_weights_that_take_too_long_to_train_are_refused_at_once(
    path: Path, opened: Opened, seconds: float
) -> None:
    url = synthetic.empty(path)
    attrs = synthetic.trained(0, random.Random(0))
    attrs["outcome"]["seconds"] = seconds
    synthetic.fill(path, [("COMPLETE", attrs)])
    assert student_files.takes_too_long(read(url, "digits").candidates[0]) == (seconds > student_files.PATIENCE)
    at = opened("student", trial="0")
    offered = "Make the files" in [b.label for b in at.button]
    assert offered == (seconds <= student_files.PATIENCE)
    assert "no longer in" in words(at) and f"which took {format_duration(seconds)}" in words(at)
    commands = [code.value for code in at.code if "search.export_one digits --trial 0" in code.value]
    assert len(commands) == (1 if offered else 2)
    assert ("This page does not wait that long" in words(at)) != offered
