"""What a person sees while a search runs: plain lines where there is no terminal, a live panel where there is."""

import io
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from fitnets.config import Recipe, Report
from fitnets.disk.store import Store
from search.driver.display import Display
from search.driver.loop import DIRECTIONS, Search
from search.storage.address import storage_url
from search.storage.writer import open_storage
from search.workers.protocol import Event, Failed, Finished, WorkerLost
from tests.helpers import STUDY
from tests.search.driver.test_loop import FRAME, Scripted, well
from tests.search.driver.test_rungs import STOPPING, whole


def shown(tmp_path: Path, terminal: bool, behave: object = well, forecast: float | None = None) -> str:
    """What is printed by a search of three trials."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, highlight=False)
    storage = open_storage(storage_url(tmp_path, None))
    optuna.create_study(study_name="tiny", storage=storage, directions=DIRECTIONS)
    workers = Scripted(behave)  # type: ignore[arg-type]
    search = Search(STUDY, FRAME, storage, workers, Store(tmp_path / "store"))
    with Display(console, 3, forecast) as display:
        for epoch in (1, 2):
            display.teacher(Report(stage="teacher", epoch=epoch, epochs=2, loss=0.5, val_accuracy=0.875, seconds=1.0))
        search.run(3, display.event)
    return out.getvalue()


def test_plain_lines_tell_of_the_teacher_and_every_trial(tmp_path: Path) -> None:
    text = shown(tmp_path, terminal=False)
    assert "\x1b" not in text
    assert "teacher  epoch 2/2  loss 0.500  accuracy 87.50%" in text
    lines = [line for line in text.splitlines() if line.startswith("trial")]
    assert [line.split()[1] for line in lines] == ["0", "1", "2"]
    assert all("accuracy" in line and "params" in line and "hint R2 0.50" in line for line in lines)
    assert "[3 of 3, 0 s left]" in lines[-1]


def test_failures_and_lost_workers_are_told_as_they_are(tmp_path: Path) -> None:
    def behave(number: int, recipe: object, attempt: int) -> list[Event]:
        if number == 0:
            return [Failed(0, "Diverged", "the loss [became] nan")]
        if number == 1 and attempt == 1:
            return [WorkerLost(1, "the node died")]
        return well(number, recipe, attempt)  # type: ignore[arg-type]

    text = shown(tmp_path, terminal=False, behave=behave)
    assert "trial 0 failed: Diverged: the loss [became] nan" in text
    assert "trial 1 lost its worker and goes on elsewhere: the node died" in text


def test_the_students_that_fill_the_tables_are_no_measure_of_the_others(tmp_path: Path) -> None:
    """The first of each slot waits for the teacher's passes; until another has ended, the forecast is believed."""

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        *epochs, last = well(number, recipe, attempt)
        assert isinstance(last, Finished)
        outcome = last.result.outcome.changed(seconds=1000.0 if number == 0 else 10.0)
        return [*epochs, Finished(number, replace(last.result, outcome=outcome))]

    def left(forecast: float | None) -> list[str]:
        folder = tmp_path / str(forecast)
        folder.mkdir()
        lines = shown(folder, terminal=False, behave=behave, forecast=forecast).splitlines()
        return [line.split(", ")[-1].removesuffix(" left]") for line in lines if line.startswith("trial")]

    assert left(7230.0) == ["2 h 0 min", "10 s", "0 s"]
    assert left(0.0) == left(None) == ["33 min 20 s", "10 s", "0 s"], "a forecast that was too short says no more"


@pytest.mark.parametrize("terminal", [False, True])
def test_stopped_students_are_told_with_their_epoch_and_counted(tmp_path: Path, terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, highlight=False)
    storage = open_storage(storage_url(tmp_path, None))
    optuna.create_study(study_name="tiny", storage=storage, directions=DIRECTIONS)
    search = Search(STOPPING, FRAME, storage, Scripted(whole), Store(tmp_path / "store"))
    with Display(console, 9) as display:
        search.run(9, display.event)
    stopped = search.ledger.stopped
    assert stopped
    text = out.getvalue()
    assert f"9 of 9, {stopped} stopped early, 0 s left" in text
    if not terminal:
        lines = [
            line for line in text.splitlines() if "stopped after epoch 2 of 6" in line or "after epoch 4 of" in line
        ]
        assert len(lines) == stopped
        assert len([line for line in text.splitlines() if line.startswith("trial")]) == 9
    else:
        assert " running, 0 failed" in text


def test_a_terminal_shows_a_panel(tmp_path: Path) -> None:
    text = shown(tmp_path, terminal=True)
    for word in ("3 of 3", "best with", "accuracy"):
        assert word in text
