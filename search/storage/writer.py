"""Opening a study storage for writing. A missing one is created, by one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage

from fitnets.errors import InputError
from search.storage.address import address_of, connection_args, shown, sqlite_path
from search.storage.faults import reason_of
from search.storage.file_lock import file_locked

PATIENCE = 60.0  # seconds that a writer waits for a storage that another program has locked
CREATION_LOCK = 0x6669746E6574  # the advisory lock of PostgreSQL under which tables are created: "fitnet"


def open_storage(url: str) -> RDBStorage:
    """Open a study storage for writing, and create it where it is missing.

    SQLite runs in WAL mode, so that pages may read while the search writes. Raises InputError when it cannot be opened.
    """
    address, path = address_of(url), sqlite_path(url)
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"`{path.parent}` cannot be made ({error.strerror}): choose another folder with --runs."
            ) from error
    options: dict[str, Any] = {"connect_args": {"timeout": PATIENCE}}
    if path is None:
        settings = f"-c lock_timeout={1000 * PATIENCE:.0f}"
        options = {"connect_args": connection_args(address, settings), "pool_size": 1, "max_overflow": 1}
    try:
        with _creating(address, path, options["connect_args"]):
            storage = RDBStorage(address.render_as_string(hide_password=False), engine_kwargs=options)
            if path is not None:
                sqlalchemy.event.listen(storage.engine, "connect", _write_ahead)
                storage.engine.dispose()
                _check_write_ahead(storage.engine, path)
    except InputError:
        raise
    except Exception as error:  # SQLAlchemy, the database driver and Optuna each raise their own classes
        kind = type(getattr(error, "orig", None) or error).__name__
        remedy = "see that the server runs, and --storage" if path is None else "choose another folder with --runs"
        raise InputError(
            f"the storage {shown(url)} cannot be opened ({kind}: {reason_of(error, url)}): {remedy}."
        ) from None
    return storage


@contextmanager
def _creating(address: sqlalchemy.URL, path: Path | None, connect_args: dict[str, Any]) -> Iterator[None]:
    """Optuna creates its tables in several transactions, and fails when two processes do so at once: one at a time."""
    if path is not None:
        remedy = "choose another folder with --runs, or correct its rights"
        with file_locked(path.with_name(f"{path.name}.lock"), PATIENCE, remedy):
            yield
        return
    engine = sqlalchemy.create_engine(address, connect_args=connect_args, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:  # the lock ends with this connection
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": CREATION_LOCK})
        yield


def _write_ahead(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _check_write_ahead(engine: sqlalchemy.Engine, path: Path) -> None:
    """Raises InputError unless the file is in WAL mode: SQLite itself only answers with the mode that it has."""
    with engine.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    if mode != "wal":
        raise InputError(
            f"SQLite cannot write ahead in `{path.parent}` (its journal mode stays `{mode}`), as on a network's file "
            "system: choose a local folder with --runs, or a PostgreSQL server with --storage."
        )
