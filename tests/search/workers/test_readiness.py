"""A machine on which Ray cannot start is told so in one line with the remedy, before Ray is imported."""

import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import NoReturn

import pytest

from fitnets.errors import InputError
from search.workers import cluster, readiness
from tests.helpers import ROOT


@pytest.fixture(autouse=True)
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder without a token, and no settings of Ray's."""
    for name in (*readiness.TOKENS, "RAY_AUTH_MODE", "RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def refusal(monkeypatch: pytest.MonkeyPatch) -> str:
    """What a person is told."""
    monkeypatch.setattr(cluster, "ray", lambda: pytest.fail("Ray is imported"))
    with pytest.raises(InputError) as caught:
        cluster.connect(None, 1)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_a_ready_machine_is_left_as_it_is(tmp_path: Path) -> None:
    readiness.check_ready()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def nobody(uid: int) -> NoReturn:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def test_a_user_without_an_entry_and_without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    message = refusal(monkeypatch)
    assert (
        message.startswith(f"HOME is not set, and user {os.getuid()} has no entry") and "`export HOME=/tmp`" in message
    )
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/somewhere")
    readiness.check_ready()


@pytest.mark.parametrize("home", ["/dev/null", "/proc"])
def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", home)
    message = refusal(monkeypatch)
    assert message.startswith(f"`{home}/.ray` cannot be written (") and "`export HOME=/tmp`" in message


def test_a_home_with_a_token_need_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    monkeypatch.setattr(readiness, "_write_in", lambda folder: None if folder.name == "ray" else pytest.fail("written"))
    readiness.check_ready()


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_name_that_is_too_long_for_a_socket(monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path) -> None:
    longest = readiness.MOST_BYTES - len(f"/{readiness.SOCKET.format(pid=os.getpid())}")
    monkeypatch.setattr(readiness, "_write_in", lambda folder: None)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=10**9))
    monkeypatch.setenv(name, "/" + "x" * (longest - 1))
    readiness.check_ready()
    monkeypatch.setenv(name, "/" + "x" * longest)
    message = refusal(monkeypatch)
    assert f"({name}) has too long a name: Ray's sockets in it would have 108 characters" in message
    assert f"`export {name}=/tmp`" in message


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("/proc", "`/proc/ray` cannot be written ("),
        ("/dev/null", "`/dev/null/ray` cannot be written ("),
        ("", "TMPDIR is ``, but Ray needs a path that begins with `/`"),
        ("here", "TMPDIR is `here`, but Ray needs a path that begins with `/`"),
    ],
)
def test_a_temporary_folder_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, folder: str, message: str) -> None:
    monkeypatch.setenv("TMPDIR", folder)
    found = refusal(monkeypatch)
    assert found.startswith(message) and "`export TMPDIR=/tmp`" in found


def test_a_disk_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=1_200_000))
    message = refusal(monkeypatch)
    assert message.startswith("only 1.2 MB are free in `/tmp`") and "`export TMPDIR=/var/tmp`" in message


def test_the_pages_without_a_home_are_refused_in_one_line(tmp_path: Path) -> None:
    code = (
        "import pwd, sys\ndef nobody(uid): raise KeyError(uid)\npwd.getpwuid = nobody\n"
        "from app.__main__ import main\nsys.argv[1:] = ['--runs', 'runs']\nmain()"
    )
    words = [sys.executable, "-c", code]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    result = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith(f"error: HOME is not set, and user {os.getuid()} has no entry")
    assert result.stderr.count("\n") == 1
