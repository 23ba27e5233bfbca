"""One driver for each study: a second one is refused. The lock ends with its process, whichever way that ends.

The lock belongs to the storage, so it holds across --runs folders and hosts, and a driver that loses it can no longer
write. SQLite: a locked file beside the database. PostgreSQL: an advisory lock of the only connection through which the
driver writes, so lock and connection can only be lost together.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy
from filelock import Timeout
from optuna.storages import RDBStorage

from fitnets.errors import InputError
from search.storage.address import sqlite_path
from search.storage.faults import StorageLost, reading
from search.storage.file_lock import file_locked
from search.storage.writer import open_storage

TAKEOVER = 2.0  # seconds within which a PostgreSQL server notices that a driver was killed


@contextmanager
def driving(url: str, name: str) -> Iterator[RDBStorage]:
    """The storage at `url`, opened for the only driver of the study `name` while the context lasts.

    Raises InputError, which names host, process and time, when another driver has the study. Once the lock is lost,
    every write raises StorageLost.
    """
    path = sqlite_path(url)
    storage = open_storage(url)
    try:
        if path is None:
            with reading(url):
                _lock_session(storage.engine, name)
            yield storage
        else:
            with _locked_file(storage.engine, path.resolve(), name):
                yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def _locked_file(engine: sqlalchemy.Engine, path: Path, name: str) -> Iterator[None]:
    lock_file = path.with_name(f"{path.name}.{name}.lock")
    about_file = path.with_name(f"{path.name}.{name}.driver.json")  # the lock file may be emptied by the next driver
    with ExitStack() as held:
        try:
            held.enter_context(file_locked(lock_file, 0, "choose another folder with --runs, or correct its rights"))
        except Timeout:
            raise _taken(name, _text(about_file)) from None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        about_file.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since}))
        inodes = {file: _inode(file) for file in (path, lock_file)}

        def check(connection: Any) -> None:
            """Raises StorageLost when a file was deleted: another process could then lock and write a new one."""
            for file, inode in inodes.items():
                if _inode(file) != inode:
                    raise StorageLost(f"`{file}` was deleted, or replaced, while the search wrote to it")

        sqlalchemy.event.listen(engine, "begin", check)
        yield


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _lock_session(engine: sqlalchemy.Engine, name: str) -> None:
    """Lock the study through the engine's connection, and forbid the engine to open another."""
    key = int.from_bytes(hashlib.sha256(f"fitnet-search {name}".encode()).digest()[:8], "big", signed=True)
    deadline = time.monotonic() + TAKEOVER
    with engine.connect() as connection:
        while not connection.execute(_TRY, {"key": key}).scalar():
            if time.monotonic() > deadline:
                row = connection.execute(_HOLDER, {"key": key}).first()
                raise _taken(name, _about(*row) if row else "")
            connection.rollback()
            time.sleep(0.2)

    def refuse(*_: Any) -> NoReturn:
        raise StorageLost("the connection that holds the study was lost, and another driver may have taken it")

    sqlalchemy.event.listen(engine, "do_connect", refuse)


def _about(application: str, since: datetime | None) -> str:
    """A driver's host, process and time, from its connection, as in a `.driver.json` file."""
    pid, _, host = application.removeprefix("fitnet-search ").partition("@")
    when = since.astimezone(UTC).isoformat(timespec="seconds") if since else "not known"
    return json.dumps({"host": host, "pid": pid, "since": when})


def _taken(name: str, text: str) -> InputError:
    try:
        about = json.loads(text)
        where = f"process {about['pid']} on {about['host']}, since {about['since']}"
    except (ValueError, KeyError, TypeError):
        where = "which one is not known"
    return InputError(
        f"another driver runs the study `{name}`: {where}. Wait for it, or stop it; a study of another name "
        "(`search.run --name`) can run beside it."
    )


_TRY = sqlalchemy.text("SELECT pg_try_advisory_lock(:key)")
_HOLDER = sqlalchemy.text(
    "SELECT a.application_name, a.backend_start FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND (l.classid::bigint << 32) | l.objid::bigint = :key"
)
