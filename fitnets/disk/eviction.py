"""Limits the size of a store: what is cheapest to recompute is removed first, and what a study depends on never is.

Teachers, checkpoints and the students that a caller does not name stay, whatever the limit.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fitnets.disk.store import CACHES, MANIFEST, Store

FORMER = ("prefix",)  # kinds that earlier versions wrote, and that nothing reads any more
PASSING = ("checkpoint",)  # kinds that go by themselves, when the trial that they belong to has ended
STALE_SECONDS = 3600.0  # an unfinished entry of that age was left by a writer that died


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder of the store: a whole entry, or what was left of one."""

    kind: str
    name: str
    size: int
    """Of its files, in bytes."""
    used: float
    """When it was read or written last, in seconds since 1970."""


def entries(store: Store) -> list[Entry]:
    """Everything in the store, unfinished entries included. What vanishes meanwhile is left out."""
    found = []
    for kind in _folders(store.root):
        for folder in _folders(kind):
            with suppress(OSError):
                found.append(Entry(kind.name, folder.name, _size(folder), _used(folder)))
    return found


def evict(store: Store, limit: int, last: Callable[[], Sequence[str]] = lambda: (), down_to: int | None = None) -> int:
    """Where the store takes more than `limit` bytes, remove what can be made again; returns what it takes then.

    It is brought to `down_to` bytes (default: `limit`), as far as that goes.

    First what dead writers left unfinished and what only earlier versions read, then tables and decoded images, of each
    the least recently used before the others, and then the students that `last` names, in its order.
    """
    now, found = time.time(), entries(store)
    taken = sum(entry.size for entry in found)
    if taken <= limit:
        return taken
    limit = limit if down_to is None else down_to
    unfinished = [entry for entry in found if entry.name.startswith(".")]
    for entry in unfinished:
        if now - entry.used > STALE_SECONDS:
            shutil.rmtree(store.root / entry.kind / entry.name, ignore_errors=True)
            taken -= entry.size
    whole = [entry for entry in found if not entry.name.startswith(".")]
    for kinds in (FORMER, *CACHES):
        for entry in sorted((entry for entry in whole if entry.kind in kinds), key=lambda entry: entry.used):
            if taken <= limit:
                return taken
            store.remove(entry.kind, entry.name)
            taken -= entry.size
    if taken > limit:
        students = {entry.name: entry for entry in whole if entry.kind == "student"}
        for name in last():
            if taken > limit and name in students:
                store.remove("student", name)
                taken -= students.pop(name).size
    return taken


def _folders(root: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(root) as inside:
        yield from [Path(entry.path) for entry in inside if entry.is_dir(follow_symlinks=False)]


def _used(folder: Path) -> float:
    manifest = folder / MANIFEST
    if manifest.exists():
        stat = manifest.stat()
        return max(stat.st_atime, stat.st_mtime)
    return folder.stat().st_mtime  # not of its last access, which this look may be


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
