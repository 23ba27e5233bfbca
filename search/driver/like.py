"""`search.run --like OTHER`: another study's front as the first students. Its values are never shown to the sampler."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import moocore
import numpy as np
import optuna

from fitnets.config import Recipe
from fitnets.errors import InputError
from fitnets.nets.cost import cost
from search.read.candidates import Snapshot
from search.ship.confirmed import Confirmation
from search.space import Frame, params_of, recipe_of
from search.study import Study

LIKE = "like"  # the study's attribute with the names and recipes of these students, written before the first one
COUNT = 8  # students by default: of 5 to 10, a near study's front gains most at the beginning
WORST = 1.1  # the hypervolume's reference, where 1 is the worst of the front: beyond it, so that the front's ends count


class Theirs(NamedTuple):
    """A student of the other study's front."""

    name: str
    recipe: Recipe
    accuracy: float


@dataclass(frozen=True)
class Like:
    """What --like asks for."""

    other: Snapshot
    front: list[Theirs]
    """Of the other study's confirmed students, with their means, where there are some, else of its single runs."""
    count: int

    @classmethod
    def of(cls, other: Snapshot, confirmed: Confirmation | None, count: int) -> Self:
        """Raises InputError where the other study has no trained student."""
        if confirmed is None:
            accuracies = {c.trial: c.outcome.val_accuracy for c in other.front() if c.outcome is not None}
        else:
            accuracies = {each.trial: each.mean for each in confirmed.front()}
        front = [
            Theirs(f"like:{other.study}:{c.trial}", c.recipe, accuracies[c.trial])
            for c in other.candidates
            if c.trial in accuracies
        ]
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
        others = {len(theirs.recipe.student.stages) for theirs in self.front} - {study.space.stages}
        if others:
            raise InputError(
                f"`--like` names the study `{name}`, whose students have {min(others)} stages, but this space has "
                f"{study.space.stages}: name a study with as many."
            )

    def students(self, study: Study, frame: Frame) -> list[tuple[str, Recipe]]:
        """Names and recipes of the students to train first: see `rebuilt`."""
        return rebuilt(self.front, study, frame, self.count)


def rebuilt(front: Iterable[Theirs], study: Study, frame: Frame, count: int) -> list[tuple[str, Recipe]]:
    """Up to `count` students of another study's front: see `most_volume`.

    Each is rebuilt within this study's space and by its frame; those over its limits are left out, and those below its
    least accuracy where any is above it.
    """
    found: dict[str, Theirs] = {}
    front = list(front)
    least = study.min_accuracy or 0.0
    for theirs in [each for each in front if each.accuracy >= least] or front:
        recipe = recipe_of(params_of(theirs.recipe, study.space, frame), study.space, frame)
        if study.allows(cost(recipe.student)):
            found.setdefault(recipe.digest(), theirs._replace(recipe=recipe))
    return [(theirs.name, theirs.recipe) for theirs in most_volume(list(found.values()), count)]


def most_volume(students: Sequence[Theirs], count: int) -> list[Theirs]:
    """Up to `count` students, each the one that adds most to the hypervolume of those before it.

    Of loss, log parameters and log multiply-adds, each scaled to 0..1 over the students.
    """
    if not students:
        return []
    prices = [cost(each.recipe.student) for each in students]
    losses = np.array(
        [(1 - s.accuracy, math.log(p.params), math.log(p.macs)) for s, p in zip(students, prices, strict=True)]
    )
    spread = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(0)) / np.where(spread > 0, spread, 1.0)
    chosen: list[int] = []
    left = list(range(len(students)))
    while left and len(chosen) < count:
        best = max(left, key=lambda one: moocore.hypervolume(scaled[[*chosen, one]], ref=np.full(3, WORST)))
        left.remove(best)
        chosen.append(best)
    return [students[i] for i in chosen]


def stored(known: optuna.Study | None) -> list[tuple[str, Recipe]]:
    """The students that an earlier run of this study planned; none where it had no --like."""
    rows = (known.user_attrs.get(LIKE) or {}).get("students", []) if known is not None else []
    return [(row["name"], Recipe.model_validate(row["recipe"])) for row in rows]


def as_attribute(other: str, students: Sequence[tuple[str, Recipe]]) -> dict[str, Any]:
    """What `stored` reads."""
    rows = [{"name": name, "recipe": recipe.model_dump(mode="json")} for name, recipe in students]
    return {"study": other, "students": rows}
