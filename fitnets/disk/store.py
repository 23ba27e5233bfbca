"""Content-addressed files: what is expensive to compute is stored under the digest of everything it depends on.

An entry is a folder `<root>/<kind>/<digest>/` with its files and a manifest of their SHA-256. One rename
puts it in place, so it is never seen half-written; a damaged entry counts as absent and is recomputed. Deleting the
store costs time but never results, even while a search runs.
"""

import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from fitnets.errors import DiskError
from fitnets.values.base import canonical_json, sha256

MANIFEST = "manifest.json"
CACHES = (("logits", "hints"), ("images",))  # kinds that can be recomputed, the cheapest first
ATTEMPTS = 5  # several processes may replace or delete the same entry at once
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LOG = logging.getLogger(__name__)


class Store:
    """A folder of entries. Several processes may use the same one: the first to finish an entry wins."""

    def __init__(self, root: Path):
        self.root = root

    def folder(self, kind: str, digest: str) -> Path:
        """Where an entry is, or would be. Raises ValueError for a name that `_NAME` does not match."""
        for name in (kind, digest):
            if not _NAME.fullmatch(name):
                raise ValueError(f"`{name}` is not a plain name: use letters, digits, '.', '_' and '-'.")
        return self.root / kind / digest

    def get(self, kind: str, digest: str) -> dict[str, bytes] | None:
        """The entry's files, checked against its manifest; None when it is absent or damaged."""
        folder = self.folder(kind, digest)
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            if not isinstance(manifest, dict):
                return None
            files = {name: (folder / name).read_bytes() for name in manifest}
        except (OSError, ValueError):
            return None
        if any(sha256(content) != manifest[name] for name, content in files.items()):
            return None
        if any(kind in kinds for kinds in CACHES):
            _touch(folder / MANIFEST)  # least recently used caches are evicted first
        return files

    def put(self, kind: str, digest: str, files: Mapping[str, bytes]) -> Path:
        """Write a complete entry. An intact one of that digest is left as it is; a damaged one is replaced.

        Raises DiskError when it cannot be written.
        """
        folder = self.folder(kind, digest)
        if self.get(kind, digest) is not None:
            return folder
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _write(folder, files)
                return folder
            except FileNotFoundError as error:  # the store is being deleted by another process
                if attempt == ATTEMPTS:
                    raise _refused(folder, error) from error
            except OSError as error:
                raise _refused(folder, error) from error
        raise AssertionError("the last attempt returns or raises")

    def try_put(self, kind: str, digest: str, files: Mapping[str, bytes]) -> bool:
        """`put` for what can be recomputed: a failed write is only logged. Returns whether the entry exists now."""
        try:
            self.put(kind, digest, files)
        except DiskError as error:
            _LOG.warning("%s It is not stored, and will be recomputed.", error)
            return False
        return True

    def names(self, kind: str, start: str = "") -> list[str]:
        """The digests of the entries of a kind that begin with `start`, sorted; intact or damaged."""
        try:
            found = [path.name for path in (self.root / kind).iterdir()]
        except OSError:
            return []
        return sorted(name for name in found if _NAME.fullmatch(name) and name.startswith(start))

    def remove(self, kind: str, digest: str) -> None:
        """Delete an entry, if it exists: its manifest first, so that the rest counts as absent at once."""
        folder = self.folder(kind, digest)
        with suppress(OSError):
            (folder / MANIFEST).unlink()
        shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def claimed(self, kind: str, digest: str) -> Iterator[bool]:
        """Whether this process should compute the entry now: False while another process is computing it.

        Claims are advisory, never wait, and end with their process, however it ends. Where the disk supports no locks,
        every process gets True. The lock file is removed at the end of a claim, while it is still locked.
        """
        path = self.folder(kind, digest).with_name(f".claim-{digest}")
        try:
            lock = _locked(path)
        except Timeout:
            yield False
            return
        except (OSError, NotImplementedError):  # full, read-only or without locks: a wait might never end
            yield True
            return
        try:
            yield True
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            lock.release()


def _locked(path: Path) -> BaseFileLock:
    """Acquire this file's lock. Raises Timeout while another process holds it, OSError without locking."""
    lock = FileLock(path, blocking=False, fallback_to_soft=False)  # a soft lock would outlive a killed process
    for attempt in range(1, ATTEMPTS + 1):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            break
        except (Timeout, FileNotFoundError):  # also when the store is deleted, or a claim ends, at the same time
            if path.exists() or attempt == ATTEMPTS:
                raise
    return lock


def _touch(file: Path) -> None:
    """Set the time of the last access, which not every file system does by itself."""
    with suppress(OSError):
        os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write an entry to a temporary folder beside its place, then move it there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent, ignore_cleanup_errors=True) as place:
        making = Path(place) / folder.name
        making.mkdir()
        for name, content in files.items():
            (making / name).write_bytes(content)
        manifest = {name: sha256(content) for name, content in files.items()}
        (making / MANIFEST).write_text(canonical_json(manifest))
        _replace(making, folder)


def _refused(folder: Path, error: OSError) -> DiskError:
    return DiskError(
        f"`{folder}` cannot be written ({error.strerror}): make room on that disk and run the same command again, or "
        "choose another folder with --runs."
    )


def _replace(making: Path, folder: Path) -> None:
    """Move `making` to `folder`; if another process was first, its intact entry stays."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            making.rename(folder)
            return
        except OSError:
            if attempt == ATTEMPTS:
                raise
        if Store(folder.parent.parent).get(folder.parent.name, folder.name) is not None:
            return
        with suppress(OSError):  # another process may already have moved the damaged one away
            folder.rename(making.parent / f"damaged-{attempt}")


@cache
def code_version() -> str:
    """A digest of the whole package's source: what other code computed is computed again."""
    package = Path(__file__).parents[1]
    sources = sorted(package.rglob("*.py"))
    named = [(source.relative_to(package).as_posix(), sha256(source.read_bytes())) for source in sources]
    return sha256(repr(named))


def key(**parts: object) -> str:
    """The digest of everything an entry depends on, the code that makes it included."""
    return sha256(canonical_json({**parts, "code": code_version()}))
