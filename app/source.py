"""Which storage and study the pages show, and the one reader that all visitors share. Nothing here writes."""

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import streamlit as st

from app import confirmed, state
from app.confirmed import FreshRuns
from fitnets.config import Report
from fitnets.errors import InputError
from fitnets.values.per_class import PerClass
from search import cli
from search.read import progress
from search.read.budget import finished
from search.read.candidates import SUFFIX, Candidate, Snapshot
from search.read.listing import counts, studies
from search.read.progress import Standing
from search.read.reader import Observation, Reader
from search.read.tradeoffs import Axis
from search.ship import latencies
from search.ship.confirmed import Confirmation, at_means, confirmation
from search.ship.sure.ties import Ties
from search.storage.address import shown, storage_url
from search.storage.faults import StorageBusy, StorageMissing, StudyMissing


def runs() -> Path:
    """The folder that a run writes, as `python -m app --runs` gives it."""
    return Path(os.environ.get("FITNET_RUNS", "runs")).resolve()


def url() -> str:
    """The storage, as `python -m app --storage` gives it."""
    return storage_url(runs(), os.environ.get("FITNET_STORAGE"))


def first_command() -> str:
    """The command that writes a study where these pages look for one; without a password."""
    given = os.environ.get("FITNET_STORAGE")
    storage = ["--storage", shown(given)] if given else []
    return shlex.join([*cli.command("run"), "digits", "--runs", str(runs()), *storage])


def pages_command(*words: str) -> str:
    """The command that starts these pages, with more words; without a password."""
    given, default = os.environ.get("FITNET_STORAGE"), storage_url(runs(), None)
    storage = ["--storage", shown(given)] if given and given != default else []
    start = [cli.CONSOLE, "app"] if cli.command("run")[0] == cli.CONSOLE else ["python", "-m", "app"]
    return shlex.join([*start, "--runs", str(runs()), *storage, *words])


@st.cache_resource(max_entries=16, show_spinner=False)  # two a study that has fresh runs
def _reader(url: str, name: str) -> Reader:
    return Reader(url, name)


@dataclass(frozen=True, slots=True)
class Picture:
    """The study as the pages draw it."""

    snapshot: Snapshot
    version: int
    """Rises when the page must be drawn again."""
    reports_version: int
    """Rises with every epoch that a student in training reports."""
    standing: Standing
    trained: Sequence[Candidate]
    """The students that have a result, the most accurate first."""
    fresh: FreshRuns | None = None
    """The runs with fresh seeds that confirm students; None where there are none."""
    confirmation: Confirmation | None = None
    """What those runs say; None before the first has finished."""
    students: Sequence[Candidate] = ()
    """The trained ones in the same order, each confirmed one at its confirmed mean."""
    stale_since: float | None = None
    """When it was read, in seconds since 1970, where the storage cannot be read now; None for a current picture."""
    fault: str = ""
    """Why it is stale: the storage is busy, or cannot be read."""
    ties: Ties = field(default_factory=lambda: Ties(0, None, lambda trials: {}))
    """Which students cannot be told apart."""
    fronts: dict[Axis, list[Candidate]] = field(default_factory=dict)
    answers: dict[Any, Any] = field(default_factory=dict)
    """What `app.answer` found, by axis and budget."""

    def front(self, axis: Axis) -> list[Candidate]:
        """The Pareto front of accuracy and this cost, the cheapest student first: the confirmed one, if any."""
        if axis not in self.fronts:
            self.fronts[axis] = confirmed.front_on(self.students, self.confirmation, axis)
        return self.fronts[axis]


@dataclass(slots=True)
class _Cached:
    """The last picture that could be read, and what it was made from."""

    picture: Picture | None = None
    since: float = field(default_factory=time.time)
    """When the study was first asked for."""
    read_at: float = 0.0
    versions: tuple[int, int | None, int | None] | None = None
    """Of the study, of the stored latencies, and of the fresh runs."""
    reports_versions: tuple[int, int | None] | None = None
    """Of the study and of the fresh runs."""


@st.cache_resource(max_entries=16, show_spinner=False)  # one a study and device
def _cached(url: str, name: str, device: str | None) -> _Cached:
    return _Cached()


@st.cache_resource(max_entries=8, show_spinner=False)
def _devices(runs: Path, name: str, stamp: int | None) -> list[str]:
    return latencies.comparable(runs, name)


def devices(name: str) -> list[str]:
    """The devices whose timings can be the latency axis, the one that timed last at the end."""
    return _devices(runs(), name, latencies.stamp(runs()))


def device(name: str) -> str | None:
    """The device whose timings are the latency axis and meet its limit, as the visitor chose; None without timings."""
    return latencies.chosen(devices(name), state.get("device"))


def picture(name: str) -> Picture:
    """The study as it stands; the last good picture while the storage cannot be read.

    Raises StudyMissing when the study is no longer there, InputError when it has never been read and cannot be now.
    """
    timed_on = device(name)
    reader, cached = _reader(url(), name), _cached(url(), name, timed_on)
    try:
        seen = reader.look()
        fresh = _fresh_runs(name) if seen.has_fresh_runs else None
    except StudyMissing:
        raise
    except InputError as error:
        if cached.picture is None:
            raise
        fault = "is busy" if isinstance(error, StorageBusy) else "cannot be read just now"
        return replace(cached.picture, stale_since=cached.read_at, fault=fault)
    versions = (seen.version, latencies.stamp(runs()), fresh.version if fresh else None)
    reports_versions = (seen.reports_version, fresh.reports_version if fresh else None)
    last = cached.picture
    if last is None or cached.versions != versions:
        sizes = latencies.file_sizes(runs(), name)
        timed = latencies.attached(seen.snapshot, latencies.stored(runs(), name, timed_on), sizes)
        version = 1 if last is None else last.version + 1
        trained = finished(timed.candidates)
        found = confirmation(timed, fresh.snapshot) if fresh else None
        last = Picture(
            snapshot=timed,
            version=version,
            reports_version=seen.reports_version,
            standing=_standing(seen, timed, cached.since),
            trained=trained,
            fresh=_standing_of(fresh, cached.since),
            confirmation=found,
            students=at_means(trained, found),
            ties=Ties.of(timed, found, reader.right),
        )
    elif cached.reports_versions != reports_versions:
        running = {c.trial: c for c in seen.snapshot.candidates if c.state == "running"}
        rows = tuple(running.get(c.trial, c) for c in last.snapshot.candidates)
        snapshot = last.snapshot.model_copy(update={"candidates": rows})
        last = replace(
            last,
            snapshot=snapshot,
            reports_version=seen.reports_version,
            standing=_standing(seen, snapshot, cached.since),
            fresh=_standing_of(fresh, cached.since),
            answers={},
        )
    cached.picture, cached.read_at = last, time.time()
    cached.versions, cached.reports_versions = versions, reports_versions
    return last


def _fresh_runs(name: str) -> Observation | None:
    """The study's runs with fresh seeds; None where the study of that name is a search, or has just been deleted."""
    try:
        seen = _reader(url(), name + SUFFIX).look()
    except StudyMissing:
        return None
    return seen if seen.snapshot.confirms is not None else None


def _standing_of(fresh: Observation | None, since: float) -> FreshRuns | None:
    if fresh is None or fresh.snapshot.confirms is None:
        return None
    return FreshRuns(fresh.snapshot, fresh.snapshot.confirms, _standing(fresh, fresh.snapshot, since))


def _standing(seen: Observation, snapshot: Snapshot, since: float) -> Standing:
    return progress.standing(snapshot, seen.last_report, since, seen.last_change)


@st.cache_resource(max_entries=256, show_spinner=False)
def _reports(url: str, name: str, trial: int, result: str) -> tuple[Report, ...]:
    """A finished trial's reports, read once: they do not change."""
    return _reader(url, name).reports(trial)


@st.cache_resource(max_entries=256, show_spinner=False)
def _classes(url: str, name: str, trial: int, result: str) -> PerClass | None:
    return _reader(url, name).classes(trial)


@st.cache_resource(max_entries=256, show_spinner=False)
def _log(url: str, name: str, trial: int, result: str) -> str:
    return _reader(url, name).log(trial)


def reports(name: str, c: Candidate) -> tuple[Report, ...]:
    """A trial's reports so far. Raises InputError where they cannot be read just now."""
    if c.reports or c.state in ("running", "infeasible"):
        return c.reports
    return _reports(url(), name, c.trial, _result(c))


def classes(name: str, c: Candidate) -> PerClass | None:
    """A finished student's validation accuracy by class. Raises InputError where it cannot be read just now."""
    return _classes(url(), name, c.trial, _result(c))


def log(name: str, c: Candidate) -> str:
    """The last lines of a failed trial's log. Raises InputError where they cannot be read just now."""
    return _log(url(), name, c.trial, _result(c))


def _result(c: Candidate) -> str:
    """What distinguishes a trial from one of the same number in a storage file that replaced this one."""
    return c.outcome.weights_sha256 if c.outcome else str(c.ended)


@st.cache_resource(max_entries=8, show_spinner=False)
def _names(url: str) -> list[str]:
    """The names that were read last; `names` replaces them."""
    return []


def names() -> list[str]:
    """The studies in the storage, the newest first; while it cannot be read, those that were read last.

    Raises InputError when there is no storage, or it could never be read.
    """
    known = _names(url())
    try:
        known[:] = reversed(studies(url()))
    except InputError as error:
        if not known or isinstance(error, StorageMissing):
            raise
    return list(known)


def quick_counts(name: str) -> dict[str, int]:
    """How many trials are in each state, before they are read."""
    try:
        return {str(state): number for state, number in counts(url(), name).items()}
    except InputError:
        return {}


def is_cold(name: str) -> bool:
    """Whether this server has not read the study yet."""
    return _cached(url(), name, device(name)).picture is None
