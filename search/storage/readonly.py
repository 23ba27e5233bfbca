"""Read-only access to a storage: it never writes, and leaves no file behind."""

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import sqlalchemy

from search.storage.address import address_of, connection_args, sqlite_path
from search.storage.faults import StorageBusy, storage_missing, storage_unreadable

PATIENCE = 2.0  # seconds that a reader waits for a storage that another program has locked
ATTEMPTS = 5  # reads of an SQLite file without a WAL, one after the other, that a writer may interrupt
CLOCK_TICK = 0.02  # seconds: two writes that are closer together may leave the same modification time

T = TypeVar("T")
Stamp = tuple[int, int, int]
"""A file's inode, modification time in nanoseconds and size in bytes."""


class ReadOnlyStorage(AbstractContextManager["ReadOnlyStorage"]):
    """A storage to read from. PostgreSQL's connection is reused; SQLite gets a new one for each read.

    A process that closes a file loses all its fcntl locks on that file, SQLite's too. So only SQLite itself opens the
    database file here; it closes the file only when no connection of the process holds a lock.

    An SQLite connection in WAL mode also continues to read the WAL that it opened, even when the last writer has
    deleted that one and the next writer has created another. A connection for a single read avoids this.
    """

    def __init__(self, url: str):
        self._url, self._path = url, sqlite_path(url)
        self._engines: dict[str, sqlalchemy.Engine] = {}

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later read opens them again."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()

    def read(self, query: Callable[[sqlalchemy.Engine], T]) -> T:
        """The result of `query`, which is run again when a writer interrupts it, so it must have no side effects.

        Raises InputError when there is no such file or it cannot be read, and whatever `query` raises.
        """
        if self._path is None:
            return query(self._engine("server"))
        for _ in range(ATTEMPTS):
            stamp = _stamp_at_rest(self._path)
            if stamp is None or not _in_wal_mode(self._path):
                return query(self._engine("mode=ro"))
            try:
                result = query(self._engine("mode=ro&immutable=1"))
            except Exception:
                if _stamp_at_rest(self._path) == stamp:
                    raise
                continue
            if _stamp_at_rest(self._path) == stamp:
                return result
        raise StorageBusy(f"the storage {self._path} changes all the time: try again in a few seconds.")

    def _engine(self, parameters: str) -> sqlalchemy.Engine:
        if parameters not in self._engines:
            self._engines[parameters] = _engine(self._url, self._path, parameters)
        return self._engines[parameters]


def file_status(path: Path) -> os.stat_result:
    """The status of an SQLite storage's file.

    Raises StorageMissing when there is none, StorageUnreadable when this user may not look, or it is no file.
    """
    try:
        about = path.stat()
    except FileNotFoundError:
        raise storage_missing(path) from None
    except NotADirectoryError:
        raise storage_unreadable(path, f"`{path.parent}` is not a folder") from None
    except OSError as error:
        raise storage_unreadable(path, error.strerror or type(error).__name__) from None
    if not stat.S_ISREG(about.st_mode):
        raise storage_unreadable(path, "it is a folder" if stat.S_ISDIR(about.st_mode) else "it is not a regular file")
    return about


def _engine(url: str, path: Path | None, parameters: str) -> sqlalchemy.Engine:
    if path is None:
        settings = f"-c default_transaction_read_only=on -c lock_timeout={1000 * PATIENCE:.0f}"
        address = address_of(url)
        return sqlalchemy.create_engine(
            address,
            connect_args=connection_args(address, settings),
            isolation_level="REPEATABLE READ",
            pool_pre_ping=True,
        )
    engine = sqlalchemy.create_engine(
        "sqlite://", creator=lambda: _connection(path, parameters), poolclass=sqlalchemy.NullPool
    )
    sqlalchemy.event.listen(engine, "begin", _begin)
    return engine


def _connection(path: Path, parameters: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?{parameters}", uri=True, timeout=PATIENCE)


def _begin(connection: sqlalchemy.Connection) -> None:
    """Python's sqlite3 begins no transaction for SELECT: without one, each statement could read a different state."""
    connection.exec_driver_sql("BEGIN")


def _stamp_at_rest(path: Path) -> Stamp | None:
    """A stamp that differs once a file in WAL mode was written; None while it has a WAL.

    A writer creates a WAL before it writes anything else, and writes the file before it deletes the WAL. So a read with
    equal stamps before and after has read a single state, although it took no lock. Reading without locks
    (`immutable=1`) is the only way that leaves no `-wal` and `-shm` file behind, and that works in a folder that the
    reader may not write. Raises the errors of `file_status`.
    """
    about = file_status(path)
    if 0 <= time.time() - about.st_mtime < CLOCK_TICK:
        time.sleep(CLOCK_TICK)
        about = file_status(path)
    if path.with_name(f"{path.name}-wal").exists():
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size


def _in_wal_mode(path: Path) -> bool:
    """Whether an SQLite file without a WAL is in WAL mode: SQLite refuses to open such a file without its locks.

    A file in another mode is read under SQLite's locks, which leaves no files behind. Raises StorageUnreadable when the
    file cannot be opened.
    """
    try:
        opened = _connection(path, "mode=ro&nolock=1")
    except sqlite3.Error as error:
        raise storage_unreadable(path, str(error)) from None
    with closing(opened) as connection:
        try:
            connection.execute("PRAGMA schema_version")
        except sqlite3.Error as error:
            return error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN
    return False
