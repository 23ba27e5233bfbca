"""Limits the size of a store: what is cheapest to recompute is removed first; what a study depends on is never removed.

Teachers, checkpoints and the students that the caller does not name stay, whatever the limit.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fitnets.disk.store import CACHES, MANIFEST, Store

OBSOLETE = ("prefix",)  # kinds that earlier versions wrote and nothing reads any more
TEMPORARY = ("checkpoint",)  # kinds that are deleted when the trial that they belong to ends
STALE_SECONDS = 3600.0  # an unfinished entry of this age was left behind by a process that died


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder of the store: a complete entry, or an unfinished one."""

    kind: str
    name: str
    size: int
    """Total size of its files, in bytes."""
    used: float
    """When it was last read or written, in seconds since 1970."""


def entries(store: Store) -> list[Entry]:
    """All entries of the store, unfinished ones included. Those deleted while this runs are left out."""
    found = []
    for kind in _folders(store.root):
        for folder in _folders(kind):
            with suppress(OSError):
                found.append(Entry(kind.name, folder.name, _size(folder), _used(folder)))
    return found


def evict(store: Store, limit: int, last: Callable[[], Sequence[str]] = lambda: (), down_to: int | None = None) -> int:
    """If the store takes more than `limit` bytes, remove entries that can be recomputed; returns its size afterwards.

    Entries are removed until `down_to` bytes remain (default: `limit`) or nothing else may be removed, in this order:
    stale unfinished entries, kinds that only earlier versions read, tables, decoded images (the least recently used
    first within each), and finally the students that `last` names, in its order.
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
    complete = [entry for entry in found if not entry.name.startswith(".")]
    for kinds in (OBSOLETE, *CACHES):
        for entry in sorted((entry for entry in complete if entry.kind in kinds), key=lambda entry: entry.used):
            if taken <= limit:
                return taken
            store.remove(entry.kind, entry.name)
            taken -= entry.size
    if taken > limit:
        students = {entry.name: entry for entry in complete if entry.kind == "student"}
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
    return folder.stat().st_mtime  # not the last access, which may be this call itself


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
