"""The files that were exported since the server started: the most recently used, within a limit on their bytes."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import streamlit as st

from search.ship.student_files import File

MOST_BYTES = 256_000_000  # of one server's memory, for all its studies and visitors

Hashed = tuple[File, str]
"""A file with its SHA-256, which is computed once."""


class Exports:
    """Students' files by their storage, study and weights. The newest export stays, however large it is."""

    def __init__(self, most_bytes: int = MOST_BYTES):
        self.most_bytes = most_bytes
        self._files: OrderedDict[tuple[str, str, str], tuple[Hashed, ...]] = OrderedDict()
        self._lock = Lock()

    def get(self, url: str, study: str, weights_sha256: str) -> tuple[Hashed, ...] | None:
        """The files of a student; None where it was not exported, or was removed since."""
        key = (url, study, weights_sha256)
        with self._lock:
            if key in self._files:
                self._files.move_to_end(key)
            return self._files.get(key)

    def put(self, url: str, study: str, weights_sha256: str, files: Sequence[Hashed]) -> None:
        """Add a student's files; where the limit is exceeded, the least recently used of the others are removed."""
        key = (url, study, weights_sha256)
        with self._lock:
            self._files[key] = tuple(files)
            self._files.move_to_end(key)
            while self.bytes > self.most_bytes and len(self._files) > 1:
                self._files.popitem(last=False)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(len(file.content) for files in self._files.values() for file, _ in files)


@st.cache_resource(show_spinner=False)
def shared() -> Exports:
    """The server's exports, the same for all visitors."""
    return Exports()


def hashed(files: Sequence[File]) -> tuple[Hashed, ...]:
    """The files, each with its SHA-256."""
    return tuple((file, file.sha256) for file in files)
