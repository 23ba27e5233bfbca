"""A study is in the storage while its teacher is trained, and may change until that has come to its end."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from rich.console import Console

from fitnets.config import Report
from search import run
from search.driver.registration import beginning, known_study, register
from search.read.candidates import ENDED
from search.read.progress import standing
from search.read.reader import read
from search.storage.writer import open_storage
from search.workers.inline import InlineWorkers
from search.workers.protocol import Stopped
from tests.helpers import STUDY

ABOUT = {"images": {"train": 100, "val": 20}}


def epoch(number: int) -> Report:
    return Report(stage="teacher", epoch=number, epochs=9, loss=1.0, val_accuracy=number / 10, seconds=2.0)


def test_the_teachers_epochs_are_in_the_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    storage = open_storage(url)
    with beginning(STUDY, storage, None, ABOUT) as note:
        begun = read(url, STUDY.name)
        assert begun.teaching is None and begun.images == ABOUT["images"]
        assert standing(begun).word(0.0) == "empty"
        note(epoch(1))
        assert read(url, STUDY.name).teaching == epoch(1)
        note(epoch(2))
        assert read(url, STUDY.name).teaching == epoch(1), "two seconds have not passed"
        note(epoch(9))
        assert read(url, STUDY.name).teaching == epoch(9), "the last one is always written"


def test_a_search_that_ended_with_its_teacher_says_why_and_may_be_changed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    storage = open_storage(url)
    with pytest.raises(Stopped), beginning(STUDY, storage, None, ABOUT):
        raise Stopped("3 workers in a row died")
    left = read(url, STUDY.name)
    assert left.reason == "3 workers in a row died"
    assert standing(left).word(0.0) == "stopped"
    changed = STUDY.changed(seed=STUDY.seed + 1)
    assert known_study(changed, storage) is None, "nothing was trained by its definition"
    register(changed, storage, {"teacher": {"teacher": "t"}})
    assert known_study(changed, storage) is not None


def test_a_driver_that_begins_again_forgets_the_epochs_of_the_one_that_died(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    storage = open_storage(url)
    with pytest.raises(ZeroDivisionError), beginning(STUDY, storage, None, ABOUT) as note:
        note(epoch(9))
        raise ZeroDivisionError("division by zero")
    left = read(url, STUDY.name)
    assert left.teaching == epoch(9)
    assert standing(left).word(0.0) == "stopped", "that error was not foreseen, and stored no time"
    with beginning(STUDY, storage, known_study(STUDY, storage), ABOUT):
        again = read(url, STUDY.name)
        assert again.teaching is None
        assert standing(again).word(0.0) == "empty"


def test_of_a_known_study_nothing_is_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    storage = open_storage(url)
    register(STUDY, storage, {"teacher": {"teacher": "t"}})
    known = optuna.load_study(study_name=STUDY.name, storage=storage)
    with beginning(STUDY, storage, known, ABOUT) as note:
        note(epoch(1))
    assert read(url, STUDY.name).teaching is None
    assert read(url, STUDY.name).images == {}


def test_a_new_study_ends_once_not_with_its_teacher_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages said for a moment, between the teacher's end and the first student, that the search was stopped."""
    url = f"sqlite:///{tmp_path}/studies.db"
    storage = open_storage(url)
    write = storage.set_study_user_attr
    ends: list[bool] = []

    def written(study_id: int, key: str, value: Any) -> None:
        write(study_id, key, value)
        if key == ENDED:
            ends.append(read(url, STUDY.name).stopped is not None)

    monkeypatch.setattr(storage, "set_study_user_attr", written)
    crew: Any = InlineWorkers()
    study = STUDY.changed(trials=1)
    facts = crew.open(study.data, tmp_path, tmp_path / "store")
    teacher = study.resolved_teacher(facts.shape, len(facts.classes), "float32")
    run._search(Console(quiet=True), study, None, crew, facts, teacher, storage, tmp_path, tmp_path, None, 9.0)
    assert ends == [False, True]
    snapshot = read(url, STUDY.name)
    assert snapshot.teacher and [c.state for c in snapshot.candidates] == ["complete"]
