"""What can be had of a trained student: stored weights, and the command line that exports it."""

import random
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.values.base import sha256
from search.read.candidates import Candidate
from search.read.reader import read
from search.ship import student_files
from search.storage.address import storage_url
from tests.app import synthetic


@pytest.fixture
def student(tmp_path: Path) -> Candidate:
    path = tmp_path / "studies.db"
    url = synthetic.empty(path)
    attrs = synthetic.trained(0, random.Random(0))
    attrs["outcome"]["weights_sha256"] = sha256(b"weights")
    synthetic.fill(path, [("COMPLETE", attrs), ("FAIL", synthetic.running(1, random.Random(1)))])
    return read(url, "digits").candidates[0]


def test_weights_are_the_stores(tmp_path: Path, student: Candidate) -> None:
    assert student_files.weights(tmp_path, student) is None
    Store(tmp_path / "store").put("student", sha256(b"weights"), {"student.safetensors": b"weights"})
    found = student_files.weights(tmp_path, student)
    assert found is not None
    assert (found.content, found.sha256) == (b"weights", sha256(b"weights"))


def test_damaged_weights_are_none(tmp_path: Path, student: Candidate) -> None:
    folder = Store(tmp_path / "store").put("student", sha256(b"weights"), {"student.safetensors": b"weights"})
    (folder / "student.safetensors").write_bytes(b"other")
    assert student_files.weights(tmp_path, student) is None


def test_an_export_that_fails_says_why(tmp_path: Path, student: Candidate) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    with pytest.raises(InputError, match=r"trial 1 is failed, not trained to its end: choose one that is, as \[0\]"):
        student_files.exported("digits", 1, tmp_path, url)


def test_the_command_names_a_storage_elsewhere_and_no_password(tmp_path: Path) -> None:
    runs = tmp_path / "my runs"
    message = student_files.command("digits", 9, runs, f"sqlite:///{runs}/studies.db", "student-9")
    assert "--storage" not in message
    assert shlex.split(message)[-3:] == [str(runs), "--out", "student-9"]
    message = student_files.command("digits", 9, runs, "postgresql://me:secret@host/studies", "student-9")
    assert shlex.split(message)[-2:] == ["--storage", "postgresql://me:***@host/studies"]


def test_the_command_refuses_a_trial_that_is_not_there(tmp_path: Path, student: Candidate) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    words = student_files.command("digits", 9, tmp_path, url, str(tmp_path / "out")).split()[1:]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "trial 9 is not in the study" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("train", [False, True])
def test_only_an_export_that_must_train_the_student_may_use_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: bool
) -> None:
    seen: list[str | None] = []

    def run(words: list[str], env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.append(env.get("CUDA_VISIBLE_DEVICES"))
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(subprocess, "run", run)
    assert student_files.exported("digits", 0, tmp_path, storage_url(tmp_path, None), train) == ()
    assert seen == ["0" if train else ""]
