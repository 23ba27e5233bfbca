"""A student's accuracy on each class, beside its teacher's, for the page of one student. No torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from fitnets.values.base import Value
from fitnets.values.per_class import PerClass


class Row(Value):
    """One class."""

    name: str
    images: int
    """The number of its validation images."""
    accuracy: float
    teacher: float | None
    """The teacher's accuracy on it; None where that is not known."""
    mistaken: tuple[tuple[str, int], ...]
    """The classes that the student mistook its images for, each with the number of images; the most frequent first."""

    @property
    def gap(self) -> float:
        """How far the student is below its teacher, or below 1 where the teacher's accuracy is not known."""
        return (1.0 if self.teacher is None else self.teacher) - self.accuracy


def of_teacher(about: Mapping[str, Any]) -> PerClass | None:
    """The teacher's counts as stored with a study; None where there are none, or this version cannot read them."""
    try:
        return PerClass.model_validate(about["classes"])
    except (KeyError, ValidationError):
        return None


def rows(student: PerClass, teacher: PerClass | None, names: Sequence[str]) -> list[Row]:
    """The classes that have validation images, in the data set's order; a class without a name gets its number.

    The teacher's counts are left out when they were made on other images.
    """
    comparable = teacher if teacher is not None and teacher.of == student.of else None

    def name(number: int) -> str:
        return names[number] if number < len(names) else str(number)

    return [
        Row(
            name=name(number),
            images=images,
            accuracy=student.right[number] / images,
            teacher=comparable.right[number] / images if comparable else None,
            mistaken=tuple((name(predicted), count) for true, predicted, count in student.mistaken if true == number),
        )
        for number, images in enumerate(student.of)
        if images
    ]


def weakest(found: Sequence[Row], count: int) -> list[Row]:
    """The classes furthest below the teacher, still in the order given."""
    weakest_first = sorted(range(len(found)), key=lambda i: -found[i].gap)[:count]
    return [found[i] for i in sorted(weakest_first)]
