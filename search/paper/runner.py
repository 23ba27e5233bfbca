"""Train an experiment's runs on the workers, and keep each one that finishes. No torch, no ray.

A run is named by everything that it depends on, so the same command goes on where it was stopped.
"""

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from fitnets.config import Data, Outcome, Recipe
from fitnets.disk.store import Store
from fitnets.values.base import Value, canonical_json, sha256
from search.driver.flight import ATTEMPTS
from search.paper.experiments import Experiment
from search.paper.outputs import written
from search.workers.facts import Facts, TeacherFacts
from search.workers.protocol import EpochDone, Event, Finished, Notice, Stopped, WorkerLost, Workers

DIVERGED = "Diverged"  # a loss that is no number: a result of the recipe, not a fault of the machine


class FinishedRun(Value):
    """A run that is done."""

    recipe: Recipe
    outcome: Outcome | None
    """None when the training diverged."""


class FinishedRuns:
    """The finished runs: one JSON for each in a folder, their weights in the store."""

    def __init__(self, folder: Path, store: Store):
        self.folder, self.store = folder, store

    def get(self, key: str) -> FinishedRun | None:
        """A finished run whose weights are still there; None for one that must be trained."""
        try:
            found = FinishedRun.model_validate_json((self.folder / f"{key}.json").read_bytes())
        except (OSError, ValidationError):
            return None
        return found if found.outcome is None or self.weights(found.outcome) is not None else None

    def weights(self, outcome: Outcome) -> bytes | None:
        """A run's safetensors file."""
        return (self.store.get("student", outcome.weights_sha256) or {}).get("student.safetensors")

    def put(self, key: str, finished: FinishedRun, weights: bytes | None) -> None:
        """Keep a run: weights first, so that what is listed can be tested.

        Raises InputError when the folder cannot be written.
        """
        if finished.outcome is not None and weights is not None:
            self.store.put("student", finished.outcome.weights_sha256, {"student.safetensors": weights})
        path = self.folder / f"{key}.json"
        with written(path):
            making = path.with_suffix(".making")
            making.write_text(finished.model_dump_json(indent=1) + "\n")
            making.replace(path)


def key_of(recipe: Recipe, data: Data, facts: Facts, teacher: TeacherFacts) -> str:
    """What a run depends on. Without the code's version: days of training are not thrown away for a comment."""
    return sha256(canonical_json([recipe.digest(), facts.images, facts.device, data.views, teacher.teacher]))


def train(
    experiment: Experiment,
    keys: list[str],
    kept: FinishedRuns,
    crew: Workers,
    tell: Callable[[Event | None], None],
) -> None:
    """Train what is missing of the experiment's runs; `keys` are theirs, in their order.

    Raises Stopped when runs failed, or lost their worker too often, after all others are done.
    """
    runs = experiment.runs()
    waiting = deque(number for number, key in enumerate(keys) if kept.get(key) is None)
    lost: Counter[int] = Counter()
    running: set[int] = set()
    failures: dict[int, str] = {}
    while waiting or running:
        while waiting and crew.free():
            number = waiting.popleft()
            crew.submit(number, runs[number][2])
            running.add(number)
        events = crew.wait(1.0)
        for event in events:
            if isinstance(event, EpochDone | Notice):
                tell(event)
                continue
            number = event.number
            running.discard(number)
            if isinstance(event, WorkerLost):
                lost[number] += event.began
                if lost[number] < ATTEMPTS:
                    waiting.append(number)
                else:
                    failures[number] = event.reason
            elif isinstance(event, Finished):
                finished = FinishedRun(recipe=runs[number][2], outcome=event.result.outcome)
                kept.put(keys[number], finished, event.result.weights)
            elif event.kind == DIVERGED:
                kept.put(keys[number], FinishedRun(recipe=runs[number][2], outcome=None), None)
            else:
                failures[number] = f"{event.kind}: {event.message}"
            if not isinstance(event, WorkerLost):
                crew.forget(number, runs[number][2])
            tell(event)
        if not events:
            tell(None)
    if failures:
        number, reason = next(iter(failures.items()))
        arm, seed, _ = runs[number]
        raise Stopped(f"{len(failures)} of {len(runs)} runs failed; {arm.name} by {arm.method}, seed {seed}: {reason}")
