"""Checkpoints: a run that died goes on from its newest one, to the numbers of a run that did not.

After an epoch, what training changes (`training.run.Run`) and the Reports so far become one entry of the store,
`checkpoint/<run>-<epochs>`: safetensors and JSON, whole or absent, never unpickled. An older one is deleted when the
newer is in place, and a damaged one reads as absent, so a run goes on from the newest whole one, or from its beginning.
"""

import json
import time
from collections.abc import Generator

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from fitnets.config import Report, Stage
from fitnets.disk.store import Store
from fitnets.training.run import Run

KIND = "checkpoint"
SECONDS = 1.0  # epochs of milliseconds: at most one checkpoint in so long
SHARE = 0.02  # of the time, at most: where the disk is slow, they come less often


class Checkpoints:
    """One run's Reports, and its checkpoints in `store`; without a store there are none.

    `run` names the run: a digest of everything that it depends on.
    """

    def __init__(self, store: Store | None, run: str):
        self.reports: list[Report] = []
        """Every Report of the run so far, as it was first yielded."""
        self._store, self._run = store, run
        self._tensors: dict[str, Tensor] = {}
        self._load()
        self._kept = len(self.reports)
        self._due = time.monotonic() + SECONDS

    @property
    def stage(self) -> Stage | None:
        """The stage that the last Report is of; None before the first."""
        return self.reports[-1].stage if self.reports else None

    def replayed(self) -> Generator[Report]:
        """The Reports of the epochs that need no training any more, marked as such.

        A generator, because Ray sends into the one that these are yielded from, and a list cannot be sent to.
        """
        return (report.changed(replayed=True) for report in self.reports)

    def resume(self, run: Run, stage: Stage) -> None:
        """Put `run` where the checkpoint stands, if it stands in this stage."""
        if self._tensors and self.stage == stage:
            run.restore(self.reports[-1].epoch, self._tensors)
        self._tensors = {}

    def add(self, run: Run, report: Report) -> None:
        """Record an epoch, and write a checkpoint if one is due."""
        self.reports.append(report)
        if time.monotonic() >= self._due:
            self.write(run)

    def write(self, run: Run) -> None:
        """Write a checkpoint now, unless the newest one stands here, and delete the older.

        Where the disk refuses it, the older one stays, and the training goes on.
        """
        if self._store is None or self._kept == len(self.reports):
            return
        began = time.monotonic()
        name = f"{self._run}-{len(self.reports):06d}"
        files = {"state.safetensors": save_tensors(run.tensors()), "reports.json": to_json(self.reports)}
        if self._store.keep(KIND, name, files):
            self._kept = len(self.reports)
            for older in self._names():
                if older < name:
                    self._store.remove(KIND, older)
        now = time.monotonic()
        self._due = now + max(SECONDS, (now - began) / SHARE)

    def remove(self) -> None:
        """Delete this run's checkpoints."""
        if self._store is not None:
            for name in self._names():
                self._store.remove(KIND, name)

    def _load(self) -> None:
        for name in reversed(self._names()):
            assert self._store is not None
            found = self._store.get(KIND, name)
            if found is not None:
                self.reports = from_json(found["reports.json"])
                self._tensors = load_tensors(found["state.safetensors"])
                return

    def _names(self) -> list[str]:
        return [] if self._store is None else self._store.names(KIND, f"{self._run}-")


def to_json(reports: list[Report]) -> bytes:
    """Reports as a file."""
    return json.dumps([report.model_dump(mode="json") for report in reports]).encode()


def from_json(told: bytes) -> list[Report]:
    """Reports from such a file."""
    return [Report.model_validate(report) for report in json.loads(told)]
