"""The chaos bench: it sees what it is there to see, and a study that is killed three times equals one that is not."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from bench.chaos.kills import KINDS, Witness, verdict, wrong_verdicts
from fitnets.disk.store import Store
from fitnets.nets.cost import cost
from fitnets.training.checkpoints import Checkpoints
from fitnets.training.run import Run
from search.driver.stopping import Stopping
from search.read.candidates import Candidate, marked
from search.workers.logs import Log
from tests.helpers import RECIPE, ROOT, SHORT, STUDY
from tests.search.driver.test_loop import report, result


def candidate(number: int, state: str = "complete", **fields: Any) -> Candidate:
    """A trial of its own recipe."""
    recipe = RECIPE.changed(seed=number)
    about: dict[str, Any] = {
        "trial": number,
        "name": None,
        "on_front": False,
        "reports": (),
        "reason": None,
        "ended": 1.0,
    }
    outcome = result(recipe).outcome if state == "complete" else None
    about |= {"recipe": recipe, "cost": cost(recipe.student), "outcome": outcome}
    return Candidate.model_validate(about | {"state": state, "ended": 1.0} | fields)


class Seen:
    """A study as a Witness sees it, made up."""

    def __init__(self, folder: Path, trials: list[Candidate]):
        self.trials, self.runs, self.logs = trials, folder, folder / "logs"
        self.store = Store(folder / "store")
        self.study = SimpleNamespace(trials=len(trials), stopping=None)
        self.witness = Witness(self)  # type: ignore[arg-type]

    def candidates(self) -> list[Candidate]:
        return self.trials

    def left(self) -> int:
        return 0

    def train(self, number: int, *epochs: int) -> None:
        for epoch in epochs:
            Log(self.logs, number).epoch(report(epoch))

    def keep(self, number: int, epochs: int) -> None:
        checkpoints = Checkpoints(self.store, f"{self.trials[number].recipe.digest()}-x")
        checkpoints.reports += map(report, range(1, epochs + 1))
        checkpoints.write(Run(nn.Linear(1, 1), SHORT))

    def finish(self) -> None:
        self.trials = [candidate(trial.trial) for trial in self.trials]
        for trial in self.trials:
            assert trial.outcome is not None
            self.store.put("student", trial.outcome.weights_sha256, {"student.safetensors": b""})


def test_an_epoch_that_a_checkpoint_held_is_counted_when_it_is_trained_again(tmp_path: Path) -> None:
    seen = Seen(tmp_path, [candidate(0, "running"), candidate(1, "running")])
    seen.train(0, 1, 2, 3)
    seen.train(1, 1, 2)
    seen.keep(0, 2)
    seen.witness.look()
    seen.train(0, 3, 4)
    seen.train(1, 1, 2)
    assert seen.witness.repeated() == 0, "after the last checkpoint, or without one"
    assert seen.witness.trained() == (9, 3)
    seen.train(0, 2)
    assert seen.witness.repeated() == 1


def test_a_checkpoint_that_is_ahead_of_the_log_is_not_held_against_its_process(tmp_path: Path) -> None:
    """It may live, and write the line a moment later."""
    seen = Seen(tmp_path, [candidate(0, "running")])
    seen.train(0, 1)
    seen.keep(0, 2)
    seen.witness.look()
    seen.train(0, 2)
    assert seen.witness.repeated() == 0


def test_a_study_that_went_well_has_nothing_to_report(tmp_path: Path) -> None:
    seen = Seen(tmp_path, [candidate(number, "running") for number in range(3)])
    seen.finish()
    seen.witness.look()
    assert set(verdict(seen, seen.witness, seen.trials).values()) == {0}  # type: ignore[arg-type]


def stopped(number: int, order: int, *, goes_on: bool) -> Candidate:
    """A trial at the first rung, 2 of 2 peers better where it stops."""
    counts = {"dominators": 0 if goes_on else 1, "better": 0 if goes_on else 1, "peers": order + 1}
    rung = counts | {"epoch": 1, "order": order, "accuracy": 0.9 - 0.1 * order, "goes_on": goes_on, "audited": False}
    state = {"state": "complete"} if goes_on else {"state": "pruned", "stopped_at": 1}
    return candidate(number, **state, rungs=(rung,))


@pytest.mark.parametrize("wrong", ["nothing", "verdict", "order", "act", "rung"])
def test_a_verdict_that_the_rule_does_not_give_or_nobody_acted_on_is_counted(wrong: str) -> None:
    study = STUDY.changed(stopping=Stopping(audit=0.0), stage2=STUDY.stage2.changed(epochs=2))
    trials = [stopped(0, 0, goes_on=True), stopped(1, 1, goes_on=False)]
    if wrong == "verdict":
        trials[1] = stopped(1, 1, goes_on=True)
    elif wrong == "order":
        trials[1] = trials[1].changed(rungs=(trials[1].rungs[0].changed(order=2),))
    elif wrong == "act":
        trials[1] = trials[1].changed(state="complete")
    elif wrong == "rung":
        trials.append(candidate(2))
    assert wrong_verdicts(study, trials) == (wrong != "nothing")


@pytest.mark.parametrize("again", ["told", "trained", "dispatched"])
def test_a_trial_that_comes_twice_is_counted(tmp_path: Path, again: str) -> None:
    seen = Seen(tmp_path, [candidate(number, "running") for number in range(3)])
    seen.finish()
    seen.witness.look()
    if again == "told":
        seen.trials[1] = candidate(1, ended=2.0)
    elif again == "trained":
        seen.train(1, 1)
    else:
        seen.trials[1] = candidate(0, trial=1)
    assert verdict(seen, seen.witness, seen.trials)["trials told twice"] == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"state": "running", "outcome": None}, {"trials lost", "trials left RUNNING"}),
        ({"state": "failed", "outcome": None}, {"trials lost"}),
        ({"outcome": result(RECIPE.changed(seed=8)).outcome}, {"students whose weights are not in the store"}),
    ],
    ids=["running", "failed", "other weights"],
)
def test_what_differs_is_counted(tmp_path: Path, fields: dict[str, Any], what: set[str]) -> None:
    seen = Seen(tmp_path, [candidate(number, "running") for number in range(3)])
    seen.finish()
    expected = list(marked(seen.trials))
    best = next(trial.trial for trial in expected if trial.on_front)
    seen.trials[best] = candidate(best, **fields)
    seen.trials = list(marked(seen.trials))
    found = verdict(seen, seen.witness, expected)  # type: ignore[arg-type]
    always = {"trials of another recipe, value, weights or verdict", "students on one front only"}
    assert {name for name, number in found.items() if number} == what | always


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in Linux's /proc")
def test_a_study_killed_three_times_equals_one_that_is_not(tmp_path: Path) -> None:
    """Driver, worker and node, each once, by SIGKILL."""
    words = ["-m", "bench.chaos", "--kills", "3", "--trials", "5"]  # with 2, both may end before the third kill
    result = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=550)
    assert result.returncode == 0, result.stdout + result.stderr
    assert all(f"| kills ({kind}) | 1 |" in result.stdout for kind in KINDS)
    assert "| **epochs trained again that a checkpoint held** | 0 |" in result.stdout
