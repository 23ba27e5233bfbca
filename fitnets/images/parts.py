"""The parts of a data set, decoded once for all processes, and a check of all of them before anything is trained."""

import io
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitnets.config import Data
from fitnets.disk.store import Store, key
from fitnets.errors import InputError
from fitnets.images import duplicates
from fitnets.images.folders import BrokenFiles, broken
from fitnets.images.raw import Raw
from fitnets.images.sources import has_val, read
from fitnets.images.unused import Part
from fitnets.values.net import Shape

FileStats = list[tuple[str, int, int, int]]
"""Names, sizes in bytes, and times in nanoseconds: of the modification, which a copy may keep, and of the last change,
which nothing can set."""


def shape_of(raw: Raw) -> Shape:
    """Channels, rows, columns of the images."""
    _, rows, columns, channels = raw.pixels_NHWC.shape
    return channels, rows, columns


def part_of(
    data: Data,
    root: Path,
    part: Part,
    store: Store | None,
    shape: Shape | None = None,
    stats: FileStats | None = None,
) -> Raw:
    """The images of a part, from the store if it has them; `shape` is that of the training images, if known.

    `stats`: of `file_stats`, where they were read before. Raises InputError when the images cannot be read, or all
    training images are equal.
    """
    if store is None:
        return _part(data, root, part, None, shape, [])
    return _part(data, root, part, store, shape, file_stats(data, root) if stats is None else stats)


def check(data: Data, root: Path, store: Store | None = None) -> tuple[str, ...]:
    """Read every part once before anything is trained, and return remarks for the user, a line of text each.

    Of the test part, only digests of its images are used, to count those that are training or validation images, too.
    Raises InputError for whatever would stop a search, or `pick` after it: one error for all files of all parts that
    cannot be read. The result is cached in `store` until a file changes.
    """
    stats = file_stats(data, root) if store is not None else []
    digest = key_of(data, root, "check", stats)
    stored = store.get("images", digest) if store is not None and stats else None
    if stored is not None:
        return tuple(json.loads(stored["notes.json"]))
    reasons: dict[Path, str] = {}
    known: set[bytes] = set()
    notes: tuple[str, ...] = ()
    shape: Shape | None = None
    parts: tuple[Part, ...] = ("train", "val", "test") if has_val(data, root) else ("train", "test")
    for part in parts:
        try:
            raw = _part(data, root, part, store if part != "test" else None, shape, stats)
        except BrokenFiles as error:
            reasons |= error.reasons
            continue
        found = duplicates.digests(raw)
        if part == "train":
            shape = shape_of(raw)
        else:
            notes += duplicates.overlap(known, found, "validation" if part == "val" else part)
        known |= set(found)
    if reasons:
        raise InputError(str(broken(reasons)))
    if store is not None and stats:
        store.try_put("images", digest, {"notes.json": json.dumps(notes).encode()})
    return notes


def file_stats(data: Data, root: Path) -> FileStats:
    """The files that the images may come from; empty for images that do not come from files."""
    files = sorted(root.glob(f"{data.name}/**/*")) or sorted(root.glob("**/*")) if data.name != "digits" else []
    found = [(file.relative_to(root).as_posix(), file.stat()) for file in files if file.is_file()]
    return [(name, about.st_size, about.st_mtime_ns, about.st_ctime_ns) for name, about in found]


def key_of(data: Data, root: Path, what: str, stats: FileStats) -> str:
    """The digest of everything that decoded images depend on: their files, and the decoder."""
    wanted = (data.name, data.max_size, what, str(root.resolve()))
    return key(images=wanted, files=stats, pillow=version("pillow"))


def _part(data: Data, root: Path, part: Part, store: Store | None, shape: Shape | None, stats: FileStats) -> Raw:
    digest = key_of(data, root, part, stats)
    found = store.get("images", digest) if store is not None and stats else None
    if found is not None:
        with np.load(io.BytesIO(found["images.npz"]), allow_pickle=False) as arrays:
            texts = (tuple(arrays[name].tolist()) for name in ("classes", "notes"))
            return Raw(arrays["pixels"], arrays["labels"], *texts)
    raw = read(data, root, part, shape)
    if part == "train":
        raw = raw.with_notes(duplicates.notes(raw))
    if store is not None and stats:
        buffer = io.BytesIO()
        fields: dict[str, NDArray[Any]] = {
            "pixels": raw.pixels_NHWC,
            "labels": raw.label_N,
            "classes": np.array(raw.classes),
            "notes": np.array(raw.notes, dtype=np.str_),
        }
        np.savez(buffer, allow_pickle=False, **fields)
        store.try_put("images", digest, {"images.npz": buffer.getvalue()})
    return raw
