"""Files of JSON lines beside the studies, to which several processes may append at once. No torch."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from fitnets.errors import InputError
from fitnets.values.base import canonical_json
from search.storage.file_lock import file_locked

PATIENCE = 60.0  # seconds; the lock is held only while one line is written
REMEDY = "make it writable, or copy the folder and give the copy with --runs"


def rows(path: Path) -> list[dict[str, Any]]:
    """Every record, the newest last; none where the file is absent. A line that a full disk cut short is left out."""
    found = []
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        with suppress(ValueError):
            found.append(json.loads(line))
    return [row for row in found if isinstance(row, dict)]


def records(path: Path, study: str) -> list[dict[str, Any]]:
    """A study's records, the newest last; none where the file cannot be read."""
    try:
        return [row for row in rows(path) if row.get("study") == study]
    except OSError:
        return []


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Excludes other writers of the file.

    Raises InputError when another process holds the lock for `PATIENCE`, or this user may not lock it.
    """
    lock = path.with_name(path.name + ".lock")
    with ExitStack() as held:
        try:
            held.enter_context(file_locked(lock, PATIENCE, REMEDY))
        except Timeout:
            raise InputError(
                f"`{lock}` has been locked by another process for {PATIENCE:.0f} s: end that process, then try again."
            ) from None
        yield


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a record, on a line of its own even where the last line was cut short. Call it within `locked`.

    Raises InputError when this user may not write the file.
    """
    try:
        with path.open("a+b") as lines:
            cut_short = path.read_bytes()[-1:] not in (b"", b"\n")
            lines.write(b"\n" * cut_short + canonical_json(row).encode() + b"\n")
    except PermissionError as error:
        raise InputError(f"`{path}` cannot be written ({error.strerror}): {REMEDY}.") from None
