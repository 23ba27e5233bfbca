"""Trade-offs between numbers: non-dominated points, the knee, hypervolume. Every objective is to be minimised."""

import bisect
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import moocore
import numpy as np

Point = Sequence[float]


def front(points: Sequence[Point]) -> list[int]:
    """The indices of the points that no other point dominates, in order; equal points are all among them, or none is.

    A point with a NaN is never on the front and dominates no other.
    """
    known = [i for i, point in enumerate(points) if not any(map(math.isnan, point))]
    if not known:
        return []
    on_front = moocore.is_nondominated(np.array([points[i] for i in known], dtype=float), keep_weakly=True)
    return [known[i] for i in np.flatnonzero(on_front)]


def knee(points: Sequence[tuple[float, float]]) -> int | None:
    """The point of a front that lies furthest from the line between its ends, both axes scaled to 0..1.

    None with fewer than five points, or where none lies on the better side of that line.
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
    """Whether the point is on it: no earlier one is at least as good in both objectives."""
    hypervolume: float
    """The area between the points so far and the reference point."""


def hypervolumes(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> Iterator[FrontChange]:
    """The front after each point; one with a NaN never joins.

    Few points join, and only those are handed to the library: the others lie behind the front's next point to the left.
    """
    front_points: list[tuple[float, float]] = []  # from left to right, so from the highest to the lowest
    value = 0.0
    for x, y in points:
        left = bisect.bisect_right(front_points, (x, math.inf)) - 1
        joined = not (math.isnan(x) or math.isnan(y)) and (left < 0 or y < front_points[left][1])
        if joined:
            front_points = sorted([(x, y), *(p for p in front_points if p[0] < x or p[1] < y)])
            value = float(moocore.hypervolume(np.array(front_points), ref=np.array(reference)))
        yield FrontChange(joined, value)
