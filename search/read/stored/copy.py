"""A copy of a storage as an SQLite file, for programs that write, or that read more than a search should bear."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy

from search.read.stored import optuna_api
from search.storage.address import sqlite_path
from search.storage.faults import reading
from search.storage.readonly import ReadOnlyStorage


def copy(url: str, target: Path) -> None:
    """Copy every study of a storage into the file `target`, which may be open elsewhere; the storage is only read.

    SQLite copies its pages, which holds up no writer; a server's studies are copied by Optuna. Raises InputError where
    the storage cannot be read.
    """
    with reading(url), ReadOnlyStorage(url) as storage:
        if sqlite_path(url) is not None:
            storage.read(lambda engine: _copy_pages(engine, target))
        else:
            fresh = target.with_name(f"{target.name}.new")
            storage.read(lambda engine: _copy_studies(engine, fresh))
            with closing(sqlite3.connect(fresh)) as whole, closing(sqlite3.connect(target)) as copied:
                whole.backup(copied)
            fresh.unlink()


def _copy_pages(engine: sqlalchemy.Engine, target: Path) -> None:
    with closing(engine.raw_connection()) as connection, closing(sqlite3.connect(target)) as copied:
        source: Any = connection.driver_connection
        source.backup(copied)


def _copy_studies(engine: sqlalchemy.Engine, target: Path) -> None:
    """Runs again from the start where it was interrupted: the file is new each time."""
    import optuna

    target.unlink(missing_ok=True)
    with optuna_api.opened(engine) as source:
        for name in optuna_api.study_names(source):
            optuna.copy_study(from_study_name=name, from_storage=source, to_storage=f"sqlite:///{target}")
