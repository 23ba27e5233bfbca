"""What goes wrong with a storage, as errors that name it without its password and say what to do."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy
from optuna.exceptions import OptunaError
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from fitnets.errors import DiskError, InputError
from search.storage.address import shown, sqlite_path

DISK_FAULTS = ("database or disk is full", "readonly database", "disk I/O error")  # as SQLite tells them


class Busy(InputError):
    """The storage is locked by another program: try again."""


class StorageLost(RuntimeError):
    """The storage failed, or was lost to another driver, while the search ran. The same command continues."""


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turns what SQLAlchemy says to a reader into an InputError that names the storage, without its password."""
    try:
        yield
    except (SQLAlchemyError, OptunaError) as error:
        where, reason = shown(url), reason_of(error, url)
        remedy = "give its folder with --runs" if sqlite_path(url) else "see that the server runs, and --storage"
        if _locked(error):
            fault: InputError = Busy(f"the storage {where} is locked by another program: try again in a few seconds.")
        elif "not a database" in reason or "malformed" in reason:
            fault = InputError(f"{where} is not a study storage, or is damaged: give the folder with --runs.")
        elif re.search(r"no such table|relation .* does not exist", reason):
            fault = InputError(f"the storage {where} has no studies: run one first, or {remedy}.")
        else:
            fault = InputError(f"the storage {where} cannot be read ({reason}): {remedy}.")
        raise fault from None


@contextmanager
def working(url: str) -> Iterator[None]:
    """Turns what goes wrong with the storage while the search writes to it into DiskError or StorageLost: one line."""
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
    """The first line of what the database itself said, without the password."""
    error = _cause(error)
    text = str(getattr(error, "orig", None) or error).strip()
    line = shown((text or type(error).__name__).splitlines()[0].replace(url, shown(url)))
    password = str(sqlalchemy.make_url(url).password or "")
    for secret in {password, quote(password, safe="")} - {""}:
        line = line.replace(secret, "***")
    return line


def _cause(error: BaseException) -> BaseException:
    """What lies behind an error of Optuna's."""
    return error.__cause__ if isinstance(error, OptunaError) and error.__cause__ is not None else error


def absent(path: Path) -> InputError:
    return InputError(f"there is no study storage at `{path}`: run a study first, or give its folder with --runs.")


def no_such(url: str, name: str, known: Sequence[str]) -> InputError:
    return InputError(
        f"the storage {shown(url)} has no study `{name}`: it has {', '.join(known) or 'none'}. Choose one "
        f"with --name, or run it: python -m search.run {name}"
    )
