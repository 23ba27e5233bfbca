"""The driver of a real run is told to end, or is killed: what it says, and that no process of it stays."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from search.read.progress import standing
from search.read.reader import read
from search.storage.address import storage_url
from search.workers.logs import logs_folder, trained_epochs
from tests.test_end_to_end import command, descendants, environment

pytestmark = pytest.mark.slow
GONE_SECONDS = 60.0


def until(what: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.1)


def training(tmp_path: Path) -> subprocess.Popen[str]:
    """A run of digits whose trials have trained an epoch more than before."""
    logs = logs_folder(tmp_path / "runs", "digits-smoke")

    def epochs() -> int:
        return sum(len(trained_epochs(log)) for log in logs.glob("*.log"))

    before = epochs()
    words = ("search.run", "digits", "--smoke", "--trials", 50, "--workers", 2, "--runs", tmp_path / "runs")
    pipe = subprocess.PIPE
    started = subprocess.Popen(command(*words), env=environment(tmp_path), stdout=pipe, stderr=pipe, text=True)
    until(lambda: epochs() > before or started.poll() is not None, 240)
    return started


def there(pids: set[int]) -> set[int]:
    """Those of the processes that are there still, and more than a name in the table."""
    found = set()
    for pid in pids:
        try:
            if (Path("/proc") / str(pid) / "stat").read_text().rsplit(") ", 1)[1][0] != "Z":
                found.add(pid)
        except OSError:
            continue
    return found


def test_a_driver_told_to_end_says_how_to_continue_and_leaves_no_process(tmp_path: Path) -> None:
    driver = training(tmp_path)
    ours = descendants(driver.pid)
    assert len(ours) > 4, "Ray's processes are the driver's"
    driver.send_signal(signal.SIGTERM)
    out, err = driver.communicate(timeout=GONE_SECONDS)
    assert driver.returncode == 130, out + err
    assert "Traceback" not in out + err
    assert "stopped; everything finished is kept. Continue with:\n  python -m search.run digits" in out
    until(lambda: not there(ours), GONE_SECONDS)
    left = read(storage_url(tmp_path / "runs", None), "digits-smoke")
    assert standing(left).word(time.time()) == "stopped"


def test_a_killed_driver_leaves_no_process_and_its_trials_to_the_next(tmp_path: Path) -> None:
    """Two small ones of Ray's own, its agents, look for their node once a minute; they are not waited for here."""
    driver = training(tmp_path)
    ours = {pid for pid in descendants(driver.pid) - {driver.pid} if b"Agent" not in title(pid)}
    assert {b"ray::Actor" in title(pid) for pid in ours} == {True, False}, "workers, and Ray's own"
    os.kill(driver.pid, signal.SIGKILL)
    until(lambda: not there(ours), GONE_SECONDS)
    driver.communicate(timeout=GONE_SECONDS)
    left = read(storage_url(tmp_path / "runs", None), "digits-smoke")
    assert "running" in [c.state for c in left.candidates]
    assert left.stopped is None, "nobody could say so"


def title(pid: int) -> bytes:
    """What a process calls itself."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_driver_whose_ray_dies_while_it_starts_ends_by_itself(tmp_path: Path) -> None:
    """No other node can join a Ray that is this machine's own: there is nothing to wait for.

    Ray ends the process itself when the driver is just asking it something; else we do, in one line.
    """
    words = ("search.run", "digits", "--smoke", "--workers", 1, "--runs", tmp_path / "runs")
    pipe = subprocess.PIPE
    driver = subprocess.Popen(command(*words), env=environment(tmp_path), stdout=pipe, stderr=pipe, text=True)
    until(lambda: any(b"ray::Actor" in title(pid) for pid in descendants(driver.pid)), 120)
    (raylet,) = [pid for pid in descendants(driver.pid) if title(pid).split(b"\0")[0].endswith(b"/raylet")]
    os.kill(raylet, signal.SIGKILL)
    out, err = driver.communicate(timeout=2 * GONE_SECONDS)
    assert driver.returncode == 1, out + err
    assert "Traceback" not in out + err
