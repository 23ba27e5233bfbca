"""Storages: SQLite and PostgreSQL by URL keep the same promises, and tell their faults in one line."""

import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from fitnets.disk.store import Store
from fitnets.errors import InputError
from search.driver.ledger import Ledger
from search.driver.loop import DIRECTIONS, Search
from search.read.candidates import Snapshot
from search.read.listing import counts, studies
from search.read.reader import Reader, read
from search.storage import readonly, writer
from search.storage.address import shown, storage_url
from search.storage.faults import (
    StorageBusy,
    StorageEmpty,
    StorageLost,
    StorageMissing,
    StorageUnreadable,
    StudyMissing,
    writing,
)
from search.storage.lock import driving
from search.storage.readonly import ReadOnlyStorage
from search.storage.writer import open_storage
from tests.app import synthetic
from tests.helpers import STUDY, proposal
from tests.search.driver.test_loop import FRAME, Crash, Scripted, well

CONTENT: dict[str, Any] = {
    "unicode": "Tiefe größer ✓ 深い 🎓",
    "escaped": 'a\x00b"\\\n\u2028\ud800',
    "large": ["x" * 1000] * 5000,
    "none": None,
}


def test_the_storage_lies_under_runs_unless_it_is_named(tmp_path: Path) -> None:
    assert storage_url(tmp_path, None) == f"sqlite:///{tmp_path}/studies.db"
    assert storage_url(tmp_path, "postgresql://host/db") == "postgresql://host/db"


@pytest.mark.parametrize("kind", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_needs_no_drivers_name(kind: str) -> None:
    with ReadOnlyStorage(f"{kind}://host/db") as storage:
        assert storage.read(lambda engine: engine.dialect.driver) == "psycopg"


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("postgresql://user:secret@host:5432/db", "postgresql://user:***@host:5432/db"),
        ("postgresql+psycopg://user:se:cr@et@host/db", "postgresql+psycopg://user:***@host/db"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("sqlite:////tmp/studies.db", "sqlite:////tmp/studies.db"),
        ("sqlite:////tmp/a:b@c/studies.db", "sqlite:////tmp/a:b@c/studies.db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
        ("postgresql://host/db?sslpassword=secret&user=me", "postgresql://host/db?sslpassword=***&user=me"),
        ("postgresql://user:secret", "postgresql://user:***"),
        ("postgresql://user:secret/db", "postgresql://user:***"),
        ("user:secret@host", "***@host"),
        ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
        ("host=h password = 'se cret' dbname=d", "host=h password = *** dbname=d"),
        ("not a url", "not a url"),
        ("postgresql://user:secret@[host/db", "postgresql://user:***@[host/db"),
    ],
)
def test_passwords_are_not_shown(url: str, printed: str) -> None:
    assert shown(url) == printed


@pytest.mark.parametrize(
    "url",
    [
        "",
        "runs/studies.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///studies.db?mode=ro",
        "mysql://user:secret@host/db",
        "postgresql+psycopg2://user:secret@host/db",
        "postgresql+nosuch://user:secret@host/db",
        "postgresql://user:secret",
        "postgresql://user:se@cret@host/db",
        "user:secret@host",
        "host=h password=secret",
    ],
)
def test_other_storages_are_refused_with_the_accepted_forms(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        storage_url(tmp_path, url)
    message = str(caught.value)
    assert "postgresql://USER@HOST/DATABASE" in message or "write it as %40" in message
    assert "cret" not in message and "\n" not in message


def test_opening_a_storage_makes_it_and_keeps_what_is_there(tmp_path: Path) -> None:
    url = storage_url(tmp_path / "deep" / "runs", None)
    optuna.create_study(study_name="a", storage=open_storage(url))
    assert optuna.get_all_study_names(open_storage(url)) == ["a"]


@pytest.mark.parametrize("form", ["below a file", "not a database"])
def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path, form: str) -> None:
    (tmp_path / "file").write_text("text, and no database at all" * 100)
    place = {"below a file": "file/runs/studies.db", "not a database": "file"}[form]
    with pytest.raises(InputError, match=r"cannot be (made|opened)") as caught:
        open_storage(f"sqlite:///{tmp_path}/{place}")
    assert "\n" not in str(caught.value)


# SQLite


def test_sqlite_writes_ahead_and_waits_a_minute_for_others(tmp_path: Path) -> None:
    opened = open_storage(storage_url(tmp_path, None))
    with opened.engine.connect() as connection:
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
        assert modes == ["wal", 1]
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000


def test_a_folder_where_sqlite_cannot_write_ahead_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There SQLite keeps its mode, and says so. Here it is not asked to change it."""
    monkeypatch.setattr(writer, "_write_ahead", lambda connection, record: None)
    with pytest.raises(InputError, match=r"stays `delete`.*a local folder with --runs, or a PostgreSQL server"):
        open_storage(storage_url(tmp_path, None))


def test_pages_may_read_while_the_search_writes(tmp_path: Path) -> None:
    """SQLite in WAL mode: a reader in another process is not locked out by an open write."""
    url = storage_url(tmp_path, None)
    opened = open_storage(url)
    optuna.create_study(study_name="a", storage=opened)
    path = str(tmp_path / "studies.db")
    code = f"import sqlite3; print(*sqlite3.connect({path!r}, timeout=1).execute('SELECT study_name FROM studies'))"
    with opened.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE studies SET study_name = 'b'")
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "('a',)"


# both


@contextmanager
def ledger(url: str) -> Iterator[Ledger]:
    """The one writer of the study."""
    with driving(url, STUDY.name) as opened:
        study = optuna.create_study(study_name=STUDY.name, storage=opened, directions=DIRECTIONS, load_if_exists=True)
        yield Ledger(study, opened)


def add(kept: Ledger, **attributes: Any) -> int:
    """A trial with drawn parameters."""
    return kept.add(proposal(len(kept.trials)), attributes)


def searched(url: str, tmp_path: Path, trials: int, workers: Scripted | None = None) -> None:
    """Run the study until so many students are trained."""
    with driving(url, STUDY.name) as opened:
        optuna.create_study(study_name=STUDY.name, storage=opened, directions=DIRECTIONS, load_if_exists=True)
        search = Search(STUDY, FRAME, opened, workers or Scripted(), Store(tmp_path / "store"))
        search.run(trials, lambda search, event: None)


def timeless(found: Snapshot) -> Snapshot:
    """What depends neither on when it was, nor on how often a driver died."""
    same = tuple(c.changed(started=None, ended=None, attempts=1) for c in found.candidates)
    return found.changed(candidates=same)


def test_a_search_is_the_same_on_both_and_after_its_driver_died(url: str, tmp_path: Path) -> None:
    def dying(number: int, recipe: Any, attempt: int) -> list[Any]:
        if number == 4:
            raise Crash
        return well(number, recipe, attempt)

    with pytest.raises(Crash):
        searched(url, tmp_path, 8, Scripted(dying))
    assert counts(url, STUDY.name) == {"complete": 4, "running": 1}
    searched(url, tmp_path, 8)
    undisturbed = storage_url(tmp_path / "undisturbed", None)
    searched(undisturbed, tmp_path, 8)
    found = read(url, STUDY.name)
    assert [c.state for c in found.candidates] == ["complete"] * 8
    assert [c.attempts for c in found.candidates] == [1, 1, 1, 1, 2, 1, 1, 1]
    assert any(c.on_front for c in found.candidates)
    assert timeless(found) == timeless(read(undisturbed, STUDY.name))


def test_a_trial_is_written_whole_or_not_at_all(url: str) -> None:
    with ledger(url) as kept:
        with pytest.raises(TypeError, match="not JSON serializable"):
            add(kept, first="fits", second=object())
        with kept.storage.engine.connect() as connection:  # type: ignore[attr-defined]
            tables = ("trials", "trial_params", "trial_user_attributes", "trial_system_attributes")
            assert [connection.exec_driver_sql(f"SELECT COUNT(*) FROM {t}").scalar() for t in tables] == [0] * 4
    with ledger(url) as kept:
        number = add(kept, first="fits")
        trial = optuna.load_study(study_name=kept.name, storage=kept.storage).trials[number]
        assert trial.params == kept.trials[number].params != {}
        assert trial.constraints == {"max_params": -0.5}


def test_what_is_written_is_read_back_whatever_it_is(url: str) -> None:
    with ledger(url) as kept:
        number = add(kept, **CONTENT)
        kept.note(number, later=CONTENT)
        kept.tell(number, TrialState.COMPLETE, [0.25, 1e-300, 3.0])
        assert kept.stored(number) == {**CONTENT, "later": CONTENT}
    with ledger(url) as kept:
        assert kept.trials[number].user_attrs == {**CONTENT, "later": CONTENT}
        assert kept.trials[number].values == [0.25, 1e-300, 3.0]


def test_a_reader_follows_the_writer(url: str) -> None:
    rng = random.Random(3)
    with ledger(url) as kept, Reader(url, STUDY.name) as reader:
        first = reader.refresh()
        assert first.candidates == () and reader.refresh() is first
        for number in range(3):
            add(kept, **synthetic.running(number, rng))
            assert reader.refresh().candidates[-1].state == "running"
            kept.note(number, reports=synthetic.running(number, rng, epochs=3)["reports"])
            assert len(reader.refresh().candidates[-1].reports) == 3
            kept.note(number, **synthetic.trained(number, rng))
            kept.tell(number, TrialState.COMPLETE, [0.5, 3.0, 4.0])
            with Reader(url, STUDY.name) as fresh:
                assert reader.refresh() == fresh.refresh()
        assert [c.state for c in reader.refresh().candidates] == ["complete"] * 3
        assert len(reader.reports(2)) == 8
        assert studies(url) == [STUDY.name]
        with pytest.raises(InputError, match="it has tiny"):
            read(url, "other")


def test_times_are_the_same_in_every_time_zone(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for zone in ("Asia/Tokyo", "America/Lima"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            with ledger(url) as kept:
                kept.tell(add(kept, **synthetic.trained(0, random.Random(3))), TrialState.COMPLETE, [0.5, 3.0, 4.0])
            ended = read(url, STUDY.name).candidates[-1].ended
        finally:
            monkeypatch.undo()
            time.tzset()
        assert ended == pytest.approx(time.time(), abs=30)


def delete_trials(engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM trials")


def test_a_reader_cannot_write(url: str) -> None:
    with ledger(url) as kept:
        add(kept)
        with ReadOnlyStorage(url) as storage, pytest.raises(sqlalchemy.exc.DBAPIError, match=r"read.?only"):
            storage.read(delete_trials)
    with ReadOnlyStorage(url) as storage, pytest.raises(sqlalchemy.exc.DBAPIError, match=r"read.?only"):
        storage.read(delete_trials)
    assert counts(url, STUDY.name) == {"running": 1}


def test_a_storage_without_studies_says_so(url: str) -> None:
    if url.startswith("sqlite"):
        with pytest.raises(StorageMissing, match="there is no study storage at"):
            studies(url)
    else:
        with pytest.raises(StorageEmpty, match="has no studies: run one first"):
            studies(url)
    open_storage(url).engine.dispose()
    assert studies(url) == []
    with pytest.raises(StudyMissing, match="has no study `digits`: it has none") as caught:
        read(url, "digits")
    assert type(caught.value) is StudyMissing


def test_a_server_that_does_not_answer_may_come_back() -> None:
    with pytest.raises(StorageUnreadable, match=r"localhost:1/db cannot be read .*see that the server runs"):
        studies("postgresql://localhost:1/db")


def test_a_locked_storage_is_busy_for_readers_and_ends_a_search_in_one_line(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly, "PATIENCE", 0.2)
    monkeypatch.setattr(writer, "PATIENCE", 0.2)
    with ledger(url) as kept:
        number = add(kept)
        other = open_storage(url)
        with other.engine.connect() as connection:
            if url.startswith("sqlite"):  # its readers are not locked out
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("LOCK TABLE studies, trials, trial_user_attributes")
                with pytest.raises(StorageBusy, match="locked by another program"):
                    read(url, STUDY.name)
            with pytest.raises(StorageLost) as caught, writing(url):
                kept.note(number, a=1)
            assert re.search("lock", str(caught.value)) and "\n" not in str(caught.value)
            connection.rollback()
        other.remove_session()
        other.engine.dispose()
        kept.note(number, a=2)
    with ledger(url) as kept:
        assert kept.trials[number].user_attrs == {"a": 2}


def test_drivers_that_start_at_once_make_the_tables_once(url: str) -> None:
    count = 8
    together = threading.Barrier(count)
    faults: list[BaseException] = []

    def start(name: str) -> None:
        together.wait()
        try:
            with driving(url, name) as opened:
                optuna.create_study(study_name=name, storage=opened, directions=DIRECTIONS)
        except BaseException as error:
            faults.append(error)

    drivers = [threading.Thread(target=start, args=(f"study-{number}",)) for number in range(count)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert faults == []
    assert sorted(studies(url)) == [f"study-{number}" for number in range(count)]
