"""The incremental reader: a study in its storage -> Snapshot; a refresh reads only what is new. Never writes.

Finished trials do not change, so they are read once; new and unfinished ones are read at every refresh. No torch, no
ray.
"""

import threading
import time
import typing
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import sqlalchemy

from fitnets.config import Report
from fitnets.values.per_class import PerClass
from fitnets.values.per_image import PerImage
from search.read.candidates import (
    ADVICE,
    CONFIRMS,
    ENDED,
    REASON,
    TEACHING,
    Advice,
    Candidate,
    Confirms,
    Snapshot,
    Unread,
    marked,
)
from search.read.row import mapping, plain, reports, row, valid
from search.read.stored import queries
from search.read.stored.tables import Position, StudyRows, TrialRow
from search.storage.address import sqlite_path
from search.storage.faults import StorageMissing, reading, study_missing
from search.storage.readonly import ReadOnlyStorage, file_status

FINISHED = ("COMPLETE", "PRUNED", "FAIL")


class Observation(NamedTuple):
    """A study at one moment, with counters that show whether it changed."""

    snapshot: Snapshot
    version: int
    """Rises when a trial was added, ended or changed, or the study did; the report of an epoch does not count."""
    reports_version: int
    """Rises with every epoch that a trial in training reports."""
    last_report: float | None
    """When a trial in training was last seen to have changed, in seconds since 1970; None until one was."""
    last_change: float
    """When the study itself, such as its teacher's last epoch, was last seen to change, in seconds since 1970; until it
    was, when it was first read."""
    has_fresh_runs: bool
    """Whether the storage has a study of the name of its fresh runs (see `search.confirm`)."""


class Reader(AbstractContextManager["Reader"]):
    """One study, which can be read again and again, also by several threads.

    A storage file that was replaced is read from the start.
    """

    def __init__(self, url: str, name: str, all_reports: bool = False):
        self.url, self.name = url, name
        self._version, self._reports_version = 0, 0
        self._all_reports = all_reports
        self._lock = threading.Lock()
        self._storage = ReadOnlyStorage(url)
        self._reset(None)

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the storage; a later refresh opens it again."""
        self._storage.close()

    def refresh(self) -> Snapshot:
        """The study as it is now; the same object as before when nothing changed.

        Raises StudyMissing when there is no such file or study, InputError when it cannot be read now.
        """
        return self.look().snapshot

    def look(self) -> Observation:
        """As `refresh`, with the counters. Raises the same errors."""
        with self._lock, reading(self.url):
            self._check_file()
            found = self._storage.read(self._query)
            snapshot = self._update(found)
            moments = self._last_report, self._last_change
            return Observation(snapshot, self._version, self._reports_version, *moments, found.has_fresh_runs)

    def reports(self, trial: int) -> tuple[Report, ...]:
        """One trial's reports so far, which `refresh` reads for running trials only."""
        return reports(self._attribute(trial, "reports"))

    def classes(self, trial: int) -> PerClass | None:
        """How many images of each class a finished student classified right; None where they were not counted."""
        return valid(PerClass, self._attribute(trial, "classes"))

    def right(self, trials: Sequence[int]) -> dict[int, PerImage]:
        """Which validation images each of these students has right, by trial; without those of earlier versions."""
        with self._lock, reading(self.url):
            found = self._storage.read(lambda engine: queries.trials_attribute(engine, self.name, trials, "right"))
        read = {trial: valid(PerImage, text) for trial, text in found.items()}
        return {trial: value for trial, value in read.items() if value is not None}

    def log(self, trial: int) -> str:
        """The last lines of output of a failed trial's worker; empty where there are none."""
        return str(plain(self._attribute(trial, "log")) or "")

    def _attribute(self, trial: int, key: str) -> str | None:
        """An attribute that `refresh` leaves out, because only the page of one trial shows it."""
        with self._lock, reading(self.url):
            return self._storage.read(lambda engine: queries.trial_attribute(engine, self.name, trial, key))

    def _check_file(self) -> None:
        """Start over where the storage file was replaced by another."""
        path = sqlite_path(self.url)
        if path is None:
            return
        try:
            about = file_status(path)
        except StorageMissing:
            self._reset(None)
            raise
        if self._file != (about.st_dev, about.st_ino):
            self._reset((about.st_dev, about.st_ino))

    def _reset(self, file: tuple[int, int] | None) -> None:
        self._file = file
        self._study_id: int | None = None
        self._about: dict[str, str] = {}
        self._unfinished: dict[int, Any] = {}
        """What was last read of each trial that had not finished, by its number."""
        self._last = -1
        self._rows: dict[int, Candidate | Unread] = {}
        self._snapshot: Snapshot | None = None
        self._last_report: float | None = None
        self._last_change = time.time()

    def _query(self, engine: sqlalchemy.Engine) -> StudyRows:
        """What is new in the storage. Changes nothing in this object."""
        position = Position(self._study_id, self._last, tuple(self._unfinished))
        found = queries.study_rows(engine, self.name, position, self._all_reports)
        if found is None:
            raise study_missing(self.url, self.name, queries.study_names(engine))
        return found

    def _update(self, found: StudyRows) -> Snapshot:
        """The study with the new rows."""
        if found.study_id != self._study_id:
            self._reset(self._file)
            self._study_id = found.study_id
        changed, reported = self._store(found.trials)
        if found.attributes != self._about:
            self._last_change = time.time()
        if changed or found.attributes != self._about or self._snapshot is None:
            self._about = found.attributes
            self._snapshot = self._build(found.attributes)
            self._version += 1
        elif reported:
            rows = tuple(self._rows[c.trial] for c in self._snapshot.candidates)
            self._snapshot = self._snapshot.model_copy(update={"candidates": rows})
        self._reports_version += reported
        return self._snapshot

    def _store(self, trials: Sequence[TrialRow]) -> tuple[bool, bool]:
        """Store the rows. Returns whether any of them changed, and whether a trial in training reported an epoch."""
        changed = reported = False
        for number, state, started, ended, about in trials:
            if state not in FINISHED:
                raw = (state, {key: text for key, text in about.items() if key != "reports"}, about.get("reports"))
                before = self._unfinished.get(number)
                if before == raw:
                    continue
                if before is not None:
                    self._last_report = time.time()
                self._unfinished[number] = raw
                changed = changed or before is None or before[:2] != raw[:2]
                reported = True
            else:
                self._unfinished.pop(number, None)
                changed = True
            self._last = max(self._last, number)
            self._rows[number] = row(number, state, started, ended, about)
        return changed, reported

    def _build(self, about: Mapping[str, str]) -> Snapshot:
        rows = [self._rows[number] for number in sorted(self._rows)]
        candidates = marked([r for r in rows if isinstance(r, Candidate)])
        self._rows.update({c.trial: c for c in candidates})
        known = {key: mapping(about.get(key)) for key in ("study", "teacher", "images")}
        return Snapshot(
            study=self.name,
            definition=known["study"],
            teacher=known["teacher"],
            images=known["images"],
            candidates=candidates,
            unread=tuple(r for r in rows if isinstance(r, Unread)),
            stopped=float(moment) if isinstance(moment := plain(about.get(ENDED)), int | float) else None,
            reason=None if (reason := plain(about.get(REASON))) is None else str(reason),
            advice=advice if (advice := plain(about.get(ADVICE))) in typing.get_args(Advice) else "said",
            teaching=valid(Report, about.get(TEACHING)),
            confirms=valid(Confirms, about.get(CONFIRMS)),
        )


def read(url: str, name: str) -> Snapshot:
    """The study `name` of the storage at `url`, read without ever writing to it or creating it.

    Raises InputError when there is no such storage or study.
    """
    with Reader(url, name, all_reports=True) as reader:
        return reader.refresh()
