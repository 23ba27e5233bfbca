"""Which storage and study the pages show, and their one shared reader. Nothing here writes."""

import gc
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from fitnets.errors import InputError
from search import progress
from search.progress import Standing
from search.results import Snapshot
from search.snapshot import Reader
from search.storage import Busy, counts, studies
from search.study import storage_url

MANY = 200  # students, from which on their number is felt


def runs() -> Path:
    """The folder that a run writes, as `python -m app --runs` gives it."""
    return Path(os.environ.get("FITNET_RUNS", "runs")).resolve()


def url() -> str:
    """The storage, as `python -m app --storage` gives it."""
    return storage_url(runs(), os.environ.get("FITNET_STORAGE"))


@st.cache_resource(max_entries=8, show_spinner=False)
def _reader(url: str, name: str) -> Reader:
    return Reader(url, name)


@dataclass(frozen=True, slots=True)
class Picture:
    """What the pages draw."""

    snapshot: Snapshot
    version: int
    standing: Standing
    late: float | None = None
    """When the picture was taken, where the storage is busy and a newer one cannot be had."""


@st.cache_resource(max_entries=8, show_spinner=False)
def _last(url: str, name: str) -> dict[str, tuple[Picture, float]]:
    """The last picture and when it was taken, once there is one."""
    return {}


def picture(name: str) -> Picture:
    """The study as it stands; the last good picture while the storage is busy.

    Raises InputError when there is none.
    """
    reader, kept = _reader(url(), name), _last(url(), name)
    old, taken = kept.get("last", (None, 0.0))
    try:
        snapshot = reader.refresh()
    except Busy:
        if old is None:
            raise
        return replace(old, late=taken)
    if old is None or old.snapshot is not snapshot:
        old = Picture(snapshot, reader.version, progress.standing(snapshot))
        _settle(len(snapshot.candidates))
    kept["last"] = (old, time.time())
    return old


@st.cache_resource(show_spinner=False)
def _settled() -> list[int]:
    return [0]


def _settle(students: int) -> None:
    """Spare the students that were read from garbage collection.

    Streamlit collects after every look at the storage, which would cost 0.2 s of processor time with 5,000 students.
    """
    settled = _settled()
    if students > settled[0] + MANY:
        settled[0] = students
        gc.collect()
        gc.freeze()


def reader(name: str) -> Reader:
    """The shared reader, for one trial's reports."""
    return _reader(url(), name)


def names() -> list[str]:
    """The studies in the storage, the newest first. Raises InputError when there is no storage."""
    return list(reversed(studies(url())))


def quick_counts(name: str) -> dict[str, int]:
    """How many trials are in each state, before they are read."""
    try:
        return {str(state): number for state, number in counts(url(), name).items()}
    except InputError:
        return {}


def is_cold(name: str) -> bool:
    """Whether this server has not read the study yet."""
    return "last" not in _last(url(), name)
