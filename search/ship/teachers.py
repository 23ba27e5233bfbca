"""The teacher of a student that is shipped: opened only if it is the one that the student learnt from. Needs torch."""

from fitnets.config import Brought, Ensemble, Trained
from fitnets.errors import InputError
from search.read.definition import SHOWN
from search.workers.facts import TeacherFacts
from search.workers.trainer import Trainer


def open_for_training(trainer: Trainer, teacher: Trained | Brought | Ensemble, learnt_from: str) -> None:
    """Have `trainer` train the teacher, if it must, and open it; `learnt_from` is the digest of the student's.

    A teacher that was trained again may differ, a brought one may not: InputError.
    """
    for _ in trainer.train_teacher(teacher):
        pass
    found = trainer.open_teacher(teacher, None)
    if isinstance(teacher, Brought) and not _same(teacher, found, learnt_from):
        raise InputError(
            f"{_another(found.teacher, learnt_from)}: bring that one again, or choose a student that is stored."
        )


def open_for_testing(trainer: Trainer, teacher: Trained | Brought | Ensemble, learnt_from: str) -> str | None:
    """Open the teacher, if it is the student's. Returns why its test accuracy cannot be told, else None."""
    if not trainer.has(teacher):
        return "the teacher is not stored any more"
    try:
        found = trainer.open_teacher(teacher, None)
    except InputError as error:
        return f"the teacher cannot be opened ({error})"
    return None if _same(teacher, found, learnt_from) else _another(found.teacher, learnt_from)


def _same(teacher: Trained | Brought | Ensemble, found: TeacherFacts, learnt_from: str) -> bool:
    """Whether it is that teacher. Before 2026-11-25 a brought one's digest depended on the required accuracy too."""
    if isinstance(teacher, Brought) and found.contents and teacher.digest_with(*found.contents) == learnt_from:
        return True
    return found.teacher == learnt_from


def _another(found: str, learnt_from: str) -> str:
    return (
        f"the teacher is not the one that this student learnt from (digest {found[:SHOWN]}, was {learnt_from[:SHOWN]})"
    )
