"""search/read/queries.py: Optuna's public API reads what SQL on its tables does."""

import random
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from fitnets.errors import InputError
from search.driver.loop import DIRECTIONS
from search.read.candidates import SUFFIX
from search.read.listing import counts, studies
from search.read.reader import Reader, read
from search.read.stored import optuna_api, tables
from search.read.stored.queries import KNOWN_SCHEMAS
from search.storage.readonly import ReadOnlyStorage
from search.storage.writer import open_storage
from tests.app import synthetic
from tests.search.storage.test_storage import add, ledger

STUDY = "tiny"
FORGED = "UPDATE alembic_version SET version_num = 'v9.0.0.a'"
OTHER_COLUMN = "ALTER TABLE trial_user_attributes RENAME COLUMN value_json TO json_value"


def written(url: str) -> None:
    """A study of trials in every state, as the driver writes them, and a second study."""
    rng = random.Random(3)
    with ledger(url) as kept:
        for number, state in enumerate((TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE)):
            add(kept, **synthetic.trained(number, rng), log="the last words \u2713\n")
            kept.tell(number, state, [0.5, 3.0, 4.0] if state == TrialState.COMPLETE else None)
        add(kept, state=TrialState.PRUNED, **synthetic.running(3, rng), infeasible=True)
        add(kept, **synthetic.running(4, rng))
        optuna.load_study(study_name=STUDY, storage=kept.storage).set_user_attr("study", {"trials": 9})
        optuna.create_study(study_name="other", storage=kept.storage, directions=DIRECTIONS)


def forge(url: str) -> None:
    """Pretend that a later Optuna has made the tables."""
    storage = open_storage(url)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql(FORGED)
    storage.engine.dispose()


@pytest.fixture
def unused_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL on the tables is not used."""

    def refuse(*_: Any) -> None:
        raise AssertionError("SQL on tables that are not known")

    for name in ("study_names", "state_counts", "study_rows", "trial_attribute", "trials_attribute"):
        monkeypatch.setattr(tables, name, refuse)


def everything(url: str) -> list[Any]:
    """All that the pages ask a storage."""
    with Reader(url, STUDY) as reader:
        first = reader.look()
        assert reader.look() == first
        trials = [(reader.reports(number), reader.classes(number), reader.log(number)) for number in range(6)]
        right = reader.right(range(6))
        assert sorted(right) == [0, 1, 2]
    return [read(url, STUDY), first.snapshot, trials, right, studies(url), counts(url, STUDY), counts(url, "none")]


def test_the_installed_optuna_makes_tables_that_are_known(url: str) -> None:
    """Else every page would be slow: read the new tables' definition, then add its version to KNOWN_SCHEMAS."""
    open_storage(url).engine.dispose()
    with ReadOnlyStorage(url) as storage, storage.read(lambda engine: engine).connect() as connection:
        assert tables.schema_version(connection) in KNOWN_SCHEMAS


def test_another_version_of_the_tables_is_read_through_optuna(url: str, request: pytest.FixtureRequest) -> None:
    written(url)
    direct = everything(url)
    assert [c.state for c in direct[0].candidates] == ["complete", "failed", "complete", "infeasible", "running"]
    forge(url)
    request.getfixturevalue("unused_sql")
    assert everything(url) == direct
    with pytest.raises(InputError, match="has no study `digits`: it has tiny, other"):
        read(url, "digits")


def test_the_study_of_fresh_runs_is_seen_by_sql_and_through_optuna(url: str, request: pytest.FixtureRequest) -> None:
    written(url)
    with Reader(url, STUDY) as reader:
        assert not reader.look().has_fresh_runs
        storage = open_storage(url)
        optuna.create_study(study_name=STUDY + SUFFIX, storage=storage)
        storage.engine.dispose()
        assert reader.look().has_fresh_runs
        forge(url)
        request.getfixturevalue("unused_sql")
        assert reader.look().has_fresh_runs


@pytest.mark.usefixtures("unused_sql")
def test_reading_through_optuna_changes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    url = synthetic.study(path, 20)
    with sqlite3.connect(path) as db:
        db.execute(FORGED)
    db.close()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert len(read(url, "digits").candidates) == 20
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_only_what_is_new_is_taken_through_optuna(url: str) -> None:
    written(url)
    with ReadOnlyStorage(url) as storage:
        whole = storage.read(lambda engine: _rows(engine, tables.Position()))
        rest = storage.read(lambda engine: _rows(engine, tables.Position(whole.study_id, 2, (1,))))
        other = storage.read(lambda engine: _rows(engine, tables.Position(whole.study_id + 1, 2, (1,))))
    assert [row.number for row in whole.trials] == [0, 1, 2, 3, 4]
    assert [row.number for row in rest.trials] == [1, 3, 4]
    assert other == whole


def _rows(engine: sqlalchemy.Engine, position: tables.Position) -> tables.StudyRows:
    with optuna_api.opened(engine) as storage:
        found = optuna_api.study_rows(storage, STUDY, position, all_reports=False)
    assert found is not None
    return found


def test_tables_with_another_column_are_not_half_read(tmp_path: Path) -> None:
    """A known version, but not its tables: Optuna cannot read them either, and the error names the storage."""
    path = tmp_path / "studies.db"
    url = synthetic.study(path, 3)
    with sqlite3.connect(path) as db:
        db.execute(OTHER_COLUMN)
    db.close()
    with pytest.raises(InputError, match=r"studies\.db cannot be read \(no such column"):
        read(url, "digits")
