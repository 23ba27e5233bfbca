"""optuna-dashboard beside the pages: on loopback, over a copy, and gone when the pages are gone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import optuna
import pytest
from optuna.storages import RDBStorage

from app import beside
from fitnets.errors import InputError
from search.read.stored.copy import copy
from search.storage.writer import open_storage
from tests.app import synthetic
from tests.app.pages import Opened, words
from tests.helpers import ROOT

PATIENCE = 240.0
HOLD = """
import sys
from app import beside
with beside.optuna_dashboard(sys.argv[1]) as address:
    print(address, flush=True)
    sys.stdin.read()
"""


def fetched(address: str, path: str) -> Any:
    """What optuna-dashboard answers, once it runs."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(address + path, timeout=30) as answer:
                return json.load(answer)
        except URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5):
            return True
    except (URLError, OSError):
        return False


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def some_study(storage: RDBStorage) -> optuna.Study:
    """A study of two objectives with finished, stopped and running trials."""
    study = optuna.create_study(storage=storage, study_name="digits", directions=["maximize", "minimize"])
    for number in range(4):
        trial = study.ask()
        trial.suggest_int("depth", 1, 4)
        trial.set_user_attr("number", number)
        if number % 3 == 0:
            study.tell(trial, [0.9, 100.0 + number])
        elif number % 3 == 1:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return study


def test_a_copy_holds_every_study_and_leaves_the_storage_alone(url: str, tmp_path: Path) -> None:
    storage, target = open_storage(url), tmp_path / "copy" / "studies.db"
    study = some_study(storage)
    target.parent.mkdir()
    before = sorted(path.name for path in (tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else []
    copy(url, target)
    if before:
        assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == before

    def seen() -> list[tuple[Any, ...]]:
        copied = optuna.load_study(study_name="digits", storage=f"sqlite:///{target}")
        return [(t.number, t.state, t.values, t.params, t.user_attrs) for t in copied.trials]

    assert seen() == [(t.number, t.state, t.values, t.params, t.user_attrs) for t in study.trials]
    held = optuna.load_study(study_name="digits", storage=f"sqlite:///{target}")  # as optuna-dashboard holds it
    study.tell(study.ask(), [0.95, 50.0])
    copy(url, target)
    assert len(held.get_trials()) == 5 and held.get_trials()[-1].values == [0.95, 50.0]
    held.set_user_attr("mine", 1)
    assert "mine" not in optuna.load_study(study_name="digits", storage=storage).user_attrs
    storage.remove_session()
    storage.engine.dispose()


def test_a_storage_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="there is no study storage"),
        beside.optuna_dashboard(f"sqlite:///{tmp_path / 'studies.db'}"),
    ):
        pytest.fail("it started")
    assert not (tmp_path / "studies.db").exists()


@pytest.fixture
def storage(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    made = open_storage(url)
    some_study(made)
    made.remove_session()
    made.engine.dispose()
    return url


@pytest.fixture
def pages(storage: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process in the place of the pages, and the address that it tells."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, storage],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_it_shows_the_copy_on_loopback_alone_and_ends_when_the_pages_are_killed(
    pages: tuple[subprocess.Popen[str], str], storage: str
) -> None:
    process, address = pages
    assert address.startswith("http://127.0.0.1:")
    (summary,) = fetched(address, "/api/studies")["study_summaries"]
    assert summary["study_name"] == "digits"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (child,) = children
    words_of_child = Path(f"/proc/{child}/cmdline").read_text().split("\0")
    assert not any("sqlite" in word for word in words_of_child), "a URL, and its password, is in no command line"
    folder = Path(words_of_child[-3])
    assert (folder / "studies.db").is_file()
    process.send_signal(signal.SIGKILL)
    assert until(lambda: not answers(address)) and until(lambda: not folder.exists())


@pytest.mark.slow
def test_it_ends_with_the_context(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(beside.ADDRESS, raising=False)
    with beside.optuna_dashboard(storage) as address:
        assert os.environ[beside.ADDRESS] == address
        detail = fetched(address, f"/api/studies/{fetched(address, '/api/studies')['study_summaries'][0]['study_id']}")
        assert [trial["state"] for trial in detail["trials"]] == ["Complete", "Pruned", "Running", "Complete"]
    assert not answers(address)


def test_progress_links_it_or_says_how_to_start_it(path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.study(path, 12)
    monkeypatch.delenv(beside.ADDRESS, raising=False)
    at = opened("progress")
    assert "python -m app" in words(at) and "--optuna-dashboard" in words(at)
    monkeypatch.setenv(beside.ADDRESS, "http://127.0.0.1:8080")
    at = opened("progress")
    assert "[optuna-dashboard](http://127.0.0.1:8080) shows a copy of this storage" in words(at)
