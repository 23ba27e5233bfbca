"""Every page in every state of the data, run as Streamlit runs it, without a browser."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import source
from fitnets.errors import InputError
from search.read.reader import Reader
from search.storage import readonly
from search.storage.faults import StorageBusy, StorageEmpty, StorageMissing, StorageUnreadable, StudyMissing
from search.study import find_study
from tests.app import synthetic
from tests.app.pages import MAIN, PAGES, RNG, Opened, awkward, charts, traces, words
from tests.helpers import unprivileged


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
def test_every_page_names_the_images_that_its_study_was_trained_on(path: Path, opened: Opened, page: str) -> None:
    images = {"images": "0123456789abcdef" * 4, "data_dir": "/data/birds_[1]", "train": 1000, "val": 396}
    synthetic.empty(path, study=find_study("folder").model_dump(mode="json"), images=images)
    (line,) = opened(page).caption
    assert line.value == r"images of /data/birds\_\[1\]: 1,000 training and 396 validation, digest 0123456789ab"


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
    page_text = words(at)
    assert expected in page_text
    assert not charts(at)
    assert ("it appears here before its teacher is trained" in page_text) == (state == "no study")
    if state == "empty":
        assert any(word in page_text for word in ("yet", "so far", "starts with", "Choose")), page_text
    else:
        assert "python -m search.run" in page_text
    assert path.exists() == (state != "missing")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", ["running", "failed", "infeasible", "stopped", "all stopped", "one", "equal", "odd"])
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
    if kind == "all stopped" and page == "tradeoffs":
        assert "those that were trained so far were stopped early" in words(at)
    if kind == "odd":
        assert "another version's" in words(at)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (StorageUnreadable, "tries again every few seconds"),
        (StorageBusy, "tries again every few seconds"),
        (StudyMissing, "was just started"),
        (StorageEmpty, "was just started"),
        (StorageMissing, "starts with one command"),
    ],
)
def test_what_a_page_advises_depends_on_the_kind_of_fault_not_on_its_words(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, error: type[InputError], advice: str
) -> None:
    def refuse() -> list[str]:
        raise error("in these words.")

    monkeypatch.setattr(source, "names", refuse)
    shown = words(opened())
    assert "In these words." in shown and advice in shown
    assert ("was just started" in shown) == (advice == "was just started")


@pytest.mark.parametrize("page", PAGES)
def test_a_busy_storage_keeps_the_last_picture(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr(readonly, "PATIENCE", 0.1)
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
    monkeypatch.setattr(readonly, "PATIENCE", 0.1)
    synthetic.study(path, 5)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA locking_mode = EXCLUSIVE")
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("DELETE FROM trial_heartbeats")
    try:
        page_text = words(opened())
        assert "locked by another program" in page_text
        assert "A study starts" not in page_text
    finally:
        writer.execute("ROLLBACK")
        writer.close()


def test_a_deleted_file_is_said_and_its_return_too(path: Path, opened: Opened, tmp_path: Path) -> None:
    synthetic.study(path, 30)
    at = opened()
    moved = tmp_path / "elsewhere"
    path.rename(moved)
    at.run()
    assert "no study storage" in words(at)
    moved.rename(path)
    at.run()
    assert len(charts(at)) == 1


@pytest.mark.parametrize("query", [{"trial": "x"}, {"max_params": "-3"}, {"axis": "beauty"}, {"min_accuracy": "7"}])
def test_a_nonsense_address_is_harmless(path: Path, opened: Opened, query: dict[str, str]) -> None:
    synthetic.study(path, 30)
    assert len(charts(opened(**query))) == 1


def test_names_are_text_not_markup(path: Path, opened: Opened) -> None:
    synthetic.empty(path)
    rows = [("COMPLETE", synthetic.trained(i, RNG) | {"name": "<img src=x>"}) for i in range(6)]
    synthetic.fill(path, rows)
    at = opened()
    assert "<img" not in charts(at)[0].spec
    assert "&lt;img" in charts(at)[0].spec


def test_a_name_cannot_make_the_browser_fetch(path: Path, opened: Opened) -> None:
    synthetic.empty(path)
    named = {"name": "![](https://elsewhere/x.png)"}
    synthetic.fill(path, [("COMPLETE", synthetic.trained(i, RNG) | named) for i in range(6)])
    page_text = words(opened(trial="1")) + words(opened("student", trial="1"))
    assert "![](" not in page_text
    assert "!\\[\\](https" in page_text


@pytest.mark.slow
def test_five_thousand_students_stay_quick(path: Path, opened: Opened) -> None:
    synthetic.study(path, 5000)
    at = opened()
    began = time.process_time()
    at.run()
    assert time.process_time() - began < 1.0
    assert sum(len(t.get("text", ())) for t in traces(at).values()) <= 1300
    assert len(charts(at)[0].spec) < 400_000


def check_last_picture(at: AppTest, drawn: int) -> None:
    """The page still draws as many charts, and says that the storage cannot be read."""
    assert not at.exception
    assert "The storage cannot be read just now" in words(at)
    assert len(charts(at)) == drawn


def test_a_folder_that_may_no_longer_be_read_keeps_the_last_picture(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened()
    drawn = len(charts(at))
    path.parent.chmod(0)
    try:
        with unprivileged():
            at.run()
            check_last_picture(at, drawn)
            st.cache_resource.clear()
            at.run()
            assert not at.exception
            assert "cannot be read (Permission denied)" in words(at)
            assert "tries again every few seconds" in words(at)
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("page", PAGES)
def test_a_server_that_is_away_keeps_the_last_picture(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    synthetic.study(path, 30)
    at = opened(page, compare="1,2", trial="1")
    drawn = len(charts(at))

    def fail(*asked: Any) -> Any:
        raise StorageUnreadable(
            "the storage postgresql://host/x cannot be read (connection refused): see that it runs."
        )

    monkeypatch.setattr(Reader, "look", fail)
    monkeypatch.setattr(source, "studies", fail)
    at.run()
    check_last_picture(at, drawn)
    st.cache_resource.clear()
    at.run()
    assert "connection refused" in words(at)
    assert "A study starts" not in words(at)


def test_stopped_students_are_a_state_of_their_own_on_every_page(path: Path, opened: Opened) -> None:
    """One is trained, two are stopped after epoch 2 of 5, one is audited, one is over the limits."""
    synthetic.empty(path)
    synthetic.fill(path, awkward("stopped"))
    tradeoffs = words(opened("tradeoffs"))
    assert "**2** trained · **1** over the study's limits · **2** stopped early" in tradeoffs
    student = opened("student", trial="1")
    text = words(student)
    assert "It was stopped after epoch 2 of 5 with 50.00%: of the 5 students that had come so far, 3 were" in text
    assert "stopped early" in text and len(charts(student)) >= 2, "its layers and its curves up to the rung"
    side = opened("compare", compare="0,1")
    assert "stopped early" in "".join(frame.value.to_string() for frame in side.dataframe)
    progress = opened("progress")
    text, tables = words(progress), "".join(frame.value.to_string() for frame in progress.dataframe)
    assert "Stopped early: 2 of 4 after epoch 2; 6 epochs saved. 1 is audited" in text
    assert "stopped early" in tables and "3 of 5" in tables
    timeline = next(trace for i in range(len(charts(progress))) if "stopped early" in (trace := traces(progress, i)))
    assert len(timeline["stopped early"]["y"]) == 2
