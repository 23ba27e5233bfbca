"""Measured latencies: the file beside the studies, the students that it tells of, and the command that measures."""

import json
import random
import shutil
from pathlib import Path

import pytest

from fitnets.config import Cost
from search import cli
from search.read import tradeoffs
from search.read.budget import Budget
from search.read.candidates import Candidate, Snapshot, Timing
from search.read.reader import read
from search.ship import latencies
from search.storage.address import storage_url
from search.storage.lock import driving
from tests.app import synthetic
from tests.commands import invoke
from tests.helpers import STUDY

TIMING = Timing(p50_ms=0.5, p90_ms=0.75, threads=1, device="this machine", date="2026-11-20T10:00:00", load=0.1)


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    url = synthetic.empty(tmp_path / "studies.db")
    rng = random.Random(0)
    synthetic.fill(tmp_path / "studies.db", [("COMPLETE", synthetic.trained(i, rng)) for i in range(6)])
    return read(url, "digits")


def test_the_newest_timing_of_each_student_is_attached_to_it(tmp_path: Path, snapshot: Snapshot) -> None:
    first, second, *_ = snapshot.candidates
    assert latencies.attached(snapshot, latencies.stored(tmp_path, "digits")) is snapshot
    for candidate, milliseconds in ((first, 3.0), (second, 2.0), (first, 1.0)):
        latencies.add(tmp_path, "digits", candidate, TIMING.changed(p50_ms=milliseconds))
    latencies.add(tmp_path, "other", first, TIMING.changed(p50_ms=9.0))
    found = latencies.attached(snapshot, latencies.stored(tmp_path, "digits")).candidates
    assert [c.timing.p50_ms if c.timing else None for c in found] == [1.0, 2.0, None, None, None, None]
    assert [c.model_copy(update={"timing": None}) for c in found] == list(snapshot.candidates)


def test_timings_of_two_machines_are_never_mixed(tmp_path: Path, snapshot: Snapshot) -> None:
    first, second, *_ = snapshot.candidates
    latencies.add(tmp_path, "digits", first, TIMING)
    latencies.add(tmp_path, "digits", second, TIMING.changed(device="another"))
    assert {t.device for t in latencies.stored(tmp_path, "digits").values()} == {"another"}
    latencies.add(tmp_path, "digits", first, TIMING)
    assert set(latencies.stored(tmp_path, "digits")) == {first.outcome.weights_sha256 if first.outcome else ""}


def test_whose_timings_are_shown_is_chosen_and_this_machines_by_default(tmp_path: Path, snapshot: Snapshot) -> None:
    """The newest timing, a board's, replaced this machine's on every page."""
    here, rows = latencies.device(), snapshot.candidates

    def shown(wanted: str | None = None) -> set[str]:
        return {timing.device for timing in latencies.stored(tmp_path, "digits", wanted).values()}

    assert shown() == shown("a board") == set()
    latencies.add(tmp_path, "digits", rows[0], TIMING.changed(device="a board"))
    latencies.add(tmp_path, "digits", rows[0], TIMING.changed(device="a phone"))
    latencies.add(tmp_path, "digits", rows[1], TIMING.changed(device="a board"))
    latencies.add(tmp_path, "digits", rows[2], TIMING.changed(device="a laptop", threads=2))
    assert latencies.comparable(tmp_path, "digits") == ["a phone", "a board"], "two threads are not compared with one"
    assert shown() == shown("elsewhere") == shown("a laptop") == {"a board"}
    assert shown("a phone") == {"a phone"}
    latencies.add(tmp_path, "digits", rows[0], TIMING.changed(device=here))
    latencies.add(tmp_path, "digits", rows[0], TIMING.changed(device="a board"))
    assert shown() == {here}
    assert shown("a board") == {"a board"}


def test_a_record_of_another_version_is_left_out(tmp_path: Path, snapshot: Snapshot) -> None:
    latencies.add(tmp_path, "digits", snapshot.candidates[0], TIMING)
    with (tmp_path / latencies.LATENCIES).open("a") as lines:
        lines.write(json.dumps({"study": "digits", "weights_sha256": "x", "p50_ms": "quick"}) + "\n")
    assert len(latencies.stored(tmp_path, "digits")) == 1


def test_who_was_not_timed_does_not_fit_a_limit_on_latency(tmp_path: Path, snapshot: Snapshot) -> None:
    timed = snapshot.candidates[3]
    latencies.add(tmp_path, "digits", timed, TIMING)
    rows = latencies.attached(snapshot, latencies.stored(tmp_path, "digits")).candidates
    assert [c.trial for c in tradeoffs.best(rows, Budget(max_latency_ms=0.5))] == [timed.trial]
    missed = tradeoffs.nearest_miss(rows, Budget(max_latency_ms=0.4))
    assert missed is not None
    assert missed[0].trial == timed.trial
    assert [(limit.limit, limit.value) for limit in missed[1]] == [("max_latency_ms", 0.5)]
    assert tradeoffs.axes(rows) == list(tradeoffs.AXES)
    assert "latency" not in tradeoffs.axes(snapshot.candidates)
    assert [c.trial for c in tradeoffs.front_on(rows, "latency")] == [timed.trial]


def test_the_command_times_the_front_and_nothing_while_the_study_trains(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    file, runs = finished[0], tmp_path / "runs"
    shutil.copytree(finished[1], runs)
    with driving(storage_url(runs, None), STUDY.name):
        result = invoke("latency", file, "--runs", runs)
    assert result.exit_code == 2
    assert "another driver runs the study" in result.output
    assert not (runs / latencies.LATENCIES).exists()
    result = invoke("latency", file, "--runs", runs)
    assert result.exit_code == 0, result.output
    before = read(storage_url(runs, None), STUDY.name)
    after = latencies.attached(before, latencies.stored(runs, STUDY.name))
    assert [c.trial for c in after.candidates if c.timing] == [c.trial for c in after.candidates if c.on_front]
    assert all(0 < c.timing.p50_ms <= c.timing.p90_ms for c in after.candidates if c.timing)


def test_the_command_finds_the_study_and_tells_no_password(tmp_path: Path) -> None:
    url = storage_url(tmp_path, None)
    assert (
        cli.command_for("digits-smoke", tmp_path, url, "latency")
        == f"python -m search.latency digits-smoke --runs {tmp_path}"
    )
    assert cli.command_for("mine", tmp_path, url, "latency").endswith(" --name mine")
    assert "--storage postgresql://user:***@host/db" in cli.command_for(
        "digits", tmp_path, "postgresql://user:secret@host/db", "latency"
    ).replace("'", "")


def test_costs_that_are_counted_need_no_timing(snapshot: Snapshot) -> None:
    def got(c: Candidate, cost: Cost) -> list[float]:
        size = c.footprint.int8_size
        assert cost.params < size <= cost.params + 17 * cost.params, "a byte each, and those of scales and biases"
        peak = cost.peak_activation_bytes
        return [cost.params, cost.macs, cost.weight_bytes, size, peak, peak / 4]

    for c in snapshot.candidates:
        assert [tradeoffs.on_axis(c, axis) for axis in tradeoffs.AXES if axis != "latency"] == got(c, c.cost)
