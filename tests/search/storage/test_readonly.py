"""search/storage/readonly.py: readers beside drivers that end and start in other processes, and what they leave."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest
import sqlalchemy

from fitnets.errors import InputError
from search import export_one
from search.read.listing import counts, studies
from search.read.reader import Reader, read
from search.storage.address import storage_url
from search.storage.faults import StorageBusy, StorageUnreadable
from search.storage.readonly import ReadOnlyStorage
from tests.app import synthetic
from tests.commands import COMMANDS, invoke
from tests.helpers import open_to_all, unprivileged

POLL_SECONDS = 0.3
LATEST_SECONDS = 5.0

DRIVER = """
import random, sys, time
import optuna
from optuna.trial import TrialState
from search.driver.ledger import Ledger
from search.storage.lock import driving
from tests.app import synthetic
from tests.helpers import proposal

optuna.logging.set_verbosity(optuna.logging.WARNING)
url, rng = sys.argv[1], random.Random(5)
for line in sys.stdin:
    with driving(url, "digits") as storage:
        ledger = Ledger(optuna.load_study(study_name="digits", storage=storage), storage)
        for step in line.split():
            if step == "trial":
                number = len(ledger.trials)
                ledger.add(proposal(number), synthetic.trained(number, rng))
                ledger.tell(number, TrialState.COMPLETE, [0.5, 3.0, 4.0])
                print(number, flush=True)
            elif step == "wait":
                sys.stdin.readline()
            else:
                time.sleep(float(step))
    print("closed", flush=True)
"""


class Drivers:
    """A process in which one driver runs after another; each line of steps is one driver."""

    def __init__(self, url: str):
        words = [sys.executable, "-c", DRIVER, url]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def drivers(url: str) -> Iterator[Drivers]:
    made = Drivers(url)
    with made.process:
        try:
            yield made
        finally:
            made.process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies.db"


def numbers(reader: Reader) -> list[int]:
    """The trials that a look at the study finds."""
    return [c.trial for c in reader.look().snapshot.candidates]


def test_a_driver_that_ends_and_the_next_one_between_two_looks(path: Path) -> None:
    """The first driver deletes its WAL when it ends, the second one begins another of the same name."""
    url = synthetic.empty(path)
    with drivers(url) as others, Reader(url, "digits") as reader:
        assert numbers(reader) == []
        for number in range(3):
            others.send("trial wait")
            assert others.answer() == str(number)
            for _ in range(3):
                assert numbers(reader)[-1] == number
            others.send("")
            assert others.answer() == "closed"


def test_every_trial_is_seen_soon_while_drivers_come_and_go(path: Path) -> None:
    """A page that stays open while a finished study is continued again and again."""
    url, rounds = synthetic.empty(path), 20
    written: dict[int, float] = {}
    seen: dict[int, float] = {}
    with drivers(url) as others, Reader(url, "digits") as reader:
        others.send("0")
        assert others.answer() == "closed"  # its imports are done

        def drive() -> None:
            for _ in range(rounds):
                others.send("trial 0.4")
                written[int(others.answer())] = time.monotonic()
                assert others.answer() == "closed"

        driving = threading.Thread(target=drive)
        driving.start()
        patience = time.monotonic() + 60
        while (driving.is_alive() or seen.keys() < written.keys()) and time.monotonic() < patience:
            now = time.monotonic()
            for number in numbers(reader):
                seen.setdefault(number, now)
            time.sleep(POLL_SECONDS)
        driving.join()
    assert sorted(seen) == sorted(written) == list(range(rounds))
    late = {number: round(seen[number] - written[number], 1) for number in written}
    assert {number: delay for number, delay in late.items() if delay > LATEST_SECONDS} == {}


def test_readers_leave_a_driver_its_locks_and_let_it_delete_its_wal(path: Path) -> None:
    url = synthetic.empty(path)
    with drivers(url) as others, Reader(url, "digits") as reader:
        others.send("trial wait")
        others.answer()
        reader.look()
        others.send("")
        assert others.answer() == "closed"
        assert sorted(p.name for p in path.parent.glob("studies.db-*")) == []
        reader.look()
        assert sorted(p.name for p in path.parent.glob("studies.db-*")) == []


def test_a_reader_keeps_this_processes_own_locks(path: Path) -> None:
    """On POSIX, closing any descriptor of a file drops all locks that the process has on it."""
    url = synthetic.study(path, 3)
    with sqlite3.connect(path, isolation_level=None) as held, Reader(url, "digits") as reader:
        held.execute("BEGIN")
        held.execute("SELECT * FROM studies").fetchall()
        before = locks(path)
        assert before > 0
        reader.look()
        reader.close()
        assert locks(path) == before
    held.close()


def locks(path: Path) -> int:
    """How many locks this process has on a file."""
    wanted = {str(os.getpid()), f":{path.stat().st_ino}"}
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum(
        wanted <= {word if ":" not in word else f":{word.rpartition(':')[2]}" for word in line} for line in lines
    )


def test_a_writer_within_a_read_of_a_file_at_rest_makes_it_read_again(path: Path) -> None:
    synthetic.study(path, 3)
    asked = []

    def query(engine: sqlalchemy.Engine) -> int:
        with engine.connect() as connection:
            asked.append(connection.exec_driver_sql("SELECT COUNT(*) FROM trials").scalar())
        if len(asked) == 1:
            synthetic.fill(path, [("COMPLETE", {})])
            raise InputError("what a torn file may look like")
        return int(asked[-1] or 0)

    with ReadOnlyStorage(f"sqlite:///{path}") as storage:
        assert storage.read(query) == 4
    assert asked == [3, 4]


def test_a_file_that_never_rests_is_busy(path: Path) -> None:
    synthetic.study(path, 3)

    def query(engine: sqlalchemy.Engine) -> None:
        synthetic.fill(path, [("COMPLETE", {})])

    with ReadOnlyStorage(f"sqlite:///{path}") as storage, pytest.raises(StorageBusy, match="try again"):
        storage.read(query)


def rollback_journal(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()


@pytest.mark.parametrize("change", [lambda path: None, rollback_journal], ids=["WAL", "rollback journal"])
def test_reading_leaves_no_file_whatever_the_journal_mode(path: Path, change: Callable[[Path], None]) -> None:
    url = synthetic.study(path, 3)
    change(path)
    before = {p.name: p.stat().st_mtime_ns for p in path.parent.iterdir()}
    with Reader(url, "digits") as reader:
        for _ in range(2):
            assert len(numbers(reader)) == 3
            assert {p.name: p.stat().st_mtime_ns for p in path.parent.iterdir()} == before


def test_a_file_in_rollback_mode_is_read_under_sqlites_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.storage.readonly.PATIENCE", 0.1)
    url = synthetic.study(path, 3)
    rollback_journal(path)
    with Reader(url, "digits") as reader, sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageBusy, match="locked by another program"):
            reader.look()
        writer.execute("ROLLBACK")
        assert len(numbers(reader)) == 3
    writer.close()


def folder(runs: Path) -> None:
    (runs / "studies.db").mkdir(parents=True)


def garbage(runs: Path) -> None:
    runs.mkdir()
    (runs / "studies.db").write_bytes(b"\0garbage" * 999)


def file(runs: Path) -> None:
    runs.write_text("no folder")


def circle(runs: Path) -> None:
    runs.mkdir()
    (runs / "studies.db").symlink_to(runs / "studies.db")


def closed(runs: Path) -> None:
    runs.mkdir()
    synthetic.study(runs / "studies.db", 1)
    runs.chmod(0)


def closed_file(runs: Path) -> None:
    runs.mkdir()
    synthetic.study(runs / "studies.db", 1)
    (runs / "studies.db").chmod(0)
    open_to_all(runs)
    runs.chmod(0o555)


FAULTS: dict[Callable[[Path], None], str] = {
    folder: "`{runs}/studies.db` cannot be read (it is a folder): it must be a file",
    garbage: "/studies.db is not a study storage, or is damaged: give the folder with --runs",
    file: "`{runs}/studies.db` cannot be read (`{runs}` is not a folder): it must be a file",
    circle: "`{runs}/studies.db` is a link that leads back to itself: remove it",
    closed: "`{runs}/studies.db` cannot be read (Permission denied): it must be a file that this user may read",
    closed_file: "`{runs}/studies.db` cannot be read (unable to open database file): it must be a file",
}
WRITING: dict[Callable[[Path], None], str] = {
    folder: "cannot be opened (OperationalError: unable to open database file): choose another folder with --runs",
    garbage: "cannot be opened (DatabaseError: file is not a database): choose another folder with --runs",
    file: "`{runs}` cannot be written (File exists): choose another folder with --runs",
    circle: FAULTS[circle],
    closed: "`{runs}` cannot be written (Permission denied): choose another folder with --runs",
    closed_file: "`{runs}` cannot be written (Permission denied): choose another folder with --runs",
}


def reader_of(fault: Callable[[Path], None]) -> AbstractContextManager[None]:
    """A user whom the fault hinders."""
    return unprivileged() if fault in (closed, closed_file) else nullcontext()


@pytest.mark.parametrize("command", [*COMMANDS, "export_one"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_storage_that_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Path], None], command: str
) -> None:
    runs = tmp_path / "runs"
    fault(runs)
    monkeypatch.setitem(COMMANDS, "export_one", export_one.main)
    words = ("--trial", 0) if command == "export_one" else ()
    with reader_of(fault):
        result = invoke(command, "digits", *words, "--runs", runs)
    expected = (WRITING if command == "run" else FAULTS)[fault].format(runs=runs)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr and "--runs" in result.stderr


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in (garbage, circle)])
def test_a_storage_that_cannot_be_read_now_may_recover(tmp_path: Path, fault: Callable[[Path], None]) -> None:
    """The pages keep what they have, and try again."""
    fault(tmp_path / "runs")
    url = storage_url(tmp_path / "runs", None)
    with reader_of(fault):
        for look in (lambda: studies(url), lambda: counts(url, "digits"), lambda: read(url, "digits")):
            with pytest.raises(StorageUnreadable):
                look()
