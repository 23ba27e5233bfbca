"""A storage's failures as errors that name it without its password, with a remedy."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy
from optuna.exceptions import OptunaError
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from fitnets.errors import DiskError, InputError
from search.storage.address import shown, sqlite_path
from search.study import study_names
from search.units import command

DISK_FAULTS = ("database or disk is full", "readonly database", "disk I/O error")  # SQLite's messages


class StorageBusy(InputError):
    """Another program locks the storage, or changes it all the time: try again."""


class StorageUnreadable(InputError):
    """The storage cannot be read now: the server does not answer, the disk fails, or it is not this user's to read. It
    may recover.
    """


class StudyMissing(InputError):
    """The storage has no study of this name."""


class StorageEmpty(StudyMissing):
    """The storage has no studies at all."""


class StorageMissing(StudyMissing):
    """There is no storage at all."""


class StorageLost(RuntimeError):
    """The storage failed, or another driver took it, while the search ran. The same command continues the search."""


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Turns what SQLAlchemy and Optuna raise while reading into an InputError that names the storage."""
    try:
        yield
    except (SQLAlchemyError, OptunaError) as error:
        where, reason = shown(url), reason_of(error, url)
        remedy = "give its folder with --runs" if sqlite_path(url) else "see that the server runs, and --storage"
        fault: InputError
        if _locked(error):
            fault = StorageBusy(f"the storage {where} is locked by another program: try again in a few seconds.")
        elif "not a database" in reason or "malformed" in reason:
            fault = InputError(f"{where} is not a study storage, or is damaged: give the folder with --runs.")
        elif re.search(r"no such table|relation .* does not exist", reason):
            fault = StorageEmpty(f"the storage {where} has no studies: run one first, or {remedy}.")
        else:
            fault = StorageUnreadable(f"the storage {where} cannot be read ({reason}): {remedy}.")
        raise fault from None


@contextmanager
def writing(url: str) -> Iterator[None]:
    """Turns what SQLAlchemy and Optuna raise while writing into DiskError or StorageLost, which name the storage."""
    try:
        yield
    except (SQLAlchemyError, OptunaError) as error:
        where, reason = shown(url), reason_of(error, url)
        if any(fault in reason for fault in DISK_FAULTS):
            raise DiskError(
                f"the storage {where} cannot be written ({reason}): make room on that disk and run the same command "
                "again, or choose another folder with --runs."
            ) from None
        raise StorageLost(f"the storage {where} failed ({reason})") from None


def _locked(error: BaseException) -> bool:
    error = _cause(error)
    return isinstance(error, OperationalError) and bool(re.search("locked|busy|lock timeout", str(error)))


def reason_of(error: BaseException, url: str) -> str:
    """The first line of the database's own message, without the password."""
    error = _cause(error)
    text = str(getattr(error, "orig", None) or error).strip()
    line = shown((text or type(error).__name__).splitlines()[0].replace(url, shown(url)))
    password = str(sqlalchemy.make_url(url).password or "")
    for secret in {password, quote(password, safe="")} - {""}:
        line = line.replace(secret, "***")
    return line


def _cause(error: BaseException) -> BaseException:
    """The cause of an error of Optuna's; any other error itself."""
    return error.__cause__ if isinstance(error, OptunaError) and error.__cause__ is not None else error


def storage_unreadable(path: Path, reason: str) -> StorageUnreadable:
    """The error for what cannot be read in the place of an SQLite file."""
    return StorageUnreadable(
        f"the storage `{path}` cannot be read ({reason}): it must be a file that this user may read. Correct that, or "
        "give another folder with --runs."
    )


def storage_missing(path: Path) -> StorageMissing:
    """The error for an SQLite file that does not exist."""
    return StorageMissing(f"there is no study storage at `{path}`: run a study first, or give its folder with --runs.")


def study_missing(url: str, name: str, known: Sequence[str]) -> StudyMissing:
    """The error for a study that is not among the `known` ones of a storage."""
    own = name.removesuffix("-smoke")
    words = [*command("run"), own, *(["--smoke"] if own != name else [])]
    how = f": {shlex.join(words)}" if own in study_names() else " first."
    return StudyMissing(
        f"the storage {shown(url)} has no study `{name}`: it has {', '.join(known) or 'none'}. Choose one "
        f"with --name, or run it{how}"
    )
