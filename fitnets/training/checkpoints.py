"""Checkpoints: an interrupted run continues from its newest one, to the same numbers as an uninterrupted run.

On a CPU they are the same bit for bit. On a GPU, whose kernels may add in another order each time, they are the same up
to rounding: PyTorch has no deterministic form of some of them (the backward pass of average pooling, for one).

After an epoch, the state of training (`training.run.Run`) and the Reports so far become one entry of the store,
`checkpoint/<run>-<epochs>`: safetensors and JSON, complete or absent, never unpickled. An older one is deleted when the
newer is in place, and a damaged one counts as absent, so a run continues from the newest intact one, or from its start.
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
SECONDS = 1.0  # the shortest time between two checkpoints, for epochs of milliseconds
SHARE = 0.02  # the largest share of the time spent writing them: on a slow disk, they are written less often


class Checkpoints:
    """One run's Reports, and its checkpoints in `store`; without a store there are none.

    `run` names the run: a digest of everything that it depends on.
    """

    def __init__(self, store: Store | None, run: str):
        self.reports: list[Report] = []
        """Every Report of the run so far, as first yielded."""
        self._store, self._run = store, run
        self._tensors: dict[str, Tensor] = {}
        self._load()
        self._written = len(self.reports)
        self._due = time.monotonic() + SECONDS

    @property
    def stage(self) -> Stage | None:
        """The stage of the last Report; None before the first."""
        return self.reports[-1].stage if self.reports else None

    def replayed(self) -> Generator[Report]:
        """The Reports of the epochs that are already trained, marked as replayed.

        A generator, because Ray calls `send` on the generator that delegates to this one, and a list has no `send`.
        """
        return (report.changed(replayed=True) for report in self.reports)

    def resume(self, run: Run, stage: Stage) -> None:
        """Restore `run` from the checkpoint, if the checkpoint is of this stage."""
        if self._tensors and self.stage == stage:
            run.restore(self.reports[-1].epoch, self._tensors)
        self._tensors = {}

    def add(self, run: Run, report: Report) -> None:
        """Record an epoch, and write a checkpoint if one is due."""
        self.reports.append(report)
        if time.monotonic() >= self._due:
            self.write(run)

    def write(self, run: Run) -> None:
        """Write a checkpoint now, unless the newest one is up to date, and delete the older ones.

        If it cannot be written, the older one stays and training continues.
        """
        if self._store is None or self._written == len(self.reports):
            return
        began = time.monotonic()
        name = f"{self._run}-{len(self.reports):06d}"
        files = {"state.safetensors": save_tensors(run.tensors()), "reports.json": to_json(self.reports)}
        if self._store.try_put(KIND, name, files):
            self._written = len(self.reports)
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
    """Reports as the content of a JSON file."""
    return json.dumps([report.model_dump(mode="json") for report in reports]).encode()


def from_json(content: bytes) -> list[Report]:
    """Reports from the content of such a file."""
    return [Report.model_validate(report) for report in json.loads(content)]
