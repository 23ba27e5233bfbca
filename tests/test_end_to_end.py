"""The whole thing as a person runs it: processes, Ray, files."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.read.reader import read
from search.storage.address import storage_url
from tests.helpers import ROOT

SLOW = pytest.mark.slow


def command(*words: object) -> list[str]:
    """`python -m ...` as a person types it, less the folder that they are in."""
    return [sys.executable, "-m", *map(str, words)]


def environment(tmp_path: Path) -> dict[str, str]:
    """This one's, with a home of its own."""
    home = tmp_path.with_name(tmp_path.name + "-home")
    home.mkdir(exist_ok=True)
    return {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home), "OMP_NUM_THREADS": "1"}


def listening(pids: set[int]) -> set[str]:
    """The IPv4 and IPv6 addresses (as the kernel writes them) on which these processes listen."""
    inodes = set()
    for pid in pids:
        try:
            for link in (Path("/proc") / str(pid) / "fd").iterdir():
                target = str(link.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        except OSError:
            continue  # the process, or the file, is gone
    found = set()
    for table in ("tcp", "tcp6"):
        for line in (Path("/proc/net") / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].split(":")[0])
    return found


def descendants(root: int) -> set[int]:
    """A process and all that came of it, also those that Ray detached (they keep its environment's mark)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = set(), [root]
    while todo:
        pid = todo.pop()
        found.add(pid)
        todo += children.get(pid, [])
    return found


def loopback(address: str) -> bool:
    """Whether an address of /proc/net/tcp or tcp6 is 127.x.x.x, ::1, or ::ffff:127.x.x.x."""
    if len(address) == 8:
        return address.endswith("7F")
    return address == "0" * 24 + "01000000" or (address.startswith("0" * 16 + "FFFF0000") and address.endswith("7F"))


@SLOW
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc")
def test_a_real_study_of_three_trials_through_ray(tmp_path: Path) -> None:
    words = ["search.run", "digits", "--trials", 3, "--smoke", "--runs", tmp_path / "runs", "--workers", 2]
    began = time.monotonic()
    process = subprocess.Popen(
        command(*words),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    addresses: set[str] = set()
    while process.poll() is None and time.monotonic() - began < 300:
        addresses |= listening(descendants(process.pid))
        time.sleep(0.5)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0, out + err
    assert "Traceback" not in out + err
    assert addresses, "Ray listens somewhere, or this test looks in the wrong place"
    assert [address for address in addresses if not loopback(address)] == [], "Ray listens beyond loopback"
    result = subprocess.run(
        command("search.results", "digits-smoke", "--format", "json", "--runs", tmp_path / "runs"),
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(result.stdout)
    trained = [row for row in rows if row["state"] == "complete"]
    assert len(rows) == 3 and trained
    assert {row["state"] for row in rows} <= {"complete", "pruned"}
    assert all(0.3 < row["val_accuracy"] <= 1 for row in trained), "chance is 0.1"
    assert all(row["hint_r2"] is not None for row in trained)
    for candidate in read(storage_url(tmp_path / "runs", None), "digits-smoke").candidates:
        losses = [report.loss for report in candidate.reports if report.stage == "stage 1"]
        assert losses[-1] < losses[0], "the hint loss falls"
    assert any(row["on_front"] for row in rows)
    assert (tmp_path / "runs" / "studies.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"], "a run writes under its folder only"
    again = subprocess.run(
        command(*words), cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert "is finished" in again.stdout


@SLOW
def test_missing_images_through_ray_are_one_message_and_exit_2(tmp_path: Path) -> None:
    """What a worker finds wrong with the input reaches the person as if the driver had found it."""
    result = subprocess.run(
        command("search.run", "folder", "--data", tmp_path / "absent", "--runs", tmp_path / "runs", "--workers", 1),
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2, result.stdout + result.stderr
    assert "error: no images in" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
