"""Where studies are stored: an SQLite file, or PostgreSQL; the way in for readers, that cannot write.

Nothing that is said here of a storage has its password in it. No torch, no ray.
"""

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from optuna.exceptions import OptunaError
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from fitnets.errors import DiskError, InputError
from search.results import State

STATES: dict[str, State] = {"COMPLETE": "complete", "RUNNING": "running", "PRUNED": "pruned", "FAIL": "failed"}
DISK_FAULTS = ("database or disk is full", "readonly database", "disk I/O error")  # as SQLite tells them
PATIENCE = 2.0  # seconds that a reader waits for a storage that another program has locked
DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
HIDDEN = (
    (re.compile(r"(?<=://)([^:/@]*):.*@"), r"\1:***@"),
    (re.compile(r"(?<=://)([^:/@\[]*):(?!\d+(?:[/?]|$))[^@]*$"), r"\1:***"),  # the host was forgotten
    (re.compile(r"([?&](?:ssl)?password=)[^&]*", re.IGNORECASE), r"\1***"),
    (re.compile(r"^(?!.*://).*@"), "***@"),  # no URL, but a password may be in it
    (re.compile(r"(\bpassword\s*=\s*)(?:'[^']*'|[^\s&']+)", re.IGNORECASE), r"\1***"),  # libpq's other form
)


class Busy(InputError):
    """The storage is locked by another program: try again."""


class StorageLost(RuntimeError):
    """The storage failed, or was lost to another driver, while the search ran. The same command continues."""


def storage_url(runs: Path, storage: str | None) -> str:
    """The storage's URL: the one given, or the SQLite file under `runs`.

    Raises InputError for a URL of another kind, and for a folder whose name means something else inside a URL.
    """
    if storage is not None:
        address_of(storage)
        return storage
    path = str((runs / "studies.db").resolve())
    if re.search(r"[?#]|%[0-9A-Fa-f]{2}", path):
        raise InputError(
            f"`--runs` is `{runs}`, but a storage's path must be without ?, # and %: choose another folder."
        )
    return f"sqlite:///{path}"


def shown(url: str) -> str:
    """A storage URL that may be printed: without its password."""
    for pattern, instead in HIDDEN:
        url = pattern.sub(instead, url)
    return url


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite storage; None for a server's."""
    address = address_of(url)
    return Path(address.database) if address.drivername == "sqlite" and address.database else None


def address_of(url: str) -> sqlalchemy.URL:
    """A storage URL taken apart, psycopg as PostgreSQL's driver. Raises InputError for other storages."""
    try:
        address = sqlalchemy.make_url(url)
    except (ValueError, SQLAlchemyError):
        raise _no_url(url) from None
    if address.drivername not in DRIVERS:
        raise _no_url(url)
    if address.drivername == "sqlite" and (address.database in (None, "", ":memory:") or address.query):
        raise _no_url(url)
    if url.partition("?")[0].count("@") > 1 and address.drivername != "sqlite":
        raise InputError(f"the storage {shown(url)} has an @ in its password: write it as %40, or set PGPASSWORD.")
    return address.set(drivername=DRIVERS[address.drivername])


def _no_url(url: str) -> InputError:
    return InputError(
        f"the storage {shown(url)} is not of the form sqlite:///FILE or postgresql://USER@HOST/DATABASE: "
        "correct --storage, or FITNET_STORAGE."
    )


def connection_args(address: sqlalchemy.URL, settings: str) -> dict[str, Any]:
    """psycopg's arguments: it gives up on a dead server, and the server on a dead client, within about a minute.

    What the URL says itself stays. The name is what `pg_stat_activity` and a refused driver show.
    """
    given = str(address.query.get("options", ""))
    keepalive = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
    ours: dict[str, Any] = {
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }
    return {name: value for name, value in ours.items() if name not in address.query} | {
        "application_name": f"fitnet-search {os.getpid()}@{socket.gethostname()}",
        "options": f"{given} {keepalive} {settings}".strip(),
    }


def engine(url: str) -> sqlalchemy.Engine:
    """A way into the storage that cannot write and creates nothing. Raises InputError when there is no such file."""
    address, path = address_of(url), sqlite_path(url)
    if path is None:
        settings = f"-c default_transaction_read_only=on -c lock_timeout={1000 * PATIENCE:.0f}"
        arguments = connection_args(address, settings)
        return sqlalchemy.create_engine(
            address, connect_args=arguments, isolation_level="REPEATABLE READ", pool_pre_ping=True
        )
    if not path.is_file():
        raise absent(path)
    sealed = "&immutable=1" if at_rest(path) else ""
    return sqlalchemy.create_engine(
        f"sqlite:///file:{quote(str(path))}?mode=ro{sealed}&uri=true", connect_args={"timeout": PATIENCE}
    )


def at_rest(path: Path) -> bool:
    """Whether an SQLite file can be read as it is, because no writer has it open.

    Even a reader of a file in WAL mode would else leave a `-shm` and a `-wal` file beside it, and could not read at all
    in a folder that it may not write.
    """
    with path.open("rb") as file:
        wal = file.read(20)[18:20] == b"\x02\x02"
    return wal and not path.with_name(path.name + "-wal").exists()


def studies(url: str) -> list[str]:
    """The names of the studies in a storage, the newest last. Raises InputError when there is no such storage."""
    with told(url):
        opened = engine(url)
        try:
            with opened.connect() as connection:
                return [row[0] for row in connection.execute(STUDIES)]
        finally:
            opened.dispose()


def counts(url: str, name: str) -> dict[State, int]:
    """How many trials are in each state, by one quick query; those over the limits count as pruned."""
    with told(url):
        opened = engine(url)
        try:
            with opened.connect() as connection:
                found = connection.execute(_COUNTS, {"name": name}).all()
        finally:
            opened.dispose()
    return {STATES.get(state, "running"): count for state, count in found}


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turns what SQLAlchemy says to a reader into an InputError that names the storage, without its password."""
    try:
        yield
    except SQLAlchemyError as error:
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


def _locked(error: SQLAlchemyError) -> bool:
    return isinstance(error, OperationalError) and bool(re.search("locked|busy|lock timeout", str(error)))


def reason_of(error: BaseException, url: str) -> str:
    """The first line of what the database itself said, without the password."""
    if isinstance(error, OptunaError) and error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "orig", None) or error).strip()
    line = shown((text or type(error).__name__).splitlines()[0].replace(url, shown(url)))
    password = str(sqlalchemy.make_url(url).password or "")
    for secret in {password, quote(password, safe="")} - {""}:
        line = line.replace(secret, "***")
    return line


def absent(path: Path) -> InputError:
    return InputError(f"there is no study storage at `{path}`: run a study first, or give its folder with --runs.")


def no_such(url: str, name: str, known: Sequence[str]) -> InputError:
    return InputError(
        f"the storage {shown(url)} has no study `{name}`: it has {', '.join(known) or 'none'}. Choose one "
        f"with --name, or run it: python -m search.run {name}"
    )


STUDIES = sqlalchemy.text("SELECT study_name FROM studies ORDER BY study_id")
_COUNTS = sqlalchemy.text(
    "SELECT t.state, COUNT(*) FROM trials t JOIN studies s ON s.study_id = t.study_id "
    "WHERE s.study_name = :name GROUP BY t.state"
)
