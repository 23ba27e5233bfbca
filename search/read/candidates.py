"""A study's results as values: its candidates, and which of them are on the Pareto front. No torch, no ray.

`python -m search.results STUDY` prints them. `search.read.reader` reads them from a storage.
"""

import csv
import io
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from fitnets.config import Cost, Outcome, Recipe, Report
from fitnets.images.printable import shown
from fitnets.nets.footprint import Footprint, footprint
from fitnets.values.base import Value
from search.driver.stopping import Arrival
from search.read import pareto

State = Literal["complete", "running", "pruned", "infeasible", "failed"]
STATES: dict[str, State] = {"COMPLETE": "complete", "RUNNING": "running", "PRUNED": "pruned", "FAIL": "failed"}
"""Our state for each of Optuna's. PRUNED is also a trial over the limits, `infeasible` here; `pruned` is one that was
stopped at a rung."""

Advice = Literal["said", "again", "change"]
"""What to do about the error that ended a driver: what its message says; give the same command again; or change what it
names, because the same command would end in the same way."""

CONFIRMS = "confirms"  # the attribute of a study of runs with fresh seeds: what they confirm
SUFFIX = ".confirm"  # the name of a study of runs with fresh seeds is its search's name with this suffix
ENDED = "driver_ended"  # the study's attribute with the time at which its driver ended
REASON = "driver_reason"  # the study's attribute with the error that ended its driver; None where there was none
ADVICE = "driver_advice"  # the study's attribute with what to do about that error
TEACHING = "teaching"  # the study's attribute with the teacher's last epoch, while it is trained


class Timing(Value):
    """How long one pass took on a machine (see `search.ship.latencies`)."""

    p50_ms: float
    p90_ms: float
    threads: int
    batch: int = 1
    device: str
    date: str
    load: float
    """The load average of that machine when the timing began."""


class Candidate(Value):
    """One trial: its recipe, cost and outcome, and whether it is on the Pareto front."""

    trial: int
    name: str | None
    """Its name in the study; None for a student that the sampler drew."""
    state: State
    on_front: bool
    recipe: Recipe
    cost: Cost
    outcome: Outcome | None
    reports: tuple[Report, ...]
    reason: str | None
    """Why it failed."""
    started: float | None = None
    """Seconds since 1970."""
    ended: float | None = None
    attempts: int = 1
    """How often it was started; more than once where its worker died."""
    same_as: int | None = None
    """The trial of the same recipe whose outcome this one shares."""
    timing: Timing | None = None
    """None where it was not timed: the search itself times nothing."""
    file_bytes: int | None = None
    """The size of its float32 ONNX file; None where none was measured: the search itself exports nothing."""
    rungs: tuple[Arrival, ...] = ()
    """The rungs that it reached, with the verdicts."""
    stopped_at: int | None = None
    """The epoch of stage 2 after which it was stopped; None where it was not."""

    @cached_property
    def footprint(self) -> Footprint:
        """What its net needs on a device."""
        return footprint(self.recipe.student)

    @property
    def audited(self) -> bool:
        """Whether it was to be stopped, and goes on to its end to check the rule."""
        return any(arrival.audited for arrival in self.rungs)

    def row(self) -> dict[str, Any]:
        """The candidate as plain JSON: accuracies are fractions, params and macs integers, times seconds."""
        recipe, outcome = self.recipe, self.outcome
        return {
            "trial": self.trial,
            "name": self.name,
            "state": self.state,
            "val_accuracy": outcome.val_accuracy if outcome else None,
            "best_val_accuracy": outcome.best_val_accuracy if outcome else None,
            "params": self.cost.params,
            "weights": self.cost.weights,
            "macs": self.cost.macs,
            "on_front": self.on_front,
            "depth": recipe.student.depth,
            "widths": [list(widths) for widths in recipe.student.stages],
            "hint_layer": recipe.hint.hint if recipe.hint else None,
            "guided_layer": recipe.hint.guided if recipe.hint else None,
            "hint_r2": outcome.hint_r2 if outcome else None,
            "tau": recipe.distill.tau,
            "lambda_start": recipe.distill.lambda_start,
            "lambda_end": recipe.distill.lambda_end,
            "seconds": outcome.seconds if outcome else sum(report.seconds for report in self.reports),
            "reason": self.reason,
            "stopped_at": self.stopped_at,
            "audited": self.audited,
            "recipe": recipe.model_dump(mode="json"),
        }


class Unread(Value):
    """A trial that is not a candidate: it has no recipe, or one that this version cannot read."""

    trial: int
    state: State
    reason: str


class Confirms(Value):
    """What a study of runs with fresh seeds confirms, written down before its first run."""

    study: str
    """The name of the study whose students they are."""
    trials: tuple[int, ...]
    seeds: int
    """Runs a student."""
    spread: float | None = None
    """Of earlier runs over seeds, by which students near the front were chosen; None: by their validation images."""


class Snapshot(Value):
    """One study at one moment."""

    study: str
    definition: dict[str, Any]
    teacher: dict[str, Any]
    """Its digest, validation accuracy and cost; empty before it is trained."""
    images: dict[str, Any]
    """Their shape, classes and counts, and the folder that they were read from."""
    candidates: tuple[Candidate, ...]
    unread: tuple[Unread, ...] = ()
    stopped: float | None = None
    """When its driver ended, in seconds since 1970; None while it runs, and where it was killed or ended by an error
    that was not foreseen."""
    reason: str | None = None
    """The error that ended its driver; None where it came to its end, or was told to stop."""
    advice: Advice = "said"
    """What to do about that error."""
    teaching: Report | None = None
    """The teacher's last epoch; None before the first one, and in studies whose teacher was trained before."""
    confirms: Confirms | None = None
    """None for a search."""

    def unreadable(self) -> tuple[Unread, ...]:
        """The trials that ended without failing, but cannot be read."""
        return tuple(u for u in self.unread if u.state not in ("running", "failed"))

    def images_line(self) -> str | None:
        """Which images the study was trained on, as a line for people; None before any were read."""
        images = self.images
        if "images" not in images:
            return None
        data_set = self.definition.get("data", {}).get("name")
        folder = (
            f" of `{shown(Path(str(images['data_dir'])))}`" if "data_dir" in images and data_set != "digits" else ""
        )
        counts = {"training": images.get("train"), "validation": images.get("val")}
        known = " and ".join(f"{number:,} {part}" for part, number in counts.items() if isinstance(number, int))
        return f"images{folder}: {known}{', ' if known else ''}digest {str(images['images'])[:12]}"

    def front(self) -> tuple[Candidate, ...]:
        """The Pareto front, the smallest student first."""
        return tuple(sorted((c for c in self.candidates if c.on_front), key=lambda c: (c.cost.params, c.cost.macs)))


def objectives(candidate: Candidate) -> tuple[float, int, int]:
    """The objectives, all to be minimised: minus accuracy, parameters, multiply-adds. Only for finished candidates."""
    assert candidate.outcome is not None
    return -candidate.outcome.val_accuracy, candidate.cost.params, candidate.cost.macs


def marked(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates with `on_front` set; the same objects where it does not change."""
    finished = [c for c in candidates if c.outcome is not None and c.state == "complete"]
    on_front = {finished[i].trial for i in pareto.front([objectives(c) for c in finished])}
    return tuple(
        c if c.on_front == (c.trial in on_front) else c.model_copy(update={"on_front": c.trial in on_front})
        for c in candidates
    )


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as comma-separated values; lists and recipes as JSON within a field."""
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()})
    return out.getvalue()
