"""A study's entry in the storage: made once, and compared with the given study when it is continued."""

import math
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.trial import TrialState
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from fitnets.config import Brought, Precision, Recipe, Report
from fitnets.errors import InputError
from fitnets.images.identity import Identity
from search.driver.ledger import is_stopped
from search.driver.loop import DIRECTIONS, METRICS
from search.read.candidates import ADVICE, ENDED, REASON, TEACHING, Advice
from search.read.definition import SHOWN, changes
from search.storage.address import shown
from search.storage.faults import StorageLost
from search.study import Study
from search.units import format_accuracy
from search.workers.facts import Facts, TeacherFacts, other_images
from search.workers.protocol import Stopped

PRECISION = "precision"  # the study's attribute with the precision of its students' training
FORESEEN = (InputError, Stopped, StorageLost, OSError)  # what may end a driver that works as it should
TEACHING_SECONDS = 2.0  # at least, between two writes of the teacher's epochs
ANOTHER_NAME = "start a new study of another name with --name."


def known_study(study: Study, storage: optuna.storages.BaseStorage) -> optuna.Study | None:
    """The stored study of that name, or None.

    Raises InputError with the differences when it is stored with another definition.
    """
    if study.name not in optuna.get_all_study_names(storage):
        return None
    known = optuna.load_study(study_name=study.name, storage=storage)
    if "teacher" not in known.user_attrs and not known.get_trials(deepcopy=False):
        return None  # `beginning` registered it, and its teacher was not trained to its end
    stored = known.user_attrs.get("study", {})
    changed = changes(stored, study)
    if changed:
        raise InputError(
            f"the study `{study.name}` is stored with another definition:\n  "
            + "\n  ".join(changed)
            + f"\n{_remedy(stored, changed)}, or {ANOTHER_NAME}"
        )
    return known


def _remedy(stored: Mapping[str, Any], changed: Sequence[str]) -> str:
    if stored.get("stopping") is None and all(line.startswith("stopping.") for line in changed):
        return "it began when every student was trained to its end: continue it so with --no-stopping"
    return "change it back"


def trained_count(known: optuna.Study) -> int:
    """How many students a stored study has trained: to the end, or until they were stopped or failed."""
    trials = known.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED))
    return sum(trial.state != TrialState.PRUNED or is_stopped(trial) for trial in trials)


def has_running_trials(known: optuna.Study) -> bool:
    """Whether an earlier driver left trials RUNNING, which are to be continued."""
    return bool(known.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def check_images(known: optuna.Study | None, found: Facts | Identity, data: Path) -> None:
    """Raises InputError when the images that were found in `data` are not those of the stored study."""
    stored = known.user_attrs.get("images", {}) if known else {}
    if known is not None and (problem := other_images(stored, found, data)):
        raise InputError(f"{problem}, or {ANOTHER_NAME}")


def record_folder(known: optuna.Study, data: Path) -> None:
    """Store where the study's images are now, for the commands that read them later."""
    stored = known.user_attrs.get("images", {})
    if stored and stored.get("data_dir") != str(data.resolve()):
        known.set_user_attr("images", {**stored, "data_dir": str(data.resolve())})


def check_brought(known: optuna.Study | None, digest: str, contents: tuple[str, str] | None) -> None:
    """Raises InputError when a brought teacher with this digest and contents is not the stored study's."""
    stored = known.user_attrs.get("teacher", {}) if known else {}
    if known is None or not stored or stored.get("teacher") == digest:
        return
    if stored.get("teacher") != _digest_of_earlier_version(known.user_attrs["study"]["teacher"], contents):
        raise InputError(
            f"the teacher is not the one that the study learnt from (digest {digest[:SHOWN]}, was "
            f"{str(stored.get('teacher'))[:SHOWN]}): bring that one again, or {ANOTHER_NAME}"
        )


def check_teacher(known: optuna.Study | None, teacher: TeacherFacts, study: Study) -> str | None:
    """A line to print when the teacher was trained again and differs from the stored study's; else None.

    Raises InputError when a brought teacher is not the stored study's.
    """
    if isinstance(study.teacher, Brought):
        check_brought(known, teacher.teacher, teacher.contents)
        return None
    stored = known.user_attrs.get("teacher", {}) if known else {}
    if not stored or stored.get("teacher") == teacher.teacher:
        return None
    return (
        f"note: the teacher was trained again, and came out differently (validation accuracy "
        f"{format_accuracy(teacher.val_accuracy)}, was {format_accuracy(stored.get('val_accuracy', 0))})."
    )


def _digest_of_earlier_version(stored: Mapping[str, Any], contents: tuple[str, str] | None) -> str | None:
    """The digest that a version before 2026-11-25 gave a brought teacher, whose definition was stored: it depended on
    the required accuracy.
    """
    try:
        return Brought.model_validate(stored).digest_with(*contents) if contents else None
    except ValidationError:
        return None


def precision_of(known: optuna.Study | None, native: Precision) -> Precision:
    """What `precision="auto"` means: the precision that the study began with, or `native`, the first worker's fastest.

    A study that an earlier version began has it only in its trials.
    """
    if known is not None and (stored := known.user_attrs.get(PRECISION)) is not None:
        return TypeAdapter(Precision).validate_python(stored)
    for trial in known.get_trials(deepcopy=False) if known is not None else []:
        if "recipe" in trial.user_attrs:
            return Recipe.model_validate(trial.user_attrs["recipe"]).precision
    return native


def note_on_precision(precision: Precision, facts: Facts) -> str | None:
    """A line to print when this machine lacks the study's precision in hardware; else None."""
    if precision != "bf16" or facts.native == "bf16":
        return None
    return (
        f"note: the study trains in bf16, which `{facts.device}` here lacks in hardware: it goes on in bf16, slower "
        'than where it began. A study of another name with `precision="float32"` would be faster here.'
    )


def register(study: Study, storage: optuna.storages.BaseStorage, about: dict[str, Any]) -> None:
    """Write the study, with `about` (its teacher, images and precision) as attributes, into the storage."""
    made = optuna.create_study(study_name=study.name, storage=storage, directions=DIRECTIONS, load_if_exists=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # metric names, for optuna-dashboard
        made.set_metric_names(METRICS)
    made.set_user_attr("study", study.model_dump(mode="json"))
    for name, value in about.items():
        made.set_user_attr(name, value)


@contextmanager
def beginning(
    study: Study, storage: optuna.storages.BaseStorage, known: optuna.Study | None, about: dict[str, Any]
) -> Iterator[Callable[[Report], None]]:
    """Register a new study before its teacher is trained, so that the pages show that; yields what notes an epoch.

    The whole run of the new study goes within: its end is recorded once, at the end of all. A known study is registered
    already: for it, nothing is written.
    """
    if known is not None:
        yield lambda report: None
        return
    register(study, storage, about | {TEACHING: None})  # not the last epoch of a driver that died
    made = optuna.load_study(study_name=study.name, storage=storage)
    written = -math.inf

    def note(report: Report) -> None:
        nonlocal written
        if time.monotonic() - written >= TEACHING_SECONDS or report.epoch == report.epochs:
            written = time.monotonic()
            made.set_user_attr(TEACHING, report.model_dump(mode="json"))

    with recording_the_end(study.name, storage):
        yield note


@contextmanager
def recording_the_end(name: str, storage: optuna.storages.BaseStorage) -> Iterator[None]:
    """Write into the study when its driver ended, why, and what to do, so that the pages show it at once.

    An unforeseen exception writes no time: to the next driver, this one died while its trials ran.
    """
    study = optuna.load_study(study_name=name, storage=storage)
    study.set_user_attr(ENDED, None)
    study.set_user_attr(REASON, None)
    foreseen, reason = True, None
    advice: Advice = "said"
    try:
        yield
    except Exception as error:
        foreseen = isinstance(error, FORESEEN)
        reason = shown(str(error) if foreseen else f"{type(error).__name__}: {error}")  # without a password
        advice = _advice(error)
        raise
    finally:
        # The storage itself or the deleted study (KeyError) may have ended the driver; that error is already raised.
        with suppress(KeyError, StorageLost, StorageInternalError, SQLAlchemyError):
            if reason is not None:
                study.set_user_attr(ADVICE, advice)
                study.set_user_attr(REASON, reason)
            if foreseen:
                study.set_user_attr(ENDED, time.time())


def _advice(error: Exception) -> Advice:
    """What to do about an error that ended a driver, as far as the driver knows."""
    if isinstance(error, InputError) or (isinstance(error, Stopped) and not error.repeats):
        return "said"
    return "change" if isinstance(error, Stopped | OSError) else "again"


def writable(folder: Path, option: str = "--runs") -> None:
    """Raises InputError when nothing can be written under `folder`, which `option` names."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # of a name of its own: two drivers may look at once
            pass
    except OSError as error:
        raise InputError(
            f"`{folder}` cannot be written ({error.strerror}): choose another folder with {option}."
        ) from error
