"""The way into a study storage that cannot write: SQLite read-only, its faults told in words. No torch, no ray."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from fitnets.errors import InputError
from search.results import State
from search.study import shown

STATES: dict[str, State] = {"COMPLETE": "complete", "RUNNING": "running", "PRUNED": "pruned", "FAIL": "failed"}
PATIENCE = 2.0  # seconds to wait for a storage that another program has locked


class Busy(InputError):
    """The storage is locked by another program: try again."""


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


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite storage; None for a server's."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def engine(url: str) -> sqlalchemy.Engine:
    """A way into the storage that cannot write and creates nothing. Raises InputError when there is no such file."""
    path = sqlite_path(url)
    if path is None:
        try:
            return sqlalchemy.create_engine(url)
        except (ImportError, ValueError, SQLAlchemyError) as error:  # no driver, or a URL that it cannot read
            reason = str(error).splitlines()[0].replace(url, shown(url))
            raise InputError(f"the storage {shown(url)} cannot be opened ({reason}).") from error
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


class told:
    """Turns what SQLAlchemy says into an InputError that names the storage, without its password."""

    def __init__(self, url: str):
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, SQLAlchemyError):
            return
        where = shown(self.url)
        reason = str(error).splitlines()[0].replace(self.url, where)
        if isinstance(error, OperationalError) and ("locked" in reason or "busy" in reason):
            raise Busy(f"the storage {where} is locked by another program: try again in a few seconds.") from error
        if "not a database" in reason or "malformed" in reason:
            raise InputError(f"{where} is not a study storage, or is damaged: give the folder with --runs.") from error
        if "no such table" in reason or "does not exist" in reason:
            raise InputError(f"the storage {where} has no studies: run one first, or give its folder with --runs.")
        raise InputError(f"the storage {where} cannot be read ({reason}): give its folder with --runs.") from error


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
