"""Queries to a storage: by SQL where Optuna's table schema is a known one, else through Optuna's public API."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from search.read.stored import optuna_api, tables
from search.read.stored.tables import Position, StudyRows

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

KNOWN_SCHEMAS = ("v3.2.0.a",)
"""Versions of Optuna's tables (`alembic_version`) that `search.read.stored.tables` is written for: Optuna 3.2 to 5."""

OTHER_TABLES = re.compile(r"no such (table|column)|(relation|column) .* does not exist")

T = TypeVar("T")


def study_names(engine: sqlalchemy.Engine) -> list[str]:
    """The names of the studies, the newest last."""
    return _run(engine, tables.study_names, optuna_api.study_names)


def state_counts(engine: sqlalchemy.Engine, name: str) -> dict[str, int]:
    """How many trials are in each of Optuna's states; empty where there is no such study."""
    return _run(
        engine,
        lambda connection: tables.state_counts(connection, name),
        lambda storage: optuna_api.state_counts(storage, name),
    )


def study_rows(engine: sqlalchemy.Engine, name: str, position: Position, all_reports: bool) -> StudyRows | None:
    """What is new of a study since `position`; None where there is no such study.

    The reports of finished trials are left out without `all_reports`.
    """
    return _run(
        engine,
        lambda connection: tables.study_rows(connection, name, position, all_reports),
        lambda storage: optuna_api.study_rows(storage, name, position, all_reports),
    )


def trial_attribute(engine: sqlalchemy.Engine, name: str, trial: int, key: str) -> str | None:
    """One attribute of one trial as JSON; None where there is none."""
    return _run(
        engine,
        lambda connection: tables.trial_attribute(connection, name, trial, key),
        lambda storage: optuna_api.trial_attribute(storage, name, trial, key),
    )


def trials_attribute(engine: sqlalchemy.Engine, name: str, trials: Sequence[int], key: str) -> dict[int, str]:
    """One attribute of these trials as JSON, by their numbers, of those that have it."""
    return _run(
        engine,
        lambda connection: tables.trials_attribute(connection, name, trials, key),
        lambda storage: optuna_api.trials_attribute(storage, name, trials, key),
    )


def _run(
    engine: sqlalchemy.Engine,
    by_sql: Callable[[sqlalchemy.Connection], T],
    by_optuna: Callable[["BaseStorage"], T],
) -> T:
    try:
        with engine.connect() as connection:
            if tables.schema_version(connection) in KNOWN_SCHEMAS:
                return by_sql(connection)
    except SQLAlchemyError as error:
        if not OTHER_TABLES.search(str(error)):
            raise
    with optuna_api.opened(engine) as storage:
        return by_optuna(storage)
