"""Which storage and study the pages show, and their one shared reader. Nothing here writes."""

import gc
import os
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from fitnets.errors import InputError
from search import progress, timings
from search.progress import Standing
from search.results import Snapshot
from search.snapshot import Reader
from search.storage import Busy, counts, shown, storage_url, studies

MANY = 200  # students, from which on their number is felt


def runs() -> Path:
    """The folder that a run writes, as `python -m app --runs` gives it."""
    return Path(os.environ.get("FITNET_RUNS", "runs")).resolve()


def url() -> str:
    """The storage, as `python -m app --storage` gives it."""
    return storage_url(runs(), os.environ.get("FITNET_STORAGE"))


def first_command() -> str:
    """The command that writes a study where these pages look for one; a password is not in it."""
    given = os.environ.get("FITNET_STORAGE")
    storage = ["--storage", shown(given)] if given else []
    return shlex.join(["python", "-m", "search.run", "digits", "--runs", str(runs()), *storage])


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


@dataclass(slots=True)
class _Kept:
    """The last picture, when it was looked at, and what it was made of."""

    picture: Picture | None = None
    looked: float = 0.0
    made_of: tuple[int, int | None] | None = None


@st.cache_resource(max_entries=8, show_spinner=False)
def _last(url: str, name: str) -> _Kept:
    return _Kept()


def picture(name: str) -> Picture:
    """The study as it stands; the last good picture while the storage is busy.

    Raises InputError when there is none.
    """
    reader, kept = _reader(url(), name), _last(url(), name)
    try:
        snapshot = reader.refresh()
    except Busy:
        if kept.picture is None:
            raise
        return replace(kept.picture, late=kept.looked)
    made_of = (reader.version, timings.stamp(runs()))
    if kept.picture is None or kept.made_of != made_of:
        version = 1 if kept.picture is None else kept.picture.version + 1
        timed = timings.attached(snapshot, timings.stored(runs(), name))
        kept.picture, kept.made_of = Picture(timed, version, progress.standing(timed)), made_of
        _settle(len(snapshot.candidates))
    kept.looked = time.time()
    return kept.picture


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
    return _last(url(), name).picture is None
