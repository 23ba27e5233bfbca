"""The most accurate student within limits on its exported file, found with as few exports as possible. No torch.

A student's latency and file size are known where this machine has measured them before; otherwise it must be exported.
A file is at least as large as its weights, so a student whose weights alone exceed the limit is not exported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fitnets.nets.footprint import FLOAT_BYTES
from fitnets.values.base import Value
from search.read.budget import Broken, Budget, Miss, broken, nearest
from search.read.candidates import Candidate

PROBES = 3
"""After so many exports over the limits, as many of the cheapest students are exported; if none of those fits either,
the limits count as out of reach, and the other students are not exported."""


class FileCost(Value):
    """What a student's ONNX file costs on this machine."""

    latency_ms: float
    size_kb: float | None
    """In kB of 1,000 bytes; None where only its latency is known."""


@dataclass(frozen=True, slots=True)
class FirstFit:
    """The search for the first student that fits: the limits, the known costs by trial number, and how to export."""

    budget: Budget
    known: Mapping[int, FileCost]
    export: Callable[[Candidate], None]
    """Exports a student and adds its file's cost to `known`."""
    weight_bytes: int = FLOAT_BYTES
    """Bytes that its file has at least for each weight."""

    def first(self, students: Sequence[Candidate]) -> Candidate | None:
        """The first student that fits; None where none does, or the limits count as out of reach."""
        over, probed = 0, False
        for i, candidate in enumerate(students):
            if self._undecided(candidate):
                if over >= PROBES and not probed:
                    probed = True
                    if not self._within_reach(students[i:]):
                        return None
                if self._undecided(candidate):  # it may have been exported just now
                    self.export(candidate)
                    over += bool(self.excess(candidate))
            if not self.excess(candidate):
                return candidate
        return None

    def unknown(self, students: Sequence[Candidate]) -> list[Candidate]:
        """The students of which only an export can show whether they fit."""
        return [c for c in students if self._undecided(c)]

    def nearest(self, students: Sequence[Candidate]) -> Miss | None:
        """The student nearest to the limits. One that was not measured is exported first, so that what is reported was
        measured.
        """
        miss = self._nearest(students)
        if miss is not None and not self._complete(miss[0]):
            self.export(miss[0])
            return self._nearest([c for c in students if self._complete(c)])
        return miss

    def excess(self, candidate: Candidate) -> list[Broken]:
        """The limits that the student breaks as far as its costs are known."""
        file = self.known.get(candidate.trial)
        least_kb = self.weight_bytes * candidate.cost.weights / 1000
        size = file.size_kb if file and file.size_kb is not None else least_kb
        return broken(candidate, self.budget, latency_ms=file.latency_ms if file else None, size_kb=size)

    def _complete(self, candidate: Candidate) -> bool:
        """Whether every value of the student's file that has a limit is known."""
        file, budget = self.known.get(candidate.trial), self.budget
        if budget.max_size_kb is not None and (file is None or file.size_kb is None):
            return False
        return budget.max_latency_ms is None or file is not None

    def _undecided(self, candidate: Candidate) -> bool:
        """Whether the student breaks no limit as far as is known, but some values are not known."""
        return not self._complete(candidate) and not self.excess(candidate)

    def _within_reach(self, students: Sequence[Candidate]) -> bool:
        """Whether a student is known to fit, or one of the cheapest undecided ones turns out to."""
        if any(self._complete(c) and not self.excess(c) for c in students):
            return True
        for candidate in sorted(self.unknown(students), key=lambda c: (c.cost.macs, c.cost.params))[:PROBES]:
            self.export(candidate)
            if not self.excess(candidate):
                return True
        return False

    def _nearest(self, students: Sequence[Candidate]) -> Miss | None:
        return nearest((c, excess) for c in students if (excess := self.excess(c)))
