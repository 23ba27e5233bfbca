"""A study read from Optuna's own tables, by SQL: only what is new since the last read. No torch."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy

from search.read.candidates import SUFFIX

LARGE = ("classes", "right", "log")
"""Attributes that are read only for the trials that a page shows or compares."""


class Position(NamedTuple):
    """How far a study was read: finished trials do not change, so they are read once."""

    study_id: int | None = None
    """A different id means that another study has taken the same name."""
    last: int = -1
    """The highest trial number."""
    unfinished: tuple[int, ...] = ()
    """The numbers of the trials that had not finished, which are read again."""


class TrialRow(NamedTuple):
    """One trial as it is stored."""

    number: int
    state: str
    started: Any
    """UTC, as datetime or as its ISO text; None before the trial started."""
    ended: Any
    attributes: dict[str, str]
    """JSON by name."""


class StudyRows(NamedTuple):
    """What is new of a study."""

    study_id: int
    attributes: dict[str, str]
    """JSON by name."""
    trials: list[TrialRow]
    """New and unfinished ones, by number."""
    has_fresh_runs: bool = False
    """Whether the storage has a study of the name of its fresh runs."""


def schema_version(connection: sqlalchemy.Connection) -> str | None:
    """Which version of Optuna's tables the storage has."""
    version = connection.execute(_VERSION).scalar()
    return None if version is None else str(version)


def study_names(connection: sqlalchemy.Connection) -> list[str]:
    """The names of the studies, the newest last."""
    return [str(row[0]) for row in connection.execute(_NAMES)]


def state_counts(connection: sqlalchemy.Connection, name: str) -> dict[str, int]:
    """How many trials are in each of Optuna's states."""
    return {str(state): int(count) for state, count in connection.execute(_COUNTS, {"name": name})}


def study_rows(connection: sqlalchemy.Connection, name: str, position: Position, all_reports: bool) -> StudyRows | None:
    """What is new of a study since `position`; None where there is no such study.

    The reports of finished trials are left out without `all_reports`.
    """
    known = {row[0]: row[1] for row in connection.execute(_STUDY, {"name": name, "fresh": name + SUFFIX})}
    study_id = known.get(name)
    if study_id is None:
        return None
    if study_id != position.study_id:
        position = Position(study_id)
    about = {str(key): str(text) for key, text in connection.execute(_STUDY_ATTRS, {"id": study_id})}
    wanted = {"id": study_id, "last": position.last, "unfinished": list(position.unfinished)}
    trials = connection.execute(_TRIALS, wanted).all()
    attributes: dict[int, dict[str, str]] = defaultdict(dict)
    for number, key, text in connection.execute(_ALL_ATTRS if all_reports else _ATTRS, wanted) if trials else ():
        attributes[number][key] = text
    rows = [TrialRow(row[0], row[1], row[2], row[3], attributes.get(row[0], {})) for row in trials]
    return StudyRows(int(study_id), about, rows, name + SUFFIX in known)


def trial_attribute(connection: sqlalchemy.Connection, name: str, trial: int, key: str) -> str | None:
    """One attribute of one trial as JSON; None where there is none."""
    text = connection.execute(_ATTRIBUTE, {"name": name, "number": trial, "key": key}).scalar()
    return None if text is None else str(text)


def trials_attribute(connection: sqlalchemy.Connection, name: str, trials: Sequence[int], key: str) -> dict[int, str]:
    """One attribute of these trials as JSON, by their numbers, of those that have it."""
    found = connection.execute(_ATTRIBUTE_OF, {"name": name, "numbers": list(trials), "key": key})
    return {int(number): str(text) for number, text in found}


_VERSION = sqlalchemy.text("SELECT version_num FROM alembic_version")
_NAMES = sqlalchemy.text("SELECT study_name FROM studies ORDER BY study_id")
_COUNTS = sqlalchemy.text(
    "SELECT t.state, COUNT(*) FROM trials t JOIN studies s ON s.study_id = t.study_id "
    "WHERE s.study_name = :name GROUP BY t.state"
)
_STUDY = sqlalchemy.text("SELECT study_name, study_id FROM studies WHERE study_name IN (:name, :fresh)")
_STUDY_ATTRS = sqlalchemy.text("SELECT key, value_json FROM study_user_attributes WHERE study_id = :id")
_NEW = "t.study_id = :id AND (t.number > :last OR t.number IN :unfinished)"
_UNFINISHED: sqlalchemy.BindParameter[int] = sqlalchemy.bindparam("unfinished", expanding=True)
_TRIALS = sqlalchemy.text(
    f"SELECT t.number, t.state, t.datetime_start, t.datetime_complete FROM trials t WHERE {_NEW} ORDER BY t.number"
).bindparams(_UNFINISHED)
_JOINED = "FROM trial_user_attributes a JOIN trials t ON t.trial_id = a.trial_id"
_READ = f"SELECT t.number, a.key, a.value_json {_JOINED} WHERE {_NEW} AND a.key NOT IN {LARGE}"
_ALL_ATTRS = sqlalchemy.text(_READ).bindparams(_UNFINISHED)
_ATTRS = sqlalchemy.text(f"{_READ} AND (a.key <> 'reports' OR t.state = 'RUNNING')").bindparams(_UNFINISHED)
_ATTRIBUTE = sqlalchemy.text(
    f"SELECT a.value_json {_JOINED} JOIN studies s ON s.study_id = t.study_id "
    "WHERE s.study_name = :name AND t.number = :number AND a.key = :key"
)
_ATTRIBUTE_OF = sqlalchemy.text(
    f"SELECT t.number, a.value_json {_JOINED} JOIN studies s ON s.study_id = t.study_id "
    "WHERE s.study_name = :name AND t.number IN :numbers AND a.key = :key"
).bindparams(sqlalchemy.bindparam("numbers", expanding=True))
