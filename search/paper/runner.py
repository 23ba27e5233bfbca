"""Train an experiment's runs on the workers, and store each one that finishes. No torch, no ray.

A run's key is a digest of everything that it depends on, so the same command continues where it was stopped.
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
from search.workers.protocol import EndedEarly, EpochDone, Event, Finished, Notice, Stopped, WorkerLost, Workers

DIVERGED = "Diverged"  # the loss became NaN or infinite: a result of the recipe, not a fault of the machine


class FinishedRun(Value):
    """A run that finished."""

    recipe: Recipe
    outcome: Outcome | None
    """None when the training diverged."""


class FinishedRuns:
    """The finished runs: a JSON file for each in a folder, their weights in the store."""

    def __init__(self, folder: Path, store: Store):
        self.folder, self.store = folder, store

    def get(self, key: str) -> FinishedRun | None:
        """A finished run; None where it must be trained, also because its weights are no longer stored."""
        try:
            found = FinishedRun.model_validate_json((self.folder / f"{key}.json").read_bytes())
        except (OSError, ValidationError):
            return None
        return found if found.outcome is None or self.weights(found.outcome) is not None else None

    def weights(self, outcome: Outcome) -> bytes | None:
        """A run's safetensors file; None where it is no longer stored."""
        return (self.store.get("student", outcome.weights_sha256) or {}).get("student.safetensors")

    def put(self, key: str, finished: FinishedRun, weights: bytes | None) -> None:
        """Store a run: weights first, so that every listed run has them.

        Raises InputError when the folder cannot be written.
        """
        if finished.outcome is not None and weights is not None:
            self.store.put("student", finished.outcome.weights_sha256, {"student.safetensors": weights})
        path = self.folder / f"{key}.json"
        with written(path):
            temporary = path.with_suffix(".making")
            temporary.write_text(finished.model_dump_json(indent=1) + "\n")
            temporary.replace(path)


def key_of(recipe: Recipe, data: Data, facts: Facts, teacher: TeacherFacts) -> str:
    """A digest of what a run depends on. Not of the code's version: a changed comment must not discard a training."""
    return sha256(canonical_json([recipe.digest(), facts.images, facts.device, data.views, teacher.teacher]))


def train(
    experiment: Experiment,
    keys: list[str],
    stored: FinishedRuns,
    crew: Workers,
    on_event: Callable[[Event | None], None],
) -> None:
    """Train those of the experiment's runs that are not stored; `keys` are those of all runs, in their order.

    `on_event` is called with every event, and with None after a second without one. Raises Stopped when runs failed, or
    lost their worker too often, once all others have finished.
    """
    runs = experiment.runs()
    waiting = deque(number for number, key in enumerate(keys) if stored.get(key) is None)
    lost: Counter[int] = Counter()
    running: set[int] = set()
    failures: dict[int, str] = {}
    while waiting or running:
        while waiting and crew.free():
            number = waiting.popleft()
            crew.submit(number, runs[number][2])
            running.add(number)
        crew.need(len(waiting) + len(running))
        events = crew.wait(1.0)
        for event in events:
            if isinstance(event, EpochDone | EndedEarly | Notice):  # no run is stopped early
                on_event(event)
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
                stored.put(keys[number], finished, event.result.weights)
            elif event.kind == DIVERGED:
                stored.put(keys[number], FinishedRun(recipe=runs[number][2], outcome=None), None)
            else:
                failures[number] = f"{event.kind}: {event.message}"
            if not isinstance(event, WorkerLost):
                crew.forget(number, runs[number][2])
            on_event(event)
        if not events:
            on_event(None)
    if failures:
        number, reason = next(iter(failures.items()))
        arm, seed, _ = runs[number]
        raise Stopped(f"{len(failures)} of {len(runs)} runs failed; {arm.name} by {arm.method}, seed {seed}: {reason}")
