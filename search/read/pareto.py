"""Trade-offs between numbers: non-dominated points, the knee, hypervolume. Every objective is to be minimised. Pure."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import moocore
import numpy as np

Point = Sequence[float]


def front(points: Sequence[Point]) -> list[int]:
    """The indices of the points that no other one dominates, in order; equal points stand or fall together.

    A point with a NaN is never on the front, and dominates none.
    """
    known = [i for i, point in enumerate(points) if not any(map(math.isnan, point))]
    if not known:
        return []
    on_front = moocore.is_nondominated(np.array([points[i] for i in known], dtype=float), keep_weakly=True)
    return [known[i] for i in np.flatnonzero(on_front)]


def knee(points: Sequence[tuple[float, float]]) -> int | None:
    """The point of a front that lies furthest from the line between its ends, both axes scaled to 0..1.

    None where there is no bend: fewer than five points, or none that lies on the better side of that line.
    """
    if len(points) < 5:
        return None
    order = sorted(range(len(points)), key=lambda i: points[i])
    (x0, y0), (x1, y1) = points[order[0]], points[order[-1]]
    if x0 == x1 or y0 == y1:
        return None
    gains = {i: 1 - (points[i][0] - x0) / (x1 - x0) - (points[i][1] - y1) / (y0 - y1) for i in order}
    best = max(order, key=lambda i: gains[i])
    return best if gains[best] > 1e-9 else None


class FrontChange(NamedTuple):
    """A front after one more point."""

    joined: bool
    """Whether the point is on it: no earlier one is as good in both."""
    hypervolume: float
    """The area that the points so far dominate within the reference."""


def hypervolumes(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> Iterator[FrontChange]:
    """The front after each point; one with a NaN never joins."""
    front_points = np.empty((0, 2))
    value = 0.0
    for point in points:
        joined = False
        if not any(map(math.isnan, point)):
            after = np.vstack([front_points, point])
            on_front = moocore.is_nondominated(after)  # of equal points the first
            joined = bool(on_front[-1])
        if joined:
            front_points = after[on_front]
            value = float(moocore.hypervolume(front_points, ref=np.array(reference)))
        yield FrontChange(joined, value)
