"""The most accurate student whose exported file is within a budget on this machine, and how it was found. No torch.

`search.ship.first_fit` decides which students are exported. Here they are exported, and their timings are stored.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fitnets.errors import InputError
from fitnets.nets.footprint import FLOAT_BYTES
from fitnets.values.base import sha256
from search.read.budget import Budget, Miss
from search.read.candidates import Candidate, Snapshot
from search.ship import latencies
from search.ship.first_fit import FileCost, FirstFit
from search.units import format_accuracy
from search.workers.machine import cores

if TYPE_CHECKING:
    from search.ship.shipped.exported import Exported
    from search.ship.shipper import Shipper


class Selection:
    """The choice among `students`, which are within the limits known before export, the most accurate first."""

    def __init__(self, shipper: "Shipper", budget: Budget, students: Sequence[Candidate]):
        self.shipper, self.students = shipper, students
        self._load, self._busy = latencies.load()
        stored = latencies.of_device(shipper.runs, shipper.snapshot.study, latencies.device(), shipper.precision)
        self._costs = {c.trial: _cost(stored[w]) for c in students if (w := _weights_sha256(c)) in stored}
        self._timed_before = len(self._costs)
        self._exported: list[int] = []
        self._latest: Exported | None = None
        self._not_stored = ""
        """Why timings are not stored; empty while they are."""
        weight_bytes = 1 if shipper.int8 else FLOAT_BYTES
        self._search = FirstFit(
            budget, self._costs, lambda c: self._export(c, shipper.exported_for_timing), weight_bytes
        )

    def chosen(self) -> "Exported | None":
        """The most accurate student whose file is within every limit, timed now; None where there is none."""
        while (candidate := self._search.first(self.students)) is not None:
            if self._latest is None or self._latest.candidate is not candidate or not self._latest.weights:
                self._export(candidate, self.shipper.exported)  # a stored timing may be out of date
            if not self._search.excess(candidate):
                return self._latest
        return None

    def effort(self) -> str:
        """For people: how many students were exported for the choice."""
        number, text = len(set(self._exported)), ""
        if self._busy and self._search.budget.max_latency_ms is not None:
            text = f" This machine was busy (load {self._load:.1f} on {cores()} cores): no timing was stored."
        elif self._not_stored:
            text = f" The timings were not stored: {self._not_stored}"
        known = f"{self._timed_before} were timed on this machine before."
        return f"exported {number} of {len(self.students)} students; {known}{text}"

    def none_fits(self, time_all: str) -> str:
        """For people: why no student was chosen; `time_all` is the command that times every student."""
        text = none_within(self.shipper.snapshot, self._search.nearest(self.students))
        left = len(self._search.unknown(self.students))
        rule = (
            f" {left} others were not exported, because those with the fewest multiply-adds do not fit either; "
            f"to be certain, time them with `{time_all}`."
        )
        return f"{text} ({self.effort()}{rule if left else ''})"

    def _export(self, candidate: Candidate, export: "Callable[[Candidate], Exported]") -> None:
        self.shipper.progress(f"exporting trial {candidate.trial} ({len(self._exported)} exported before) ...")
        self._latest = export(candidate)
        self._exported.append(candidate.trial)
        measured = self._latest.measured(self._load)
        self._costs[candidate.trial] = _cost(measured)
        if self._search.budget.max_latency_ms is not None and not self._busy and not self._not_stored:
            try:
                latencies.add(self.shipper.runs, self.shipper.snapshot.study, candidate, measured)
            except (InputError, OSError) as error:  # the choice needs no stored timing
                self._not_stored = str(error)


def none_within(snapshot: Snapshot, miss: Miss | None) -> str:
    """For people: no student is within the budget, and which one comes nearest."""
    assert miss is not None, "there are finished students"
    candidate, limits = miss
    assert candidate.outcome is not None
    return (
        f"no student of `{snapshot.study}` is within the budget. The nearest is trial {candidate.trial} "
        f"({format_accuracy(candidate.outcome.val_accuracy)}): {'; '.join(limit.text() for limit in limits)}. "
        "Loosen that limit, or train more students."
    )


def retrained_note(chosen: "Exported", runs: Path) -> str:
    """For people: a student had to be trained again, and whether its weights are the same as before."""
    same = sha256(chosen.weights) == _weights_sha256(chosen.candidate)
    became = "bit for bit the same" if same else "but not the same: what follows was measured on the new weights"
    return (
        f"note: the weights of trial {chosen.candidate.trial} were not in {runs / 'store'} any more (deleted, or "
        f"removed for `search.run --max-disk`): it was trained again, {became}."
    )


def _weights_sha256(candidate: Candidate) -> str:
    assert candidate.outcome is not None
    return candidate.outcome.weights_sha256


def _cost(measured: latencies.Measured) -> FileCost:
    size = measured.file_bytes
    return FileCost(latency_ms=measured.p50_ms, size_kb=None if size is None else size / 1000)
