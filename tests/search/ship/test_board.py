"""Timings of other devices: a folder that runs alone, and what it prints is brought back."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search import cli
from search.ship import latencies
from tests.commands import invoke


@pytest.fixture(scope="module")
def exported(finished: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs`, and `board`, an exported folder that was timed: `timings.json`."""
    root = tmp_path_factory.mktemp("board")
    shutil.copytree(finished[1], root / "runs")
    result = invoke("latency", finished[0], "--runs", root / "runs", "--export", root / "board", "--int8", "--all")
    assert result.exit_code == cli.OK, result.output
    assert "On the device: python time_students.py" in result.output
    assert not (root / "runs" / latencies.LATENCIES).exists(), "nothing was timed here"
    words = [sys.executable, "-I", str(root / "board" / "time_students.py"), "--device", "a board", "--threads", "2"]
    done = subprocess.run(
        [*words, "--batch", "3", "--runs", "5"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (root / "timings.json").write_text(done.stdout)
    return root


def test_timings_come_back_beside_this_machines(exported: Path, finished: tuple[Path, Path]) -> None:
    names = {path.name for path in (exported / "board").iterdir()}
    assert names == {"README.md", "students.json", "time_students.py", *(f"student-{i}.onnx" for i in range(3))}
    assert "--add timings.json" in (exported / "board" / "README.md").read_text()
    words = ("latency", finished[0], "--runs", exported / "runs")
    result = invoke(*words, "--add", exported / "timings.json")
    assert result.exit_code == cli.OK, result.output
    assert "a board, int8, 2 threads, 3 images a pass" in result.output
    result = invoke(*words, "--all")
    assert result.exit_code == cli.OK, result.output
    study, runs = "tiny", exported / "runs"
    row = json.loads((exported / "timings.json").read_text())["timings"][0]
    found = latencies.of_student(runs, study, row["weights_sha256"])
    assert {(t.device, t.precision, t.threads, t.batch) for t in found} == {
        ("a board", "int8", 2, 3),
        (latencies.device(), "float32", 1, 1),
    }
    assert next(t for t in found if t.device == "a board").p50_ms == row["p50_ms"]
    assert latencies.devices(runs, study) == sorted(["a board", latencies.device()])
    assert {t.device for t in latencies.stored(runs, study).values()} == {latencies.device()}, "the axis is of one kind"
    assert latencies.of_device(runs, study, "a board") == {}, "2 threads are not what a limit on latency means"


def test_timings_of_another_kind_leave_the_axis_alone(exported: Path, finished: tuple[Path, Path]) -> None:
    result = invoke("latency", finished[0], "--runs", exported / "runs", "--threads", "2", "--int8")
    assert result.exit_code == cli.OK, result.output
    assert f"{latencies.device()}, int8, 2 threads, 1 image a pass" in " ".join(result.output.split())
    assert "each student's page shows it" in result.output
    assert all(t.threads == 1 for t in latencies.stored(exported / "runs", "tiny").values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda result: "{half", "is not what `time_students.py` prints"),
        (lambda result: json.dumps({**result, "study": "other"}), "has timings of `other`, not of `tiny`"),
        (lambda result: json.dumps({**result, "timings": []}), "has no timing"),
        (
            lambda result: json.dumps({**result, "timings": [result["timings"][0] | {"weights_sha256": "0"}]}),
            "has 1 student(s) that `tiny` does not have",
        ),
        (
            lambda result: json.dumps({**result, "timings": [result["timings"][0] | {"p50_ms": "fast"}]}),
            "is not what `time_students.py` prints",
        ),
    ],
)
def test_what_is_no_timing_of_this_study_is_refused(
    exported: Path, finished: tuple[Path, Path], tmp_path: Path, change: Any, said: str
) -> None:
    file, before = tmp_path / "timings.json", latencies.stamp(exported / "runs")
    file.write_text(change(json.loads((exported / "timings.json").read_text())))
    result = invoke("latency", finished[0], "--runs", exported / "runs", "--add", file)
    assert result.exit_code == cli.WRONG_INPUT and said in result.stderr
    assert latencies.stamp(exported / "runs") == before


def test_a_folder_that_holds_something_is_left_as_it_is(
    exported: Path, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    words = ("latency", finished[0], "--runs", exported / "runs")
    result = invoke(*words, "--export", tmp_path)
    assert result.exit_code == cli.WRONG_INPUT and "is not empty, and is left as it is" in result.stderr
    result = invoke(*words, "--export", tmp_path / "new", "--threads", "2")
    assert result.exit_code == cli.WRONG_INPUT and "are given on the device" in result.stderr
    result = invoke(*words, "--export", tmp_path / "new", "--add", tmp_path / "mine")
    assert result.exit_code == cli.WRONG_INPUT and "two steps" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_records_of_earlier_versions_are_of_float32_one_thread_and_one_image(tmp_path: Path) -> None:
    old = {"study": "tiny", "trial": 1, "weights_sha256": "w", "p50_ms": 1.0, "p90_ms": 2.0, "threads": 1}
    old |= {"device": "d", "date": "2026-11-20", "load": 0.1}
    (tmp_path / latencies.LATENCIES).write_text(json.dumps(old) + "\n")
    (found,) = latencies.of_student(tmp_path, "tiny", "w")
    assert (found.precision, found.batch, found.file_bytes) == ("float32", 1, None)
    assert latencies.stored(tmp_path, "tiny") == {"w": found}
