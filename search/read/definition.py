"""What is used of a stored study's definition once its students are trained: its images and its teacher. No torch."""

from typing import Self

from pydantic import ConfigDict, ValidationError

from fitnets.config import Brought, Data, Ensemble, Trained
from fitnets.errors import InputError
from fitnets.values.base import Value, explain
from fitnets.values.net import Shape
from search.read.candidates import Snapshot
from search.study import TeacherField, resolved


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
                f"teacher ({explain(error).splitlines()[0]}): use that version, or run it again with --name."
            ) from None

    def resolved_teacher(self, shape: Shape, classes: int) -> Trained | Brought | Ensemble:
        """The teacher for images of this shape and number of classes."""
        return resolved(self.teacher, shape, classes)
