"""Trade-offs between numbers: non-dominated points, the knee, hypervolume. Every objective is to be minimised. Pure."""

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import moocore
import numpy as np

Point = Sequence[float]


def front(points: Sequence[Point]) -> list[int]:
    """The indices of the points that no other one dominates, in order; equal points stand or fall together.

    Two or three objectives, O(n log n): sorted by the first, a point's dominators all come before it, and the best of
    the others so far are a staircase. A point with a NaN is never on the front.
    """
    known = (i for i, point in enumerate(points) if not any(map(math.isnan, point)))
    order = sorted(known, key=lambda i: tuple(points[i]))
    stairs = _Stairs()
    kept: list[int] = []
    for _, group in itertools.groupby(order, key=lambda i: tuple(points[i])):
        equal = list(group)
        rest = (*points[equal[0]][1:], 0.0)
        if stairs.add(rest[0], rest[1]):
            kept += equal
    return sorted(kept)


class _Stairs:
    """The non-dominated pairs seen so far: the first number rises, the second falls."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.second: list[float] = []

    def add(self, first: float, second: float) -> bool:
        """Whether no pair so far is as good in both; if so the pair joins, and those that it beats leave."""
        at = bisect.bisect_right(self.first, first)
        if at and self.second[at - 1] <= second:
            return False
        start = bisect.bisect_left(self.first, first)
        end = start
        while end < len(self.first) and self.second[end] >= second:
            end += 1
        self.first[start:end] = [first]
        self.second[start:end] = [second]
        return True


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


class Step(NamedTuple):
    """A front after one more point."""

    joined: bool
    """Whether the point is on it: no earlier one is as good in both."""
    hypervolume: float
    """The area that the points so far dominate within the reference."""


def hypervolumes(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> Iterator[Step]:
    """The front after each point; one with a NaN never joins."""
    held: list[tuple[float, float]] = []
    value = 0.0
    for point in points:
        beaten = any(other[0] <= point[0] and other[1] <= point[1] for other in held)
        joined = not any(map(math.isnan, point)) and not beaten
        if joined:
            held = [p for p in held if not (point[0] <= p[0] and point[1] <= p[1])] + [point]
            value = float(moocore.hypervolume(np.array(held), ref=np.array(reference)))
        yield Step(joined, value)
