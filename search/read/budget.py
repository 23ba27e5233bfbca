"""A deployment budget, and which students are within it. No input or output; no torch."""

import math
from collections.abc import Iterable

from pydantic import Field, PositiveFloat, PositiveInt

from fitnets.values.base import Value
from search.read.candidates import Candidate
from search.units import format_number, rounded_down, rounded_up


class Budget(Value):
    """Upper limits on what a student costs and a lower limit on its validation accuracy. None means no limit."""

    max_params: PositiveInt | None = None
    max_macs: PositiveInt | None = None
    max_latency_ms: PositiveFloat | None = None
    max_size_kb: PositiveFloat | None = None
    max_memory: PositiveInt | None = None
    """Bytes of peak memory, float32; the next two: of int8 activations and of int8 weights (`Candidate.footprint`)."""
    max_int8_memory: PositiveInt | None = None
    max_int8_size: PositiveInt | None = None
    min_accuracy: float | None = Field(None, ge=0, le=1)

    def known_before_export(self) -> "Budget":
        """The budget without the limits that only an exported file can be checked against."""
        return self.changed(max_latency_ms=None, max_size_kb=None)


FOOTPRINT = {"max_memory": "memory", "max_int8_memory": "int8_memory", "max_int8_size": "int8_size"}
"""The limits on what a net needs on a device, known before export; each with its name in `Candidate.footprint`."""


LEAST_ERROR = 1e-4  # an accuracy limit that allows fewer errors is compared as if it allowed these


class Broken(Value):
    """A limit that a student breaks."""

    limit: str
    value: float | None
    """None where it was not measured."""
    allowed: float

    @property
    def excess(self) -> float:
        """By how much, relative to the limit; infinite where the value is not known."""
        if self.value is None:
            return math.inf
        return abs(self.value - self.allowed) / self.allowed if self.allowed else abs(self.value)

    @property
    def distance(self) -> float:
        """How far off it is, for comparing misses: of an accuracy, by how much there are too many errors, relatively.

        Accuracies are all near 1: relative to the limit, a student of twice the errors would be nearer than one that
        is 2 % too large.
        """
        if self.limit != "min_accuracy" or self.value is None:
            return self.excess
        errors, allowed = 1 - self.value, 1 - self.allowed
        return (errors - allowed) / max(allowed, LEAST_ERROR)

    def _shown(self, value: float) -> str:
        """A value, rounded so that it is a limit that its student keeps: four digits, or a whole number."""
        if self.limit == "min_accuracy":
            return f"{rounded_down(value, 4):g}"
        return format_number(value, 4) if value < 1000 else f"{rounded_up(value, 0):,.0f}"

    def text(self) -> str:
        """For people, as a phrase."""
        if self.value is None:
            return f"`{self.limit}` allows {self._shown(self.allowed)}, but it was not measured"
        value, allowed = self._shown(self.value), self._shown(self.allowed)
        if value == allowed:  # they differ only in digits that were rounded away
            value, allowed = str(self.value), str(self.allowed)
        off = f"{self.excess:.1%}" if self.excess >= 0.0005 else "less than 0.1%"
        return f"`{self.limit}` allows {allowed}, it has {value} ({off} off)"


Miss = tuple[Candidate, list[Broken]]
"""A student, and the limits that it breaks."""


def finished(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The finished students, the most accurate first; of equally accurate ones the cheaper first."""
    rows = [c for c in candidates if c.state == "complete" and c.outcome is not None]
    return sorted(rows, key=_rank)


def _rank(candidate: Candidate) -> tuple[float, int, int]:
    assert candidate.outcome is not None
    return -candidate.outcome.val_accuracy, candidate.cost.params, candidate.cost.macs


def broken(
    candidate: Candidate, budget: Budget, *, latency_ms: float | None = None, size_kb: float | None = None
) -> list[Broken]:
    """The limits that a finished student breaks; latency and size are checked only where they are given."""
    assert candidate.outcome is not None
    limits: list[tuple[str, float | None, float | None]] = [
        ("max_params", candidate.cost.params, budget.max_params),
        ("max_macs", candidate.cost.macs, budget.max_macs),
        ("max_latency_ms", latency_ms, budget.max_latency_ms),
        ("max_size_kb", size_kb, budget.max_size_kb),
    ]
    for limit, need in FOOTPRINT.items():
        if (most := getattr(budget, limit)) is not None:  # then alone is the footprint counted
            limits.append((limit, getattr(candidate.footprint, need), most))
    found = [
        Broken(limit=limit, value=value, allowed=allowed)
        for limit, value, allowed in limits
        if value is not None and allowed is not None and value > allowed
    ]
    accuracy = candidate.outcome.val_accuracy
    if budget.min_accuracy is not None and accuracy < budget.min_accuracy:
        found.append(Broken(limit="min_accuracy", value=accuracy, allowed=budget.min_accuracy))
    return found


def fitting(candidates: Iterable[Candidate], budget: Budget) -> list[Candidate]:
    """The finished students that break no limit that can be checked before export, the most accurate first."""
    return [c for c in finished(candidates) if not broken(c, budget)]


def nearest_miss(candidates: Iterable[Candidate], budget: Budget) -> Miss | None:
    """The finished student that is nearest to the budget as far as that is known before export."""
    return nearest((c, broken(c, budget)) for c in finished(candidates))


def nearest(misses: Iterable[Miss]) -> Miss | None:
    """The student that is least far off in its worst limit, with the limits that it breaks; None without students."""
    return min(misses, key=lambda miss: max((limit.distance for limit in miss[1]), default=0.0), default=None)
