"""The limits on exported files: which students are exported to find the one that fits, and how many."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from search import cli
from search.read.budget import Budget
from search.read.candidates import Candidate
from search.read.reader import read
from search.ship import latencies
from search.ship.first_fit import PROBES, FileCost, FirstFit
from search.ship.latencies import Measured
from search.ship.shipped.exported import Exported
from search.ship.shipper import Shipper
from search.storage.address import storage_url
from tests.app import synthetic
from tests.commands import invoke
from tests.helpers import STUDY

Export = Callable[[Candidate], FileCost]


@pytest.fixture
def students(tmp_path: Path) -> list[Candidate]:
    """Forty students, the most accurate first; the first needs the most multiply-adds and weights."""
    path = tmp_path / "studies.db"
    url = synthetic.empty(path)
    rng = random.Random(0)
    synthetic.fill(path, [("COMPLETE", synthetic.trained(i, rng)) for i in range(40)])
    rows = read(url, "digits").candidates
    return [
        c.model_copy(update={"cost": c.cost.model_copy(update={"macs": 1000 * (40 - i), "weights": 250 * (40 - i)})})
        for i, c in enumerate(rows)
    ]


def search(budget: Budget, measure: Export, known: dict[int, FileCost] | None = None) -> tuple[FirstFit, list[int]]:
    """A search whose exports are counted."""
    files = {} if known is None else known
    exported: list[int] = []

    def export(c: Candidate) -> None:
        exported.append(c.trial)
        files[c.trial] = measure(c)

    return FirstFit(budget, files, export), exported


def by_cost(c: Candidate) -> FileCost:
    """A millisecond for a thousand multiply-adds; a graph of 5 kB around the weights."""
    return FileCost(latency_ms=c.cost.macs / 1000, size_kb=5 + 4 * c.cost.weights / 1000)


def test_without_limits_on_the_file_nothing_is_exported_to_choose(students: list[Candidate]) -> None:
    one, exported = search(Budget(max_params=10**9), by_cost)
    assert one.first(students) is students[0]
    assert exported == []


def test_the_most_accurate_that_fits_is_found_and_no_export_comes_after_it(students: list[Candidate]) -> None:
    one, exported = search(Budget(max_latency_ms=38.0), by_cost)
    assert one.first(students) is students[2]
    assert exported == [students[i].trial for i in range(3)]


def test_what_is_known_is_not_exported_again(students: list[Candidate]) -> None:
    known = {c.trial: by_cost(c) for c in students if c is not students[5]}
    one, exported = search(Budget(max_latency_ms=35.0), by_cost, known)
    assert one.first(students) is students[5]
    assert exported == [students[5].trial]
    assert one.first(students) is students[5]
    assert len(exported) == 1


def test_students_whose_weights_alone_are_too_large_are_never_exported(students: list[Candidate]) -> None:
    one, exported = search(Budget(max_size_kb=20.0), by_cost)  # weights of 20 kB: the 20 smallest; with the graph 15
    assert one.first(students) is students[25]
    assert exported[0] == students[20].trial
    assert len(exported) <= 6 + PROBES


def test_a_limit_out_of_reach_exports_the_most_accurate_and_the_cheapest_only(students: list[Candidate]) -> None:
    one, exported = search(Budget(max_latency_ms=0.5), by_cost)
    assert one.first(students) is None
    assert exported == [students[i].trial for i in (0, 1, 2, 39, 38, 37)]
    assert len(one.unknown(students)) == 34
    miss = one.nearest(students)
    assert miss is not None and miss[0] is students[39]
    assert [(b.limit, b.value) for b in miss[1]] == [("max_latency_ms", 1.0)]
    assert len(exported) == 2 * PROBES


def test_a_limit_that_only_the_cheapest_keep_is_still_searched_exactly(students: list[Candidate]) -> None:
    one, _ = search(Budget(max_latency_ms=4.0), by_cost)
    assert one.first(students) is students[36]


def test_the_nearest_miss_by_weights_is_measured_before_it_is_stated(students: list[Candidate]) -> None:
    one, exported = search(Budget(max_size_kb=0.5), by_cost)
    assert one.first(students) is None
    assert exported == []
    miss = one.nearest(students)
    assert miss is not None and miss[0] is students[39]
    assert [(b.limit, b.value) for b in miss[1]] == [("max_size_kb", 6.0)]
    assert exported == [students[39].trial]


# the command


class Counted:
    """Exports counted by trial number; all of them take as long as `latency_ms` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, latency_ms: dict[int, float]):
        self.trials: list[int] = []
        plain = Shipper._exported

        def counting(shipper: Shipper, candidate: Candidate, *rest: object) -> Exported:
            self.trials.append(candidate.trial)
            found: Exported = plain(shipper, candidate, *rest)  # type: ignore[arg-type]
            latency = found.float32.latency.changed(p50_ms=latency_ms[candidate.trial], p90_ms=99.0)
            return replace(found, float32=replace(found.float32, latency=latency))

        monkeypatch.setattr(Shipper, "_exported", counting)


@pytest.fixture
def runs(finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the study with its three trained students, on a machine that is idle."""
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    shutil.copytree(finished[1], tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def ranked(runs: Path) -> list[Candidate]:
    """The students, the most accurate first."""
    rows = read(storage_url(runs, None), STUDY.name).candidates
    return sorted(rows, key=lambda c: (-c.outcome.val_accuracy if c.outcome else 0, c.cost.params, c.cost.macs))


def timing(milliseconds: float, device: str | None = None) -> Measured:
    return Measured(
        p50_ms=milliseconds,
        p90_ms=milliseconds,
        threads=1,
        device=device or latencies.device(),
        date="2026-11-20T10:00:00+00:00",
        load=0.0,
    )


def test_pick_exports_only_the_winner_where_this_machine_has_timed_the_others(
    finished: tuple[Path, Path], runs: Path, ranked: list[Candidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for c, milliseconds in zip(ranked, (3.0, 2.0, 1.0), strict=True):
        latencies.add(runs, STUDY.name, c, timing(milliseconds))
    counted = Counted(monkeypatch, {c.trial: 1.0 for c in ranked})
    words = ("pick", finished[0], "--runs", runs, "--out", tmp_path / "out", "--max-latency-ms", "1.5")
    shown = invoke(*words)
    assert shown.exit_code == cli.OK, shown.output
    assert counted.trials == [ranked[2].trial]
    assert "exported 1 of 3 students; 3 were timed on this machine before." in shown.stdout


def test_pick_believes_no_timing_of_another_machine_and_stores_its_own(
    finished: tuple[Path, Path], runs: Path, ranked: list[Candidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latencies.add(runs, STUDY.name, ranked[0], timing(99.0, "another"))
    counted = Counted(monkeypatch, dict(zip((c.trial for c in ranked), (3.0, 1.0, 2.0), strict=True)))
    words = ("pick", finished[0], "--runs", runs, "--out", tmp_path / "out", "--max-latency-ms", "1.5")
    shown = invoke(*words)
    assert shown.exit_code == cli.OK, shown.output
    assert counted.trials == [ranked[0].trial, ranked[1].trial]
    assert "exported 2 of 3 students; 0 were timed on this machine before." in shown.stdout
    counted.trials.clear()
    assert "exported 1 of 3 students; 2 were timed on this machine before." in invoke(*words).stdout
    assert counted.trials == [ranked[1].trial]


def test_a_student_that_no_longer_keeps_the_limit_is_passed_over(
    finished: tuple[Path, Path], runs: Path, ranked: list[Candidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shipped was measured now: an old timing within the limit is not enough."""
    latencies.add(runs, STUDY.name, ranked[0], timing(1.0))
    counted = Counted(monkeypatch, dict(zip((c.trial for c in ranked), (2.0, 1.0, 1.0), strict=True)))
    words = ("pick", finished[0], "--runs", runs, "--out", tmp_path / "out", "--max-latency-ms", "1.5")
    shown = invoke(*words)
    assert shown.exit_code == cli.OK, shown.output
    assert counted.trials == [ranked[0].trial, ranked[1].trial]
    assert f"trial {ranked[1].trial}:" in shown.stdout


def test_a_size_below_every_students_weights_exports_the_nearest_only(
    finished: tuple[Path, Path], runs: Path, ranked: list[Candidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch, {c.trial: 1.0 for c in ranked})
    smallest = min(c.cost.weights for c in ranked)
    words = ("pick", finished[0], "--runs", runs, "--out", tmp_path / "out", "--max-size-kb", 4 * smallest / 1000 - 0.1)
    shown = invoke(*words)
    assert shown.exit_code == cli.WRONG_INPUT
    assert "The nearest is trial" in shown.stderr and "`max_size_kb` allows" in shown.stderr
    assert len(counted.trials) == 1


def test_a_busy_machine_stores_no_timing(
    finished: tuple[Path, Path], runs: Path, ranked: list[Candidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (1000.0, 0.0, 0.0))
    Counted(monkeypatch, {c.trial: 1.0 for c in ranked})
    words = ("pick", finished[0], "--runs", runs, "--out", tmp_path / "out", "--max-latency-ms", "1.5")
    shown = invoke(*words)
    assert shown.exit_code == cli.OK, shown.output
    assert "This machine was busy (load 1000.0 on" in shown.stdout and "no timing was stored" in shown.stdout
    assert not (runs / latencies.LATENCIES).exists()


def test_timings_that_cannot_be_stored_lose_no_export(
    finished: tuple[Path, Path], runs: Path, ranked: list[Candidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = runs / f"{latencies.LATENCIES}.lock"
    lock.mkdir()  # even root cannot lock it
    counted = Counted(monkeypatch, dict(zip((c.trial for c in ranked), (3.0, 2.0, 1.0), strict=True)))
    words = ("pick", finished[0], "--runs", runs, "--out", tmp_path / "out", "--max-latency-ms", "1.5")
    shown = invoke(*words)
    assert shown.exit_code == cli.OK, shown.output
    assert len(counted.trials) == 3
    assert f"The timings were not stored: `{lock}` cannot be locked (Is a directory): make it" in shown.stdout
    assert (tmp_path / "out" / "student.onnx").is_file()
