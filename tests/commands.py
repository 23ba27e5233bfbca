"""The commands as typed, with inline workers in the place of Ray's. No tests here."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from search import confirm, latency, pick, results, run
from search.paper import __main__ as paper
from search.study import Study
from search.workers.facts import Speed, StoredTable
from search.workers.inline import InlineWorkers
from tests.helpers import STUDY

COMMANDS: dict[str, Any] = {  # a study's
    "run": run.main,
    "results": results.main,
    "confirm": confirm.main,
    "pick": pick.main,
    "latency": latency.main,
}
OTHERS: dict[str, Any] = {"paper": paper.main}


class Crew(InlineWorkers):
    """Inline workers in the place of Ray's."""

    def __init__(self, address: str | None, slots: int | None, gpu_fraction: float):
        super().__init__()
        self.closed = False

    def has(self, teacher: Any) -> bool:
        return self.trainer.has(teacher)

    def stored_tables(self, teacher: Any, precision: Any, epochs: Any) -> frozenset[StoredTable]:
        return self.trainer.stored_tables(teacher, precision, epochs)

    def measure_brought(self, teacher: Any, batch: int) -> Speed:
        self.trainer.open_teacher(teacher, None)
        return self.trainer.measure_teacher(batch)

    def close(self) -> None:
        self.closed = True


def inline_crews(monkeypatch: pytest.MonkeyPatch) -> list[Crew]:
    """Put inline workers in the place of Ray's; returns the crews that the commands will make."""
    made: list[Crew] = []

    def make(address: str | None, slots: int | None, gpu_fraction: float) -> Crew:
        made.append(Crew(address, slots, gpu_fraction))
        return made[-1]

    monkeypatch.setitem(sys.modules, "search.workers.crew", types.SimpleNamespace(RayWorkers=make))
    return made


def invoke(command: str, *words: object) -> Result:
    """A command as typed; an exception that it lets through fails the test."""
    result = CliRunner().invoke((COMMANDS | OTHERS)[command], [str(word) for word in words], catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


def study_file(folder: Path, study: Study = STUDY) -> Path:
    """A study as a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{study.name}.py"
    text = study.model_dump_json()
    path.write_text(f"from search.study import Study\nSTUDY = Study.model_validate_json({text!r})\n")
    return path
