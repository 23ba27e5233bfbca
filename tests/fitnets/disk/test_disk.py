"""Disks that are full, read-only or emptied while a search runs: real ones, small, mounted for the test."""

import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from fitnets.disk.store import Store
from fitnets.errors import DiskError
from search import cli
from tests.commands import Crew, invoke

FILES = {"a.bin": b"\x00" * 5000}
FILLER = "filler"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of memory with the given options, and gives its folder; skipped without the right to."""
    made: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk-{len(made)}"
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a small disk")
        made.append(place)
        return place

    yield mount
    for place in made:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> None:
    """Write until there is no room for a byte."""
    with (disk / FILLER).open("wb", buffering=0) as file:
        for size in (2**16, 2**8, 1):
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(b"x" * size)


def rows(file: Path, runs: Path) -> list[dict[str, Any]]:
    """What `search.results` tells of every trial, less the times."""
    result = invoke("results", file, "--runs", runs, "--format", "json")
    return [{name: value for name, value in row.items() if name != "seconds"} for row in json.loads(result.stdout)]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`search.run` over inline workers; `at(number of waits so far)` is called before every wait."""

    def command(file: Path, runs: Path, at: Callable[[int], None] = lambda waits: None, *words: object) -> Result:
        class Watched(Crew):
            waits = 0

            def wait(self, seconds: float) -> list[Any]:
                at(self.waits)
                self.waits += 1
                return super().wait(seconds)

        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "search.workers.crew", types.SimpleNamespace(RayWorkers=Watched))
            return invoke("run", file, "--runs", runs, *words)

    return command


# the store


def test_a_full_disk_refuses_an_entry_whole_and_takes_it_when_there_is_room(mounted: Callable[[str], Path]) -> None:
    disk = mounted("size=64k")
    store = Store(disk / "store")
    store.put("kind", "first", FILES)
    fill(disk)
    with pytest.raises(DiskError, match=r"store/kind/d` cannot be written \(No space left on device\): make room"):
        store.put("kind", "d", FILES)
    assert store.get("kind", "d") is None
    assert store.get("kind", "first") == FILES
    (disk / FILLER).unlink()
    store.put("kind", "d", FILES)
    assert store.get("kind", "d") == FILES


@pytest.mark.parametrize("options", ["ro", "size=4k,nr_inodes=1"])
def test_a_disk_that_takes_nothing_keeps_no_cache_and_hinders_no_claim(
    mounted: Callable[[str], Path], options: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(mounted(options) / "store")
    store.try_put("kind", "d", FILES)
    (message,) = caplog.messages
    assert "cannot be written" in message and message.endswith("It is not stored, and will be recomputed.")
    with store.claimed("kind", "d") as mine:
        assert mine, "a claim that cannot be held would make everybody wait for ever"


LIMITED = """
import resource, sys
from pathlib import Path
from fitnets.disk.store import Store
store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
store.try_put("kind", "cache", {"a.bin": bytes(5000)})
store.put("kind", "small", {"a.bin": bytes(500)})
store.put("kind", "large", {"a.bin": bytes(5000)})
"""


def test_a_file_that_may_not_grow_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "DiskError" in done.stderr.splitlines()[-1] and "File too large" in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in (tmp_path / "kind").iterdir()) == ["small"]


DELETING = """
import shutil, sys, time
while True:
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    time.sleep(0.03)
"""


def test_a_store_deleted_while_it_is_written_is_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    deleting = subprocess.Popen([sys.executable, "-c", DELETING, str(store.root)])
    try:
        for number in range(500):
            with store.claimed("kind", f"d{number}") as mine:
                assert mine
                store.put("kind", f"d{number}", FILES)
                assert store.get("kind", f"d{number}") in (FILES, None)
        assert deleting.poll() is None
    finally:
        deleting.kill()
        deleting.wait()
    survivors = len(list((store.root / "kind").iterdir()))
    assert survivors < 500, "nothing was deleted while the entries were written"
    store.put("kind", "last", FILES)
    assert store.get("kind", "last") == FILES


# the search


@pytest.mark.parametrize("moment", [1, 3, 5])
def test_a_disk_that_fills_up_ends_the_search_with_one_line_and_loses_nothing(
    mounted: Callable[[str], Path], run: Callable[..., Result], finished: tuple[Path, Path], moment: int
) -> None:
    disk, file = mounted("size=8m"), finished[0]
    result = run(file, disk / "runs", lambda waits: fill(disk) if waits == moment else None)
    assert result.exit_code == cli.FAILED
    (line,) = result.stderr.splitlines()
    assert line.startswith("stopped: ") and str(disk / "runs") in line
    assert "No space left" in line or "disk is full" in line
    assert "make room" in line and "--runs" in line
    (disk / FILLER).unlink()
    before = {row["trial"]: row for row in rows(file, disk / "runs") if row["state"] == "complete"}
    assert run(file, disk / "runs").exit_code == cli.OK
    after = rows(file, disk / "runs")
    assert all(row == {**after[trial], "on_front": row["on_front"]} for trial, row in before.items())
    assert after == rows(*finished), "the same study as on a disk with room"


def test_a_read_only_disk_is_told_before_anything_starts(
    mounted: Callable[[str], Path], run: Callable[..., Result], finished: tuple[Path, Path]
) -> None:
    result = run(finished[0], mounted("ro") / "runs")
    assert result.exit_code == cli.WRONG_INPUT
    assert "cannot be written (Read-only file system): choose another folder with --runs." in result.stderr


@pytest.mark.parametrize("moment", [0, 1, 2, 4])
def test_a_store_deleted_while_the_search_runs_changes_no_number(
    tmp_path: Path, run: Callable[..., Result], finished: tuple[Path, Path], moment: int
) -> None:
    store = tmp_path / "runs" / "store"
    result = run(finished[0], tmp_path / "runs", lambda waits: shutil.rmtree(store) if waits == moment else None)
    assert result.exit_code == cli.OK, result.output
    assert rows(finished[0], tmp_path / "runs") == rows(*finished)


def test_a_store_deleted_between_two_runs_changes_no_number(
    tmp_path: Path, run: Callable[..., Result], finished: tuple[Path, Path]
) -> None:
    assert run(finished[0], tmp_path / "runs", lambda waits: None, "--trials", 2).exit_code == cli.OK
    shutil.rmtree(tmp_path / "runs" / "store")
    assert run(finished[0], tmp_path / "runs").exit_code == cli.OK
    assert rows(finished[0], tmp_path / "runs") == rows(*finished)
