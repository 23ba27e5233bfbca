"""The log of test readings: recorded before the test images are opened, and by several processes at once."""

import json
import multiprocessing
import shutil
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from fitnets.errors import InputError
from search.read.reader import read
from search.ship import shipper
from search.ship.json_lines import append, locked, rows
from search.ship.shipper import Shipper
from search.ship.test_reads import READINGS, begin, check, finish, readings
from search.storage.address import storage_url
from tests.helpers import STUDY, open_to_all, unprivileged

STUDENTS = 150


def test_readings_are_of_one_study(tmp_path: Path) -> None:
    assert readings(tmp_path, "digits") == {}
    found = [{"study": "digits", "weights_sha256": "a", "accuracy": 0.9}, {"study": "mnist", "weights_sha256": "b"}]
    (tmp_path / READINGS).write_text("".join(json.dumps(row) + "\n" for row in found))
    assert set(readings(tmp_path, "digits")) == {"a"}
    (tmp_path / READINGS).write_text("{half a li")
    assert readings(tmp_path, "digits") == {}


def test_a_torn_line_in_the_log_of_readings_costs_that_line_only(tmp_path: Path) -> None:
    assert begin(tmp_path, "tiny", "a" * 64) == 1
    log = tmp_path / READINGS
    log.write_bytes(log.read_bytes() + b'{"study": "tiny", "wei')
    assert begin(tmp_path, "tiny", "b" * 64) == 2
    assert begin(tmp_path, "tiny", "b" * 64) == 2
    assert [row["weights_sha256"] for row in rows(log)] == ["a" * 64, "b" * 64]


def test_a_reading_that_was_begun_counts_and_has_no_accuracy_until_it_is_finished(tmp_path: Path) -> None:
    assert begin(tmp_path, "tiny", "a", trial=3) == 1
    assert readings(tmp_path, "tiny")["a"]["trial"] == 3
    assert "accuracy" not in readings(tmp_path, "tiny")["a"]
    for _ in range(2):
        finish(tmp_path, "tiny", "a", 0.5, trial=3)
        assert begin(tmp_path, "tiny", "a", trial=3) == 1
    assert readings(tmp_path, "tiny")["a"]["accuracy"] == 0.5
    assert len(rows(tmp_path / READINGS)) == 2


def test_a_reading_is_recorded_before_the_test_images_are_opened(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished[1], runs)
    snapshot = read(storage_url(runs, None), STUDY.name)
    ours = Shipper(snapshot, runs)
    exported = ours.exported(snapshot.candidates[0])

    def died(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shipper, "load_test", died)
    with pytest.raises(KeyboardInterrupt):
        ours.write(exported, tmp_path / "out", {})
    (row,) = rows(runs / READINGS)
    assert row["trial"] == snapshot.candidates[0].trial
    assert begin(runs, STUDY.name, "another") == 2


def _log(runs: Path, together: Barrier) -> None:
    """Every student, as another process does at the same time."""
    together.wait()
    for i in range(STUDENTS):
        begin(runs, "tiny", str(i), trial=i)
        finish(runs, "tiny", str(i), i / STUDENTS, trial=i)


def test_two_processes_that_log_at_once_lose_and_repeat_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    both = [spawn.Process(target=_log, args=(tmp_path, together)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    found = rows(tmp_path / READINGS)
    assert sorted(int(row["weights_sha256"]) for row in found if "accuracy" not in row) == list(range(STUDENTS))
    assert sorted(round(STUDENTS * row["accuracy"]) for row in found if "accuracy" in row) == list(range(STUDENTS))
    assert begin(tmp_path, "tiny", "another") == STUDENTS + 1


@pytest.mark.parametrize("name", [READINGS, READINGS + ".lock"])
def test_another_users_log_or_lock_is_told_before_the_test_images_are_read(tmp_path: Path, name: str) -> None:
    begin(tmp_path, "tiny", "a")
    for file in tmp_path.iterdir():
        file.chmod(0o444 if file.name == name else 0o666)
    open_to_all(tmp_path)
    remedy = "make it writable, or copy the folder and give the copy with --runs"
    with unprivileged():
        with pytest.raises(InputError, match=f"{name}` cannot be (locked|written).*{remedy}") as caught:
            check(tmp_path)
        assert "\n" not in str(caught.value)
        with (
            pytest.raises(InputError, match=f"{name}` cannot be (locked|written).*{remedy}"),
            locked(tmp_path / READINGS),
        ):
            append(tmp_path / READINGS, {"study": "tiny"})


def test_a_log_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    check(tmp_path)
    begin(tmp_path, "tiny", "a")
    before = (tmp_path / READINGS).read_bytes()
    check(tmp_path)
    assert (tmp_path / READINGS).read_bytes() == before
