"""Which storage and study the pages show, and their one shared reader. Nothing here writes."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from fitnets.errors import InputError
from search.results import Snapshot
from search.snapshot import Busy, Reader, counts, studies
from search.study import storage_url


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
    late: float | None = None
    """When the picture was taken, where the storage is busy and a newer one cannot be had."""


@st.cache_resource(max_entries=8, show_spinner=False)
def _last(url: str, name: str) -> dict[str, tuple[Snapshot, int, float]]:
    return {}


def picture(name: str) -> Picture:
    """The study as it stands; the last good picture while the storage is busy.

    Raises InputError when there is none.
    """
    reader, kept = _reader(url(), name), _last(url(), name)
    try:
        snapshot = reader.refresh()
    except Busy:
        if "last" not in kept:
            raise
        old, version, taken = kept["last"]
        return Picture(old, version, taken)
    kept["last"] = (snapshot, reader.version, time.time())
    return Picture(snapshot, reader.version)


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
