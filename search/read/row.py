"""One trial as the storage has it -> Candidate, or Unread with the reason."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from fitnets.config import Cost, Outcome, Recipe, Report
from fitnets.nets.cost import cost
from fitnets.values.base import Value, explain
from search.driver.stopping import Arrival
from search.read.candidates import STATES, Candidate, State, Unread

_REPORTS = TypeAdapter(tuple[Report, ...])
_ARRIVALS = TypeAdapter(tuple[Arrival, ...])
V = TypeVar("V", bound=Value)


def row(number: int, stored: str, started: Any, ended: Any, attrs: Mapping[str, str]) -> Candidate | Unread:
    """A trial from its columns and attributes; Unread, with the reason, where it has no recipe of this version."""
    state: State = "infeasible" if plain(attrs.get("infeasible")) else STATES.get(stored, "running")
    stored_reason = plain(attrs.get("reason"))
    reason = None if stored_reason is None else str(stored_reason)
    if "recipe" not in attrs:
        missing = "it has not been dispatched yet" if state == "running" else "it has no recipe"
        return Unread(trial=number, state=state, reason=reason or missing)
    try:
        recipe = Recipe.model_validate_json(attrs["recipe"])
    except ValidationError as error:
        line = explain(error).splitlines()[0]
        return Unread(trial=number, state=state, reason=f"its recipe is another version's ({line})")
    outcome, fault = _outcome(attrs.get("outcome"))
    if state == "complete" and outcome is None:
        reason = reason or fault or "it has no outcome"
    name, dispatched = plain(attrs.get("name")), plain(attrs.get("started"))
    stopped_at = mapping(attrs.get("stopped_at")).get("epoch") if state == "pruned" else None
    attempts, same_as = plain(attrs.get("attempts")), plain(attrs.get("same_as"))
    return Candidate(
        trial=number,
        name=None if name is None else str(name),
        state=state,
        on_front=False,
        recipe=recipe,
        cost=valid(Cost, attrs.get("cost")) or cost(recipe.student),
        outcome=outcome,
        reports=reports(attrs.get("reports")),
        reason=reason,
        started=float(dispatched) if isinstance(dispatched, int | float) else _seconds(started),
        ended=_seconds(ended),
        attempts=attempts if isinstance(attempts, int) else 1,
        same_as=same_as if isinstance(same_as, int) else None,
        rungs=_arrivals(attrs.get("rungs")),
        stopped_at=stopped_at if isinstance(stopped_at, int) else None,
    )


def reports(text: str | None) -> tuple[Report, ...]:
    """Stored reports; empty where there are none, or they are another version's."""
    try:
        return _REPORTS.validate_json(text) if text is not None else ()
    except ValidationError:
        return ()


def _arrivals(text: str | None) -> tuple[Arrival, ...]:
    """Stored arrivals at rungs; empty where there are none, or they are another version's."""
    try:
        return _ARRIVALS.validate_json(text) if text is not None else ()
    except ValidationError:
        return ()


def valid(kind: type[V], text: str | None) -> V | None:
    """A stored value; None where it is absent or another version's."""
    try:
        return kind.model_validate_json(text) if text is not None else None
    except ValidationError:
        return None


def plain(text: str | None) -> Any:
    """A stored JSON value; None where it is absent or broken."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def mapping(text: str | None) -> dict[str, Any]:
    """A stored JSON object; empty where it is absent or not an object."""
    found = plain(text)
    return found if isinstance(found, dict) else {}


def _outcome(text: str | None) -> tuple[Outcome | None, str | None]:
    """A stored outcome, or what is wrong with it; neither where none is stored."""
    if text is None:
        return None, None
    try:
        outcome = Outcome.model_validate_json(text)
    except ValidationError as error:
        return None, f"its outcome cannot be read ({explain(error).splitlines()[0]})"
    if not 0 <= outcome.val_accuracy <= 1:
        return None, f"its accuracy is {outcome.val_accuracy}, not a number from 0 to 1"
    return outcome, None


def _seconds(moment: Any) -> float | None:
    """A time as Optuna stores it (UTC without a time zone) in seconds since 1970."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.replace(tzinfo=UTC).timestamp() if isinstance(moment, datetime) else None
