"""The incremental reader: a study in its storage -> Snapshot, again and again, reading only what is new. Never writes.

Finished trials do not change, so they are read once; new and unfinished ones are read at every refresh. Optuna's own
tables are read directly: twenty times faster than loading the study. No torch, no ray.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import sqlalchemy

from fitnets.config import Report
from fitnets.errors import InputError
from fitnets.values.per_class import PerClass
from search.read.candidates import ENDED, Candidate, Snapshot, Unread, marked
from search.read.listing import STUDIES
from search.read.row import mapping, plain, reports, row, valid
from search.storage.address import sqlite_path
from search.storage.faults import absent, no_such, told
from search.storage.readonly import at_rest, engine

FINISHED = ("COMPLETE", "PRUNED", "FAIL")


class Gone(InputError):
    """The file or the study is not there; any other fault of a storage may pass."""


class Seen(NamedTuple):
    """What one look at a study found."""

    snapshot: Snapshot
    version: int
    """Rises when a trial came, ended or changed, or the study did; an epoch's report is no such change."""
    pulse: int
    """Rises with every epoch that a trial in training reports."""
    heard: float | None
    """When a trial in training was last seen to have changed, in seconds since 1970; None until one was."""


class Reader(AbstractContextManager["Reader"]):
    """One study, read again and again; `look` tells whether there was anything new.

    Usable from several threads. A storage file that was replaced is read anew.
    """

    def __init__(self, url: str, name: str, all_reports: bool = False):
        self.url, self.name = url, name
        self._version, self._pulse = 0, 0
        self._all_reports = all_reports
        self._lock = threading.Lock()
        self._engine: sqlalchemy.Engine | None = None
        self._sealed: tuple[int, int] | None = None
        """When the file was written last, where nobody has it open for writing."""
        self._forget(None)

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the storage; a later refresh opens it again."""
        if self._engine is not None:
            self._engine.dispose()
        self._engine = None

    def refresh(self) -> Snapshot:
        """The study as it stands; the same object as before when nothing changed.

        Raises Gone when there is no such file or study, InputError when it cannot be read now.
        """
        return self.look().snapshot

    def look(self) -> Seen:
        """The same, with what tells whether it is new."""
        with self._lock, told(self.url):
            self._check_file()
            with self._open() as connection:
                return Seen(self._read(connection), self._version, self._pulse, self._heard)

    def reports(self, trial: int) -> tuple[Report, ...]:
        """One trial's reports so far, which `refresh` reads for running trials only."""
        return reports(self._attribute(trial, "reports"))

    def classes(self, trial: int) -> PerClass | None:
        """What a finished student tells each class to be; None where nobody counted."""
        return valid(PerClass, self._attribute(trial, "classes"))

    def log(self, trial: int) -> str:
        """The last lines that a failed trial's worker wrote; empty where there are none."""
        return str(plain(self._attribute(trial, "log")) or "")

    def _attribute(self, trial: int, key: str) -> str | None:
        """An attribute that `refresh` leaves out, because only the page of one trial shows it."""
        with self._lock, told(self.url), self._open() as connection:
            text = connection.execute(_ATTRIBUTE, {"name": self.name, "number": trial, "key": key}).scalar()
        return None if text is None else str(text)

    def _check_file(self) -> None:
        """Start anew where another file took the storage's place."""
        path = sqlite_path(self.url)
        if path is None:
            return
        try:
            about = path.stat()
        except OSError as error:
            self.close()
            self._forget(None)
            raise Gone(str(absent(path))) from error
        if self._file != (about.st_dev, about.st_ino):
            self.close()
            self._forget((about.st_dev, about.st_ino))
        sealed = (about.st_mtime_ns, about.st_size) if at_rest(path) else None
        if self._sealed != sealed:
            self.close()
            self._sealed = sealed

    def _forget(self, file: tuple[int, int] | None) -> None:
        self._file = file
        self._study_id: int | None = None
        self._about: dict[str, str] = {}
        self._open_trials: dict[int, Any] = {}
        """What was last read of each trial that had not finished."""
        self._last = -1
        self._rows: dict[int, Candidate | Unread] = {}
        self._snapshot: Snapshot | None = None
        self._heard: float | None = None

    def _open(self) -> sqlalchemy.Connection:
        if self._engine is None:
            self._engine = engine(self.url)
        return self._engine.connect()

    def _read(self, connection: sqlalchemy.Connection) -> Snapshot:
        study_id = connection.execute(_STUDY, {"name": self.name}).scalar()
        if study_id is None:
            raise Gone(str(no_such(self.url, self.name, [row[0] for row in connection.execute(STUDIES)])))
        if study_id != self._study_id:
            self._forget(self._file)
            self._study_id = study_id
        about = {str(key): str(text) for key, text in connection.execute(_STUDY_ATTRS, {"id": study_id})}
        wanted = {"id": study_id, "last": self._last, "open": list(self._open_trials)}
        trials = connection.execute(_TRIALS, wanted).all()
        attrs: dict[int, dict[str, str]] = defaultdict(dict)
        statement = _ALL_ATTRS if self._all_reports else _ATTRS
        for trial_id, key, text in connection.execute(statement, wanted) if trials else ():
            attrs[trial_id][key] = text
        changed, reported = self._take(trials, attrs)
        if changed or about != self._about or self._snapshot is None:
            self._about = about
            self._snapshot = self._made(about)
            self._version += 1
        elif reported:
            rows = tuple(self._rows[c.trial] for c in self._snapshot.candidates)
            self._snapshot = self._snapshot.model_copy(update={"candidates": rows})
        self._pulse += reported
        return self._snapshot

    def _take(self, trials: Sequence[Any], attrs: Mapping[int, dict[str, str]]) -> tuple[bool, bool]:
        """Remember what was read; whether any of it is new, and whether a trial in training reported an epoch."""
        changed = reported = False
        for trial_id, number, state, started, ended in trials:
            about = attrs.get(trial_id, {})
            if state not in FINISHED:
                raw = (state, {key: text for key, text in about.items() if key != "reports"}, about.get("reports"))
                before = self._open_trials.get(trial_id)
                if before == raw:
                    continue
                if before is not None:
                    self._heard = time.time()
                self._open_trials[trial_id] = raw
                changed = changed or before is None or before[:2] != raw[:2]
                reported = True
            else:
                self._open_trials.pop(trial_id, None)
                changed = True
            self._last = max(self._last, trial_id)
            self._rows[number] = row(number, state, started, ended, about)
        return changed, reported

    def _made(self, about: Mapping[str, str]) -> Snapshot:
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
        )


def read(url: str, name: str) -> Snapshot:
    """The study `name` of the storage at `url`, read without ever writing to it or creating it.

    Raises InputError when there is no such storage or study.
    """
    with Reader(url, name, all_reports=True) as reader:
        return reader.refresh()


_STUDY = sqlalchemy.text("SELECT study_id FROM studies WHERE study_name = :name")
_STUDY_ATTRS = sqlalchemy.text("SELECT key, value_json FROM study_user_attributes WHERE study_id = :id")
_NEW = "t.study_id = :id AND (t.trial_id > :last OR t.trial_id IN :open)"
_OPEN: sqlalchemy.BindParameter[int] = sqlalchemy.bindparam("open", expanding=True)
_TRIALS = sqlalchemy.text(
    f"SELECT t.trial_id, t.number, t.state, t.datetime_start, t.datetime_complete FROM trials t WHERE {_NEW} "
    "ORDER BY t.number"
).bindparams(_OPEN)
_JOINED = "SELECT a.trial_id, a.key, a.value_json FROM trial_user_attributes a JOIN trials t ON t.trial_id = a.trial_id"
_READ = f"{_JOINED} WHERE {_NEW} AND a.key NOT IN ('classes', 'log')"
_ALL_ATTRS = sqlalchemy.text(_READ).bindparams(_OPEN)
_ATTRS = sqlalchemy.text(f"{_READ} AND (a.key <> 'reports' OR t.state = 'RUNNING')").bindparams(_OPEN)
_ATTRIBUTE = sqlalchemy.text(
    f"SELECT q.value_json FROM ({_JOINED}) q JOIN trials t ON t.trial_id = q.trial_id "
    "JOIN studies s ON s.study_id = t.study_id WHERE s.study_name = :name AND t.number = :number AND q.key = :key"
)
