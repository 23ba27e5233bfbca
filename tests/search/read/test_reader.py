"""The incremental reader: what it reads, what it remembers, and what it says of storages that it cannot read."""

import json
import math
import os
import random
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from fitnets.errors import InputError
from search.read.candidates import Candidate, Snapshot, objectives
from search.read.listing import counts, studies
from search.read.reader import Reader, read
from search.storage import readonly
from search.storage.faults import StorageBusy, StorageMissing
from tests.app import synthetic
from tests.search.read.test_pareto import brute

RNG = random.Random(7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies.db"


def test_reads_all_kinds_of_trials(path: Path) -> None:
    url = synthetic.study(path, 120)
    with Reader(url, "digits") as reader:
        found = reader.refresh()
    assert len(found.candidates) == 120
    assert found.teacher["val_accuracy"] == 0.9874
    assert {c.state for c in found.candidates} == {"complete", "infeasible", "failed"}
    done = next(c for c in found.candidates if c.state == "complete")
    assert done.started == synthetic.START + 2 * done.trial
    assert done.ended == synthetic.START + 2 * (done.trial + 1)
    assert done.reports == ()
    assert len(reader.reports(done.trial)) == 8
    failed = next(c for c in found.candidates if c.state == "failed")
    assert failed.reason is not None and failed.reason.startswith("Diverged")


def test_front_is_brute_force(path: Path) -> None:
    found = read(synthetic.study(path, 120), "digits")
    done = [c for c in found.candidates if c.state == "complete"]
    assert [c.trial for c in done if c.on_front] == [done[i].trial for i in brute([objectives(c) for c in done])]
    assert all(len(c.reports) == 8 for c in done)


def test_refresh_is_a_full_read_whatever_happened_between(path: Path) -> None:
    url = synthetic.empty(path)
    with Reader(url, "digits") as reader:
        assert reader.refresh().candidates == ()
        for number in range(6):
            synthetic.fill(path, [("RUNNING", synthetic.running(number, RNG))])
            assert reader.refresh().candidates[-1].state == "running"
            finish(path, number + 1, synthetic.trained(number, RNG))
            assert reader.refresh() == without_reports(url)


def without_reports(url: str) -> Snapshot:
    with Reader(url, "digits") as fresh:
        return fresh.refresh()


def finish(path: Path, trial_id: int, attrs: dict[str, object]) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM trial_user_attributes WHERE trial_id = ?", (trial_id,))
        rows = [(trial_id, key, json.dumps(value)) for key, value in attrs.items()]
        db.executemany("INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)", rows)
        ended = "2026-11-20 13:00:00"
        db.execute("UPDATE trials SET state = 'COMPLETE', datetime_complete = ? WHERE trial_id = ?", (ended, trial_id))
    db.close()


def test_nothing_new_is_the_same_object_and_version(path: Path) -> None:
    url = synthetic.study(path, 20)
    synthetic.fill(path, [("RUNNING", synthetic.running(20, RNG))])
    with Reader(url, "digits") as reader:
        first = reader.look()
        again = reader.look()
        assert again.snapshot is first.snapshot
        assert again == first
        synthetic.fill(path, [("COMPLETE", synthetic.trained(21, RNG))])
        new = reader.look()
        assert len(new.snapshot.candidates) == 22
        assert (new.version, new.reports_version) == (first.version + 1, first.reports_version)


def test_a_running_students_reports_grow(path: Path) -> None:
    url = synthetic.empty(path)
    attrs = synthetic.running(0, RNG)
    synthetic.fill(path, [("RUNNING", attrs)])
    with Reader(url, "digits") as reader:
        first = reader.look()
        assert len(first.snapshot.candidates[0].reports) == 2
        assert first.last_report is None
        with sqlite3.connect(path) as db:
            grown = json.dumps([*attrs["reports"], attrs["reports"][-1]])
            db.execute("UPDATE trial_user_attributes SET value_json = ? WHERE key = 'reports'", (grown,))
        db.close()
        second = reader.look()
        assert len(second.snapshot.candidates[0].reports) == 3
        assert (second.version, second.reports_version) == (first.version, first.reports_version + 1)
        assert second.last_report is not None and time.time() - second.last_report < 60
        assert second.snapshot == without_reports(url)
        synthetic.fill(path, [("RUNNING", synthetic.running(1, RNG))])
        assert reader.look().version == second.version + 1


def test_the_reader_sees_when_the_teacher_last_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = synthetic.empty(path, teacher={}, teaching={"epoch": 1})
    now = 100.0
    monkeypatch.setattr(time, "time", lambda: now)
    with Reader(url, "digits") as reader:
        assert reader.look().last_change == 100.0, "at first, when it was read"
        now = 200.0
        assert reader.look().last_change == 100.0
        with sqlite3.connect(path) as db:
            db.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'teaching'", ('{"epoch": 2}',))
        db.close()
        assert reader.look().last_change == 200.0
        now = 300.0
        synthetic.fill(path, [("RUNNING", synthetic.running(0, RNG))])
        assert reader.look().last_change == 200.0, "a trial is no change of the study itself"


def test_a_replaced_file_is_read_anew(path: Path, tmp_path: Path) -> None:
    url = synthetic.study(path, 10)
    other = tmp_path / "other.db"
    synthetic.study(other, 3, seed=5)
    with Reader(url, "digits") as reader:
        assert len(reader.refresh().candidates) == 10
        other.replace(path)
        assert len(reader.refresh().candidates) == 3


def test_a_deleted_file_says_so_and_may_come_back(path: Path, tmp_path: Path) -> None:
    url = synthetic.study(path, 3)
    with Reader(url, "digits") as reader:
        reader.refresh()
        kept = tmp_path / "kept.db"
        path.rename(kept)
        with pytest.raises(StorageMissing, match="there is no study storage"):
            reader.refresh()
        shutil.copy(kept, path)
        assert len(reader.refresh().candidates) == 3


def test_reading_creates_no_file(path: Path) -> None:
    url = synthetic.study(path, 3)
    before = sorted(path.parent.iterdir())
    with Reader(url, "digits") as reader:
        reader.refresh()
        assert studies(url) == ["digits"]
        assert sum(counts(url, "digits").values()) == 3
        assert sorted(path.parent.iterdir()) == before
    assert sorted(path.parent.iterdir()) == before


def test_a_missing_storage_is_not_created(path: Path) -> None:
    for ask in (studies, lambda url: read(url, "digits"), lambda url: counts(url, "digits")):
        with pytest.raises(InputError, match="run a study first"):
            ask(f"sqlite:///{path}")
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "words"), [(b"not a database at all" * 99, "not a study storage"), (b"", "no stud")]
)
def test_a_file_that_is_no_storage(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read(f"sqlite:///{path}", "digits")
    assert path.read_bytes() == content


def test_an_unknown_study_names_those_there_are(path: Path) -> None:
    with pytest.raises(InputError, match="it has digits"):
        read(synthetic.empty(path), "mnist")


def test_a_locked_storage_is_busy_not_broken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readonly, "PATIENCE", 0.1)
    url = synthetic.study(path, 3)
    with Reader(url, "digits") as reader:
        first = reader.refresh()
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("DELETE FROM trial_heartbeats")
        with pytest.raises(StorageBusy, match="locked by another program"):
            reader.refresh()
        writer.execute("ROLLBACK")
        writer.close()
        assert reader.refresh() == first


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_read(path: Path) -> None:
    url = synthetic.study(path, 3)
    path.parent.chmod(0o500)
    try:
        assert len(read(url, "digits").candidates) == 3
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"outcome": None}, "no outcome"),
        ({"outcome": {"val_accuracy": 0.5}}, "cannot be read"),
        ({"val": math.nan}, "finite number"),
        ({"val": 3.0}, "not a number from 0 to 1"),
    ],
    ids=["none", "old", "nan", "impossible"],
)
def test_a_finished_trial_without_a_usable_outcome(path: Path, changes: dict[str, object], reason: str) -> None:
    attrs = synthetic.trained(0, RNG)
    if "val" in changes:
        attrs["outcome"]["val_accuracy"] = changes["val"]
    elif changes["outcome"] is None:
        del attrs["outcome"]
    else:
        attrs["outcome"] = changes["outcome"]
    url = synthetic.empty(path)
    synthetic.fill(path, [("COMPLETE", attrs), ("COMPLETE", synthetic.trained(1, RNG))])
    odd, fine = read(url, "digits").candidates
    assert odd.outcome is None and not odd.on_front
    assert odd.reason is not None and reason in odd.reason
    assert fine.on_front


def test_old_and_foreign_trials_are_left_out_with_a_reason(path: Path) -> None:
    url = synthetic.empty(path)
    new = synthetic.trained(0, RNG)
    new["recipe"] = new["recipe"] | {"from_the_future": 1}
    dead = {"reason": "the driver died before the trial was dispatched"}
    bare = synthetic.trained(3, RNG)
    for name in ("cost", "started", "reports", "digest"):
        del bare[name]
    synthetic.fill(path, [("COMPLETE", new), ("FAIL", dead), ("COMPLETE", {}), ("COMPLETE", bare), ("WAITING", {})])
    found = read(url, "digits")
    assert [u.trial for u in found.unread] == [0, 1, 2, 4]
    assert "from_the_future" in found.unread[0].reason
    assert found.unread[1].reason == dead["reason"]
    assert [c.trial for c in found.candidates] == [3]
    assert found.candidates[0].cost.params > 0


@pytest.mark.slow
def test_five_thousand_trials_are_read_fast(tmp_path: Path) -> None:
    path = tmp_path / "many.db"
    url = synthetic.study(path, 5000)
    with Reader(url, "digits") as reader:
        reader.refresh()
        began = time.process_time()
        for _ in range(20):
            reader.refresh()
        assert (time.process_time() - began) / 20 < 0.03
        synthetic.fill(path, [("COMPLETE", synthetic.trained(5000, RNG))])
        began = time.process_time()
        found = reader.refresh()
        assert time.process_time() - began < 0.5
    assert isinstance(found.candidates[-1], Candidate)
    assert found.candidates[-1].trial == 5000
