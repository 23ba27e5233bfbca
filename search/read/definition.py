"""A stored study's definition: what of it is used once its students are trained, and how another one differs.

No torch.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

from pydantic import ConfigDict, ValidationError

from fitnets.config import Brought, Data, Ensemble, Recipe, Trained
from fitnets.errors import InputError
from fitnets.values.base import Value, explain
from fitnets.values.net import Shape
from search.read.candidates import Snapshot
from search.study import Study, TeacherField, resolved

SHOWN = 12  # digits of a digest that people see
CHANGEABLE = {"trials", "trial_seconds", "max_disk", "gpu_fraction", "teacher.min_accuracy", "min_accuracy"}
MOST_NAMED = 3  # differences between two definitions, where they are only noted


class Definition(Value):
    """Those parts alone: what another version allowed in the rest is no reason to refuse its students."""

    model_config = ConfigDict(extra="ignore")

    data: Data
    teacher: TeacherField

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """The stored study's. Raises InputError where this version cannot read them."""
        try:
            return cls.model_validate(snapshot.definition)
        except ValidationError as error:
            raise InputError(
                f"the study `{snapshot.study}` is another version's, and this one cannot read its images and its "
                f"teacher ({explain(error).splitlines()[0]}): use that version, or run it again with "
                "`search.run --name`."
            ) from None

    def teacher_of(self, recipe: Recipe, shape: Shape) -> Trained | Brought | Ensemble:
        """The teacher that a student of this recipe learnt from, for images of this shape."""
        return resolved(self.teacher, shape, recipe.student.classes, recipe.precision)


def changes(stored: Mapping[str, Any], study: Study) -> list[str]:
    """What differs between a stored definition and `study`, a line each; fields added since take their defaults."""
    with suppress(ValidationError):
        stored = Study.model_validate(stored).model_dump(mode="json")
    return differences(stored, study.model_dump(mode="json"))


def differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two definitions of a study, a line each; the fields of CHANGEABLE are left out."""
    before, after = dict(_flattened(stored)), dict(_flattened(now))
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return [f"{name}: was {before.get(name)}, is now {after.get(name)}" for name in names if name not in CHANGEABLE]


def _flattened(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flattened(inner, f"{path}.{name}" if path else name)
    else:
        yield path, value


def definition_note(name: str, stored: Mapping[str, Any], study: Study) -> str | None:
    """A line to print when the stored study `name` has another definition than `study` has now; else None.

    It may be a smoke run of it, and --name and --seed may have changed those fields.
    """
    try:
        before = Study.model_validate(stored)
    except ValidationError:  # another version's, and nobody changed it
        return None
    own = {"name": before.name, "seed": before.seed}
    found: list[list[str]] = []
    for now in (study, study.smoke()):
        with suppress(ValidationError):
            found.append(changes(stored, now.changed(**own)))
    changed = min(found, key=len, default=[])
    if not changed:
        return None
    more = f"; and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    return (
        f"note: `{name}` was searched with another definition than the study `{study.name}` has now "
        f"({'; '.join(changed[:MOST_NAMED])}{more}): what follows is of the stored one."
    )
