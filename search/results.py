"""Read-only results: storage -> Candidates, the Pareto front, and the student for a budget. No torch, no ray.

`python -m search.results STUDY` prints them. This is the app's only door to a study.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from fitnets.config import Cost, Outcome, Recipe, Report
from fitnets.cost import cost
from fitnets.errors import InputError
from fitnets.value import Value
from search.study import shown

State = Literal["complete", "running", "pruned", "infeasible", "failed"]
STATES: dict[str, State] = {"COMPLETE": "complete", "RUNNING": "running", "PRUNED": "pruned", "FAIL": "failed"}


class Candidate(Value):
    """A row of the results: one trial's recipe, cost and outcome, and whether it is on the front."""

    trial: int
    name: str | None
    """What its designer called it; None for the sampler's own."""
    state: State
    on_front: bool
    recipe: Recipe
    cost: Cost
    outcome: Outcome | None
    reports: tuple[Report, ...]
    reason: str | None
    """Why it failed."""

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
            "recipe": recipe.model_dump(mode="json"),
        }


class Snapshot(Value):
    """One study as it stands."""

    study: str
    definition: dict[str, Any]
    teacher: dict[str, Any]
    """Its digest, validation accuracy and cost; empty before it is trained."""
    images: dict[str, Any]
    """Their shape, classes and numbers, and the folder that they were read from."""
    candidates: tuple[Candidate, ...]

    def front(self) -> tuple[Candidate, ...]:
        """The Pareto front, from the smallest student up."""
        return tuple(sorted((c for c in self.candidates if c.on_front), key=lambda c: (c.cost.params, c.cost.macs)))


def read(url: str, name: str) -> Snapshot:
    """The study `name` of the storage at `url`, read without ever writing to it or creating it.

    Raises InputError when there is no such storage or study.
    """
    try:
        with _connect(url) as connection:
            study_id = connection.execute(_STUDY, {"name": name}).scalar()
            if study_id is None:
                known = [row[0] for row in connection.execute(_STUDIES)]
                raise InputError(
                    f"the storage {shown(url)} has no study `{name}`: it has {', '.join(known) or 'none'}. Choose one "
                    f"with --name, or run it: python -m search.run {name}"
                )
            about = {key: json.loads(text) for key, text in connection.execute(_STUDY_ATTRS, {"id": study_id})}
            trials = connection.execute(_TRIALS, {"id": study_id}).all()
            attrs: dict[int, dict[str, Any]] = defaultdict(dict)
            for trial_id, key, text in connection.execute(_TRIAL_ATTRS, {"id": study_id}):
                attrs[trial_id][key] = json.loads(text)
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0].replace(url, shown(url))
        raise InputError(f"the storage {shown(url)} cannot be read ({reason}): give its folder with --runs.") from error
    candidates = [
        _candidate(number, state, attrs[trial_id]) for trial_id, number, state in trials if "recipe" in attrs[trial_id]
    ]
    return Snapshot(
        study=name,
        definition=about.get("study", {}),
        teacher=about.get("teacher", {}),
        images=about.get("images", {}),
        candidates=tuple(_marked(candidates)),
    )


def dominated(candidate: Candidate, others: Iterable[Candidate]) -> bool:
    """Whether another student is at least as good in accuracy, parameters and multiply-adds, and better in one."""
    mine = _objectives(candidate)
    return any(
        all(theirs <= ours for theirs, ours in zip(objectives, mine, strict=True)) and objectives != mine
        for objectives in map(_objectives, others)
    )


def _objectives(candidate: Candidate) -> tuple[float, int, int]:
    """To be minimised. Only for finished candidates."""
    assert candidate.outcome is not None
    return -candidate.outcome.val_accuracy, candidate.cost.params, candidate.cost.macs


def _marked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, with those on the front marked."""
    finished = [c for c in candidates if c.outcome is not None and c.state == "complete"]
    on_front = {c.trial for c in finished if not dominated(c, finished)}
    return [c.model_copy(update={"on_front": c.trial in on_front}) for c in candidates]


def _candidate(number: int, state: str, attrs: dict[str, Any]) -> Candidate:
    recipe = Recipe.model_validate(attrs["recipe"])
    return Candidate(
        trial=number,
        name=attrs.get("name"),
        state="infeasible" if attrs.get("infeasible") else STATES.get(state, "running"),
        on_front=False,
        recipe=recipe,
        cost=Cost.model_validate(attrs["cost"]) if "cost" in attrs else cost(recipe.student),
        outcome=Outcome.model_validate(attrs["outcome"]) if "outcome" in attrs else None,
        reports=tuple(Report.model_validate(report) for report in attrs.get("reports", ())),
        reason=attrs.get("reason"),
    )


def _connect(url: str) -> sqlalchemy.Connection:
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        if not path.is_file():
            raise InputError(
                f"there is no study storage at `{path}`: run a study first, or give its folder with --runs."
            )
        url = f"sqlite:///file:{path}?mode=ro&uri=true"
    return sqlalchemy.create_engine(url).connect()


# Optuna's own tables; reading them directly is twenty times faster than loading the study.
_STUDY = sqlalchemy.text("SELECT study_id FROM studies WHERE study_name = :name")
_STUDIES = sqlalchemy.text("SELECT study_name FROM studies ORDER BY study_id")
_STUDY_ATTRS = sqlalchemy.text("SELECT key, value_json FROM study_user_attributes WHERE study_id = :id")
_TRIALS = sqlalchemy.text("SELECT trial_id, number, state FROM trials WHERE study_id = :id ORDER BY number")
_TRIAL_ATTRS = sqlalchemy.text(
    "SELECT a.trial_id, a.key, a.value_json FROM trial_user_attributes a "
    "JOIN trials t ON t.trial_id = a.trial_id WHERE t.study_id = :id"
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


if __name__ == "__main__":
    from search.results_cli import main

    main()
