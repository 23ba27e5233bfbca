"""search/storage/lock.py: one driver for each study, whatever its --runs folder, on SQLite and on PostgreSQL."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from fitnets.errors import InputError
from search.driver.loop import DIRECTIONS
from search.ship.json_lines import locked
from search.storage import lock
from search.storage.address import sqlite_path, storage_url
from search.storage.faults import StorageLost, writing
from search.storage.lock import driving
from search.storage.writer import open_storage
from tests.commands import invoke, study_file
from tests.postgres import PASSWORD, QUOTED, Server

HOLD = """
import sys
from search.storage.lock import driving
with driving(sys.argv[1], sys.argv[2]):
    print('held', flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another_driver(url: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """A second process that holds a study, and is killed in the end."""
    words = [sys.executable, "-c", HOLD, url, name]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None and driver.stdout.readline() == "held\n"
            yield driver
        finally:
            driver.kill()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal comes at once."""
    monkeypatch.setattr(lock, "TAKEOVER", 0.2)


def test_a_second_driver_is_told_who_has_the_study(url: str, tmp_path: Path) -> None:
    """Another --runs folder is no way around it: hosts that share a PostgreSQL server have different ones."""
    with another_driver(url, "tiny") as driver:
        result = invoke("run", study_file(tmp_path), "--runs", tmp_path / "elsewhere", "--storage", url)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert (
        f"another driver runs the study `tiny`: process {driver.pid} on {socket.gethostname()}, since 20"
        in result.stderr
    )
    assert "--name" in result.stderr
    assert PASSWORD not in result.output and QUOTED not in result.output


def test_another_study_is_free(url: str) -> None:
    with driving(url, "digits"), driving(url, "mnist"):
        again = driving(url, "mnist")
        with pytest.raises(InputError, match=f"`mnist`: process {os.getpid()} on"), again:
            pass


def test_a_killed_driver_leaves_the_study_free(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with another_driver(url, "digits") as driver:
        with pytest.raises(InputError, match=f"process {driver.pid} on .*, since 20"), driving(url, "digits"):
            pass
        monkeypatch.setattr(lock, "TAKEOVER", 30.0)  # at most, on a busy machine
        driver.kill()
        driver.wait()
        with driving(url, "digits"):
            pass


def test_a_link_to_the_storage_is_no_way_around_it(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    with driving(f"sqlite:///{tmp_path}/runs/studies.db", "digits"):
        link = driving(f"sqlite:///{tmp_path}/link/studies.db", "digits")
        with pytest.raises(InputError, match="another driver"), link:
            pass


def take_the_lock_away(url: str, request: pytest.FixtureRequest) -> None:
    """What ends a lock while its driver lives: somebody cleans up lock files; the network goes."""
    path = sqlite_path(url)
    if path is not None:
        (path.parent / "studies.db.digits.lock").unlink()
    else:
        server: Server = request.getfixturevalue("server")
        server.hang_up(url)


def test_a_driver_that_lost_its_lock_writes_nothing_any_more(url: str, request: pytest.FixtureRequest) -> None:
    """Two drivers that believe to hold one study: only the second one's writes are in the storage."""
    with driving(url, "digits") as first:
        study = optuna.create_study(study_name="digits", storage=first, directions=DIRECTIONS)
        study.set_user_attr("by", "first")
        take_the_lock_away(url, request)
        with driving(url, "digits") as second:
            optuna.load_study(study_name="digits", storage=second).set_user_attr("by", "second")
            for _ in range(3):
                with pytest.raises(StorageLost), writing(url):
                    study.set_user_attr("by", "first again")
                with pytest.raises(StorageLost), writing(url):
                    study.ask()
    with driving(url, "digits") as third:
        found = optuna.load_study(study_name="digits", storage=third)
        assert found.user_attrs == {"by": "second"}
        assert found.trials == []


def test_a_database_that_was_deleted_is_not_written_on_in_the_dark(tmp_path: Path) -> None:
    """SQLite would go on writing into the deleted file, and everything would be lost at its end."""
    url = f"sqlite:///{tmp_path}/studies.db"
    with driving(url, "digits") as storage:
        study = optuna.create_study(study_name="digits", storage=storage, directions=DIRECTIONS)
        (tmp_path / "studies.db").unlink()
        with pytest.raises(StorageLost, match=r"studies.db` was deleted, or replaced"):
            study.set_user_attr("a", 1)
        shutil.copy(__file__, tmp_path / "studies.db")
        with pytest.raises(StorageLost, match=r"studies.db` was deleted, or replaced"):
            study.set_user_attr("a", 1)


def test_a_lock_file_that_cannot_be_locked_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "studies.db.digits.lock").mkdir()
    refused = driving(f"sqlite:///{tmp_path}/studies.db", "digits")
    with pytest.raises(InputError, match=r"digits\.lock` cannot be locked \(Is a directory\).*--runs"), refused:
        pass


def test_a_second_refused_driver_is_told_the_same(tmp_path: Path) -> None:
    """A refused driver does not wipe out what it has read of the first."""
    url = f"sqlite:///{tmp_path}/studies.db"
    with driving(url, "digits"):
        for _ in range(3):
            again = driving(url, "digits")
            with pytest.raises(InputError, match=f"process {os.getpid()} on {socket.gethostname()}, since 20"), again:
                pass


@pytest.mark.parametrize("fault", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, None])
@pytest.mark.parametrize("use", ["a driver", "its storage", "a record"])
def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str, fault: int | None
) -> None:
    """A lock that only exists as a file would outlive a killed driver."""

    def refuse(file: int, operation: int) -> None:
        raise OSError(fault or 0, os.strerror(fault or 0)) if fault else NotImplementedError

    monkeypatch.setattr("fcntl.flock", refuse)
    url = storage_url(tmp_path, None)
    with pytest.raises(InputError, match=f"the file system of `{tmp_path}` has no file locks.* local disk with --runs"):
        if use == "its storage":
            open_storage(url)
        elif use == "a driver":
            monkeypatch.setattr(lock, "open_storage", RDBStorage)  # whose tables exist: nothing else is locked
            with driving(url, "digits"):
                pass
        else:
            with locked(tmp_path / "records.jsonl"):
                pass
    assert not list(tmp_path.glob("*.driver.json"))
