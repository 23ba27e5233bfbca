"""`search.run --like OTHER`: another study's front as the first students. Its values are never shown to the sampler."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import optuna

from fitnets.config import Recipe
from fitnets.errors import InputError
from fitnets.nets.cost import cost
from search.read.candidates import Candidate, Snapshot
from search.ship.confirmed import Confirmation
from search.space import Frame, params_of, recipe_of
from search.study import Study

LIKE = "like"  # the study's attribute with the names and recipes of these students, written before the first one
COUNT = 8  # students by default: of 5 to 10, a near study's front gains most at the beginning


@dataclass(frozen=True)
class Like:
    """What --like asks for."""

    other: Snapshot
    front: list[Candidate]
    """Of the other study's confirmed students where there are some, else of its single runs."""
    count: int

    @classmethod
    def of(cls, other: Snapshot, confirmed: Confirmation | None, count: int) -> Self:
        """Raises InputError where the other study has no trained student."""
        trials = {each.trial for each in confirmed.front()} if confirmed else {c.trial for c in other.front()}
        front = [c for c in other.candidates if c.trial in trials]
        if not front:
            raise InputError(f"`--like` names the study `{other.study}`, which has no trained student: run it first.")
        return cls(other, front, count)

    def check(self, study: Study, known: optuna.Study | None) -> None:
        """Raises InputError where the study began otherwise, or the other's students have no place in its space."""
        name = self.other.study
        if known is not None and (known.user_attrs.get(LIKE) or {}).get("study") != name:
            raise InputError(
                f"the study `{study.name}` began without `--like {name}`, which only a new study can take: give it "
                "another name with --name, or leave --like out."
            )
        others = {len(c.recipe.student.stages) for c in self.front} - {study.space.stages}
        if others:
            raise InputError(
                f"`--like` names the study `{name}`, whose students have {min(others)} stages, but this space has "
                f"{study.space.stages}: name a study with as many."
            )

    def students(self, study: Study, frame: Frame) -> list[tuple[str, Recipe]]:
        """Names and recipes of the students to train first: see `rebuilt`."""
        front = [(f"like:{self.other.study}:{student.trial}", student.recipe) for student in self.front]
        return rebuilt(front, study, frame, self.count)


def rebuilt(front: Iterable[tuple[str, Recipe]], study: Study, frame: Frame, count: int) -> list[tuple[str, Recipe]]:
    """Up to `count` students of another study's front, evenly spaced by log multiply-adds.

    Each is rebuilt within this study's space and by its frame; those over its limits are left out.
    """
    found: dict[str, tuple[str, Recipe]] = {}
    for name, theirs in front:
        recipe = recipe_of(params_of(theirs, study.space, frame), study.space, frame)
        if study.allows(cost(recipe.student)):
            found.setdefault(recipe.digest(), (name, recipe))
    return evenly_spaced(list(found.values()), count)


def evenly_spaced(students: Sequence[tuple[str, Recipe]], count: int) -> list[tuple[str, Recipe]]:
    """The students nearest to `count` equal steps of log multiply-adds; all of them where there are no more."""
    left = sorted(students, key=_log_macs)
    if len(left) <= count:
        return left
    low, high = _log_macs(left[0]), _log_macs(left[-1])
    chosen = []
    for step in range(count):
        wanted = low + (high - low) * step / max(1, count - 1)
        nearest = min(left, key=lambda student: abs(_log_macs(student) - wanted))
        left.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen, key=_log_macs)


def stored(known: optuna.Study | None) -> list[tuple[str, Recipe]]:
    """The students that an earlier run of this study planned; none where it had no --like."""
    rows = (known.user_attrs.get(LIKE) or {}).get("students", []) if known is not None else []
    return [(row["name"], Recipe.model_validate(row["recipe"])) for row in rows]


def as_attribute(other: str, students: Sequence[tuple[str, Recipe]]) -> dict[str, Any]:
    """What `stored` reads."""
    rows = [{"name": name, "recipe": recipe.model_dump(mode="json")} for name, recipe in students]
    return {"study": other, "students": rows}


def _log_macs(student: tuple[str, Recipe]) -> float:
    return math.log(cost(student[1].student).macs)
