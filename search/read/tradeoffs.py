"""Choosing among students: the front along one cost, its knee, what more accuracy costs, what fits a budget."""

import bisect
import math
import random
from collections.abc import Iterable, Sequence
from typing import Literal

from fitnets.values.base import Value
from search.read import pareto
from search.read.budget import Broken, Budget, Miss, broken, finished, nearest
from search.read.candidates import Candidate

Axis = Literal["parameters", "multiply-adds", "size", "int8 size", "memory", "int8 memory", "latency"]
AXES: tuple[Axis, ...] = ("parameters", "multiply-adds", "size", "int8 size", "memory", "int8 memory", "latency")
FOOTPRINT: dict[Axis, str] = {"int8 size": "int8_size", "memory": "memory", "int8 memory": "int8_memory"}
TEACHERS: dict[Axis, str] = {
    "parameters": "params",
    "multiply-adds": "macs",
    "size": "weight_bytes",
    "memory": "peak_activation_bytes",
}
"""The key of each cost among the teacher's facts."""
NEAR = 0.005  # students within half a percentage point of the front are always drawn
DRAWN = 1200  # students in a chart; of more, a sample is drawn


def on_axis(candidate: Candidate, axis: Axis) -> float:
    """A cost: parameters, multiply-adds, bytes of weights or of activations, milliseconds for one image.

    Latency only of timed students, see `measured`. Memory and int8 are those of `fitnets.nets.footprint`.
    """
    if axis == "latency":
        assert candidate.timing is not None
        return candidate.timing.p50_ms
    if axis in FOOTPRINT:
        return float(getattr(candidate.footprint, FOOTPRINT[axis]))
    cost = candidate.cost
    return {"parameters": cost.params, "multiply-adds": cost.macs, "size": cost.weight_bytes}[axis]


def measured(candidates: Iterable[Candidate], axis: Axis) -> list[Candidate]:
    """The candidates whose cost on this axis is known; only latency can be unknown."""
    return [c for c in candidates if axis != "latency" or c.timing is not None]


def axes(candidates: Iterable[Candidate]) -> list[Axis]:
    """The axes that can be shown: latency only where a finished student was timed."""
    rows = finished(candidates)
    return [axis for axis in AXES if measured(rows, axis) or axis != "latency"]


def accuracy(candidate: Candidate) -> float:
    """Validation accuracy. Only for finished candidates."""
    assert candidate.outcome is not None
    return candidate.outcome.val_accuracy


def front_on(candidates: Iterable[Candidate], axis: Axis) -> list[Candidate]:
    """The finished students that none beats in both accuracy and this cost, the cheapest first."""
    rows = measured(finished(candidates), axis)
    front = [rows[i] for i in pareto.front([(on_axis(c, axis), -accuracy(c)) for c in rows])]
    return sorted(front, key=lambda c: (on_axis(c, axis), c.trial))


def knee_of(front: Sequence[Candidate], axis: Axis) -> Candidate | None:
    """The front's knee: furthest from the line between its ends, by accuracy and the logarithm of the cost."""
    at = pareto.knee([(math.log10(on_axis(c, axis)), -accuracy(c)) for c in front])
    return None if at is None else front[at]


def verdict(candidate: Candidate, budget: Budget) -> list[Broken]:
    """The limits that a finished student breaks, as far as they are known without exporting it: see `limited_bytes`.

    A student that was not timed breaks a limit on latency too.
    """
    latency = candidate.timing.p50_ms if candidate.timing else None
    found = broken(candidate, budget, latency_ms=latency, size_kb=limited_bytes(candidate) / 1000)
    if latency is None and budget.max_latency_ms is not None:
        found.append(Broken(limit="max_latency_ms", value=None, allowed=budget.max_latency_ms))
    return found


def limited_bytes(candidate: Candidate) -> int:
    """What a limit on size is held against: the ONNX file where its size is stored, else the float32 weights alone."""
    return candidate.cost.weight_bytes if candidate.file_bytes is None else candidate.file_bytes


def best(candidates: Iterable[Candidate], budget: Budget, count: int = 5) -> list[Candidate]:
    """The most accurate students within the budget; of several with equal recipes only the first."""
    found: list[Candidate] = []
    for candidate in finished(candidates):
        if len(found) == count:
            break
        if candidate.same_as is None and not verdict(candidate, budget):
            found.append(candidate)
    return found


def near_misses(candidates: Iterable[Candidate], budget: Budget) -> list[Miss]:
    """The students to offer where none is within the budget, each with the limits that it breaks.

    Accuracy and cost are no common scale, so it is one student for each kind of limit to give up: the most accurate
    one within the costs, and the one that exceeds the costs least among the accurate enough. Where neither exists, the
    nearest one.
    """
    rows = finished(candidates)
    found = best(rows, budget.changed(min_accuracy=None), 1)
    accurate = [c for c in rows if budget.min_accuracy is None or accuracy(c) >= budget.min_accuracy]
    miss = nearest((c, verdict(c, budget)) for c in accurate)
    found += [miss[0]] if miss else []
    if not found and (last := nearest_miss(rows, budget)):
        found.append(last[0])
    unique = {c.trial: c for c in found}
    return [(c, verdict(c, budget)) for c in unique.values()]


def nearest_miss(candidates: Iterable[Candidate], budget: Budget) -> tuple[Candidate, list[Broken]] | None:
    """The student that is least far off in its worst limit, with the limits that it breaks; None without students."""
    return nearest((c, verdict(c, budget)) for c in finished(candidates))


def replicates(candidate: Candidate, candidates: Iterable[Candidate]) -> list[Candidate]:
    """The finished students whose recipes differ in nothing but the seed, this one included."""
    own = candidate.recipe.model_copy(update={"seed": 0})
    return [
        c
        for c in candidates
        if c.outcome is not None
        and c.state == "complete"
        and c.same_as is None
        and (c.cost.params, c.cost.macs) == (candidate.cost.params, candidate.cost.macs)
        and c.recipe.model_copy(update={"seed": 0}) == own
    ]


def relatives(candidate: Candidate, candidates: Iterable[Candidate]) -> list[Candidate]:
    """The finished students with the same layers, however they were trained, the most accurate first."""
    price = (candidate.cost.params, candidate.cost.macs)
    same = (c for c in finished(candidates) if (c.cost.params, c.cost.macs) == price)
    return [c for c in same if c.recipe.student == candidate.recipe.student]


class Exchange(Value):
    """What another student costs and gains compared with this one."""

    to: int
    """The other trial."""
    gain: float
    """Accuracy gained, as a fraction; negative for a less accurate one."""
    factor: float
    """The other's cost, as a multiple of this one's."""


def steps(candidate: Candidate, front: Sequence[Candidate], axis: Axis) -> tuple[Exchange | None, Exchange | None]:
    """The exchanges for the next cheaper and the next more accurate student of the front along `axis`."""
    if not measured([candidate], axis):
        return None, None
    mine = (on_axis(candidate, axis), accuracy(candidate))
    cheaper = [c for c in front if on_axis(c, axis) < mine[0] and accuracy(c) < mine[1]]
    better = [c for c in front if on_axis(c, axis) > mine[0] and accuracy(c) > mine[1]]
    down = max(cheaper, key=lambda c: on_axis(c, axis), default=None)
    up = min(better, key=lambda c: on_axis(c, axis), default=None)
    return _exchange(candidate, down, axis), _exchange(candidate, up, axis)


def beaten(candidate: Candidate, front: Sequence[Candidate], axis: Axis) -> Exchange | None:
    """The exchange for the most accurate student of the front that costs no more and is better; None on the front."""
    if not measured([candidate], axis):
        return None
    mine = (on_axis(candidate, axis), accuracy(candidate))
    better = [c for c in front if on_axis(c, axis) <= mine[0] and accuracy(c) >= mine[1]]
    by = max(better, key=accuracy, default=None)
    return None if by is None or (on_axis(by, axis), accuracy(by)) == mine else _exchange(candidate, by, axis)


def _exchange(start: Candidate, end: Candidate | None, axis: Axis) -> Exchange | None:
    if end is None:
        return None
    factor = on_axis(end, axis) / on_axis(start, axis)
    return Exchange(to=end.trial, gain=accuracy(end) - accuracy(start), factor=factor)


def sampled(
    rows: Sequence[Candidate],
    keep: Iterable[Candidate],
    axis: Axis,
    limit: int = DRAWN,
    front: Sequence[Candidate] | None = None,
) -> list[Candidate]:
    """At most about `limit` of the finished students: `keep`, those near the front, and a fixed sample of the rest.

    `front` is their front, where it is known already.
    """
    if len(rows) <= limit:
        return list(rows)
    always = {c.trial for c in keep}
    level = FrontAccuracy(front_on(rows, axis) if front is None else front, axis)
    near = [c for c in rows if c.trial in always or level(c) - accuracy(c) <= NEAR]
    included = {c.trial for c in near}
    rest = [c for c in rows if c.trial not in included]
    chosen = random.Random(0).sample(rest, max(0, min(len(rest), limit - len(near))))
    return near + sorted(chosen, key=lambda c: c.trial)


def near_front(rows: Sequence[Candidate], axis: Axis, within: float = 2 * NEAR) -> list[Candidate]:
    """The finished students whose accuracy is at most `within` below the front's at their cost."""
    level = FrontAccuracy(front_on(rows, axis), axis)
    return [c for c in rows if level(c) - accuracy(c) <= within]


class FrontAccuracy:
    """The best accuracy on the front at no more than a student's cost; -inf where nothing is as cheap."""

    def __init__(self, front: Sequence[Candidate], axis: Axis):
        self.costs = [on_axis(c, axis) for c in front]
        self.accuracies = [accuracy(c) for c in front]
        self.axis = axis

    def __call__(self, candidate: Candidate) -> float:
        at = bisect.bisect_right(self.costs, on_axis(candidate, self.axis))
        return self.accuracies[at - 1] if at else -math.inf
