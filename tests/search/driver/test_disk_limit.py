"""A limit on the store: what goes first, what never goes, and that no number of a search changes."""

import json
import os
import shutil
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from pydantic import ValidationError
from typer.testing import Result

from fitnets.disk.eviction import STALE_SECONDS, TEMPORARY, entries, evict
from fitnets.disk.store import MANIFEST, Store
from fitnets.distill.run import distill
from fitnets.errors import InputError
from fitnets.images.images import Images
from fitnets.teacher.hints import SAMPLE_SIZE
from fitnets.teacher.teacher import Teacher
from fitnets.values import table_sizes
from search import cli
from search.driver import disk_limit
from search.driver.forecast import hint_work
from search.driver.ledger import Ledger
from search.read.reader import read
from search.storage.address import storage_url
from search.units import parse_bytes
from tests.commands import Crew, invoke
from tests.helpers import DIGITS, RECIPE, STUDY, TEACHER

KINDS = ["prefix", "logits", "hints", "images", "checkpoint", "teacher", "student"]


def filled(root: Path) -> Store:
    """Two entries of each kind, `old` and `new`; the later kinds are the older ones."""
    store = Store(root)
    for age, kind in enumerate(KINDS):
        for later, name in enumerate(("old", "new")):
            folder = store.put(kind, name, {"a": bytes(1000)})
            os.utime(folder / MANIFEST, (1000 - 10 * age + later,) * 2)
    return store


def left(store: Store) -> list[str]:
    """What the store holds."""
    return sorted(f"{kind}/{name}" for kind in KINDS for name in store.names(kind))


def test_caches_go_in_order_the_least_recently_used_first(tmp_path: Path) -> None:
    store = filled(tmp_path)
    gone: list[str] = []
    before = left(store)
    while (taken := sum(entry.size for entry in entries(store))) > evict(store, taken - 1):
        gone += sorted(set(before) - set(left(store)))
        before = left(store)
    assert gone == [
        "prefix/old", "prefix/new", "hints/old", "hints/new", "logits/old", "logits/new", "images/old", "images/new",
    ]  # fmt: skip
    assert before == sorted(f"{kind}/{name}" for kind in KINDS[4:] for name in ("old", "new"))


def test_students_go_last_and_only_those_that_are_named(tmp_path: Path) -> None:
    store = filled(tmp_path)
    asked: list[bool] = []

    def last() -> list[str]:
        asked.append(True)
        return ["unknown", "new"]

    whole = sum(entry.size for entry in entries(store))
    assert evict(store, whole, last) == whole
    assert evict(store, whole // 2 + 2000, last) <= whole // 2 + 2000
    assert asked == [], "nobody works out the front while caches are enough"
    taken = evict(store, 0, last)
    assert left(store) == ["checkpoint/new", "checkpoint/old", "student/old", "teacher/new", "teacher/old"]
    assert taken == sum(entry.size for entry in entries(store))


def test_what_is_read_is_used_and_not_changed(tmp_path: Path) -> None:
    store = filled(tmp_path)
    made = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    for kind in KINDS:
        assert store.get(kind, "old") is not None
    now = time.time()
    used = {f"{entry.kind}/{entry.name}" for entry in entries(store) if now - entry.used < 60}
    assert used >= {"logits/old", "hints/old", "images/old"}
    assert not any(name.endswith("/new") for name in used)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == made


def test_what_a_dead_writer_left_goes_first_and_what_is_being_written_stays(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for name, age in ((".making-dead", 2 * STALE_SECONDS), (".making-live", 0.0)):
        folder = tmp_path / "hints" / name
        (folder / "d").mkdir(parents=True)
        (folder / "d" / "a").write_bytes(bytes(5000))
        os.utime(folder, (time.time() - age,) * 2)
    whole = sum(entry.size for entry in entries(store))
    before = left(store)
    assert evict(store, whole - 5000) == whole - 5000
    assert left(store) == before
    assert [path.name for path in (tmp_path / "hints").glob(".making*")] == [".making-live"]


def test_an_absent_store_takes_nothing(tmp_path: Path) -> None:
    assert evict(Store(tmp_path / "absent"), 0) == 0


# in a search


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`search.run` over inline workers, which looks at its disk whenever it can."""
    monkeypatch.setattr(disk_limit, "CHECK_SECONDS", 0.0)
    monkeypatch.setitem(sys.modules, "search.workers.crew", types.SimpleNamespace(RayWorkers=Crew))
    return lambda *words: invoke("run", *words)


def rows(file: Path, runs: Path) -> list[dict[str, Any]]:
    """What `search.results` tells of every trial, less the times."""
    result = invoke("results", file, "--runs", runs, "--format", "json")
    return [{name: value for name, value in row.items() if name != "seconds"} for row in json.loads(result.stdout)]


def test_a_limit_is_kept_and_changes_no_number(
    tmp_path: Path, run: Callable[..., Result], finished: tuple[Path, Path]
) -> None:
    file, runs = finished[0], tmp_path / "runs"
    stays = sum(entry.size for entry in entries(Store(finished[1] / "store")) if entry.kind in ("teacher", "student"))
    limit = int(stays / disk_limit.SLACK) + 100
    result = run(file, "--runs", runs, "--max-disk", f"{limit}B")
    assert result.exit_code == cli.OK, result.output
    assert rows(file, runs) == rows(*finished)
    assert sum(entry.size for entry in entries(Store(runs / "store")) if entry.kind not in TEMPORARY) <= limit
    assert len(Store(runs / "store").names("teacher")) == 1
    front = {c.outcome.weights_sha256 for c in read(storage_url(runs, None), "tiny").front() if c.outcome is not None}
    assert front and set(Store(runs / "store").names("student")) >= front


def test_a_store_within_its_limit_loses_nothing(tmp_path: Path, finished: tuple[Path, Path]) -> None:
    """Also where more than the slack is taken."""
    runs = tmp_path / "runs"
    shutil.copytree(finished[1], runs)
    store = Store(runs / "store")
    before, taken = left(store), sum(entry.size for entry in entries(store))
    study = optuna.load_study(study_name="tiny", storage=storage_url(runs, None))
    disk_limit.DiskLimit(store, int(taken / 0.95), Ledger(study, study._storage)).enforce(now=True)
    assert left(store) == before


def test_a_limit_below_what_must_stay_stops_with_one_line_and_a_larger_one_continues(
    tmp_path: Path, run: Callable[..., Result], finished: tuple[Path, Path]
) -> None:
    file, runs = finished[0], tmp_path / "runs"
    result = run(file, "--runs", runs, "--max-disk", "100B")
    assert result.exit_code == cli.FAILED
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"stopped: `{runs}/store` takes ") and line.endswith(
        "with a larger `search.run --max-disk`."
    )
    assert run(file, "--runs", runs, "--max-disk", "1GB").exit_code == cli.OK
    assert rows(file, runs) == rows(*finished)


@pytest.mark.parametrize("text", ["", "20", "20 apples", "-1GB", "0", "GB", "nan", "1e999GB"])
def test_other_sizes_are_refused_with_the_accepted_forms(text: str) -> None:
    if text == "20":
        assert parse_bytes(text, "--max-disk") == 20
        return
    with pytest.raises(InputError, match=r"--max-disk` is .*20GB, 500MB or 1\.5GiB"):
        parse_bytes(text, "--max-disk")


def test_sizes() -> None:
    assert [parse_bytes(text, "-") for text in (None, "20GB", "1.5GiB", "500MB")] == [None, 2e10, 1.5 * 2**30, 5e8]
    assert STUDY.changed(max_disk="2GB").model_dump(mode="json")["max_disk"] == 2 * 10**9
    with pytest.raises(ValidationError, match="max_disk"):
        STUDY.changed(max_disk=0)


# the forecast


def test_the_forecast_counts_the_bytes_that_tables_take(digits: Images, teacher: Teacher, tmp_path: Path) -> None:
    store, number = Store(tmp_path), len(digits.train)
    for _ in distill(RECIPE, digits, teacher, store):
        pass

    def on_disk(kind: str) -> int:
        found = [store.get(kind, name) or {} for name in store.names(kind)]
        return sum(len(files["rows.npy"]) - 128 for files in found)  # less the heads

    maps = 16 * 4 * 4 + 24 * 2 * 2 + 32  # every hint layer's
    still = 2 * (min(number, SAMPLE_SIZE) + len(digits.val)) * maps  # without views: targets' scale, and R2
    assert (
        hint_work([RECIPE, RECIPE], number, TEACHER.net, DIGITS).table_bytes
        == on_disk("hints") - still
        == 2 * 2 * number * maps
    )
    assert RECIPE.stage2.epochs * table_sizes.logit_table_bytes(number, 10) == on_disk("logits")
    assert hint_work([RECIPE], number, None, DIGITS).table_bytes == 0


def test_notes_before_a_search_that_will_not_fit(tmp_path: Path) -> None:
    assert disk_limit.notes(tmp_path / "runs", 1000, 500, None) == []
    assert disk_limit.notes(tmp_path / "runs", 1000, 500, 600) == []
    (tables,) = disk_limit.notes(tmp_path / "runs", 1000, 500, 400)
    assert "do not fit into 400 bytes" in tables
    (full,) = disk_limit.notes(tmp_path / "runs", 10**18, 500, None)
    assert f"free in `{tmp_path}`" in full and "--max-disk" in full
    assert disk_limit.notes(tmp_path / "runs", 10**18, 500, 600) == []
