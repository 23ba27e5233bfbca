"""A student's accuracy class by class, beside its teacher's: what the page of one student shows. No torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from fitnets.values.base import Value
from fitnets.values.per_class import PerClass


class Row(Value):
    """One class."""

    name: str
    images: int
    """Validation images of it."""
    accuracy: float
    teacher: float | None
    """The teacher's accuracy on it; None where it was not counted."""
    mistaken: tuple[tuple[str, int], ...]
    """What the student took its images for, and how many: the most frequent first."""

    @property
    def gap(self) -> float:
        """How far the student is below its teacher; below perfection where the teacher was not counted."""
        return (1.0 if self.teacher is None else self.teacher) - self.accuracy


def of_teacher(about: Mapping[str, Any]) -> PerClass | None:
    """The teacher's counts, as stored with a study; None where there are none, or in a form not known here."""
    try:
        return PerClass.model_validate(about["classes"])
    except (KeyError, ValidationError):
        return None


def rows(student: PerClass, teacher: PerClass | None, names: Sequence[str]) -> list[Row]:
    """Every class that has validation images, in the images' own order; a class without a name is called by its number.

    A teacher that was counted on other images is left out.
    """
    theirs = teacher if teacher is not None and teacher.of == student.of else None

    def name(number: int) -> str:
        return names[number] if number < len(names) else str(number)

    return [
        Row(
            name=name(number),
            images=images,
            accuracy=student.right[number] / images,
            teacher=theirs.right[number] / images if theirs else None,
            mistaken=tuple((name(predicted), count) for true, predicted, count in student.mistaken if true == number),
        )
        for number, images in enumerate(student.of)
        if images
    ]


def weakest(found: Sequence[Row], count: int) -> list[Row]:
    """The classes furthest below the teacher, still in the order given."""
    weakest_first = sorted(range(len(found)), key=lambda i: -found[i].gap)[:count]
    return [found[i] for i in sorted(weakest_first)]
