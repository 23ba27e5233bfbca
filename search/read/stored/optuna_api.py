"""The queries of `search.read.stored.tables` through Optuna's public API: slower, for other table schemas.

Optuna is imported only when a storage is opened: the pages seldom need it, and importing it takes a second.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy

from search.read.candidates import SUFFIX
from search.read.stored.tables import LARGE, Position, StudyRows, TrialRow

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


@contextmanager
def opened(engine: sqlalchemy.Engine) -> Iterator["BaseStorage"]:
    """Optuna's storage over the connections of a read-only engine. It neither creates nor upgrades tables."""
    from optuna.storages import RDBStorage

    storage = RDBStorage(
        engine.url.render_as_string(hide_password=False),
        engine_kwargs={"pool": engine.pool},
        skip_compatibility_check=True,
        skip_table_creation=True,
    )
    try:
        yield storage
    finally:
        storage.remove_session()


def study_names(storage: "BaseStorage") -> list[str]:
    """The names of the studies, the newest last."""
    return [study.study_name for study in storage.get_all_studies()]


def state_counts(storage: "BaseStorage", name: str) -> dict[str, int]:
    """How many trials are in each of Optuna's states."""
    study_id = _study_id(storage, name)
    trials = [] if study_id is None else storage.get_all_trials(study_id, deepcopy=False)
    return dict(Counter(trial.state.name for trial in trials))


def study_rows(storage: "BaseStorage", name: str, position: Position, all_reports: bool) -> StudyRows | None:
    """What is new of a study since `position`; None where there is no such study."""
    study_id = _study_id(storage, name)
    if study_id is None:
        return None
    if study_id != position.study_id:
        position = Position(study_id)
    rows = [
        TrialRow(
            number=trial.number,
            state=trial.state.name,
            started=trial.datetime_start,
            ended=trial.datetime_complete,
            attributes=_as_json(
                {
                    key: value
                    for key, value in trial.user_attrs.items()
                    if key not in LARGE and (key != "reports" or all_reports or trial.state.name == "RUNNING")
                }
            ),
        )
        for trial in storage.get_all_trials(study_id, deepcopy=False)
        if trial.number > position.last or trial.number in position.unfinished
    ]
    has_fresh_runs = _study_id(storage, name + SUFFIX) is not None
    return StudyRows(study_id, _as_json(storage.get_study_user_attrs(study_id)), rows, has_fresh_runs)


def trial_attribute(storage: "BaseStorage", name: str, trial: int, key: str) -> str | None:
    """One attribute of one trial as JSON; None where there is none."""
    study_id = _study_id(storage, name)
    if study_id is None:
        return None
    try:
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial)
    except KeyError:
        return None
    return _as_json(storage.get_trial(trial_id).user_attrs).get(key)


def trials_attribute(storage: "BaseStorage", name: str, trials: Sequence[int], key: str) -> dict[int, str]:
    """One attribute of these trials as JSON, by their numbers, of those that have it."""
    found = {number: trial_attribute(storage, name, number, key) for number in trials}
    return {number: text for number, text in found.items() if text is not None}


def _study_id(storage: "BaseStorage", name: str) -> int | None:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None


def _as_json(attributes: dict[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in attributes.items()}
