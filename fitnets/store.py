"""Content-addressed files: what is expensive to make is kept under the digest of everything it depends on.

An entry is a folder `<root>/<kind>/<digest>/` with its files and a manifest of their SHA-256. It appears whole, by one
rename, or not at all; a damaged entry reads as absent and is made again. Deleting the store costs time, never results.
"""

import fcntl
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from fitnets.errors import InputError
from fitnets.value import canonical_json, sha256

MANIFEST = "manifest.json"
REPLACE_ATTEMPTS = 5  # several processes may replace one damaged entry at the same moment
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Store:
    """A folder of entries. Several processes may use one at once: the first to finish an entry wins."""

    def __init__(self, root: Path):
        self.root = root

    def folder(self, kind: str, digest: str) -> Path:
        """Where an entry is, or would be. Raises ValueError for names that are not plain."""
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
        intact = all(sha256(content) == manifest[name] for name, content in files.items())
        return files if intact else None

    def put(self, kind: str, digest: str, files: Mapping[str, bytes]) -> Path:
        """Write an entry whole. An intact one of that digest is left as it is; a damaged one is replaced.

        Raises InputError when the folder cannot be written.
        """
        folder = self.folder(kind, digest)
        if self.get(kind, digest) is not None:
            return folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as place:
                making = Path(place) / folder.name
                making.mkdir()
                for name, content in files.items():
                    (making / name).write_bytes(content)
                manifest = {name: sha256(content) for name, content in files.items()}
                (making / MANIFEST).write_text(canonical_json(manifest))
                _replace(making, folder)
        except OSError as error:
            raise InputError(
                f"`{folder}` cannot be written ({error.strerror}): choose another folder with --runs."
            ) from error
        return folder

    @contextmanager
    def claimed(self, kind: str, digest: str) -> Iterator[bool]:
        """Whether this process alone may make the entry now. Claims are advisory, and end with the process at last."""
        lock = self.folder(kind, digest).with_name(f".claim-{digest}")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            try:
                yield True
            finally:
                lock.unlink(missing_ok=True)


def _replace(making: Path, folder: Path) -> None:
    """Move `making` to `folder`; where another process was first, its intact entry stays."""
    for attempt in range(1, REPLACE_ATTEMPTS + 1):
        try:
            making.rename(folder)
            return
        except OSError:
            if attempt == REPLACE_ATTEMPTS:
                raise
        if Store(folder.parent.parent).get(folder.parent.name, folder.name) is not None:
            return
        with suppress(OSError):  # another process may have set the damaged one aside already
            folder.rename(making.parent / f"damaged-{attempt}")


@cache
def code_version() -> str:
    """A digest of this package's source: what was made by other code is made again."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return sha256("".join(sha256(source.read_bytes()) for source in sources))


def key(**parts: object) -> str:
    """The digest of everything an entry depends on, the code that makes it included."""
    return sha256(canonical_json({**parts, "code": code_version()}))
