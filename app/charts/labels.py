"""Where the labels of points go: at one of Plotly's eight places, where they cover nothing; else they are left out.

A chart is as wide as its page, and as high as its legend leaves it. All is judged in pixels on a phone, and holds on
every larger plot, where points are further apart and labels as large.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 276.0, 230.0  # pixels of the smallest plot: on a phone, under a legend of nine rows
CHARACTER, LINE = 8.5, 18.0  # pixels, of 14-pixel text
CLEAR = 6.0  # pixels between a label and another point that has one
PLACES = (
    "top center",
    "bottom center",
    "middle right",
    "middle left",
    "top right",
    "top left",
    "bottom right",
    "bottom left",
)
"""Plotly's values of `textposition`, the best first."""


class Box(NamedTuple):
    """A rectangle at a point: the point, and how far the rectangle reaches from it. All in pixels, from below left."""

    x: float
    y: float
    left: float
    right: float
    down: float
    """Negative where all of it is above the point."""
    up: float

    def wider(self) -> "Box":
        """With some space around it: a label must not look like another point's."""
        x, y, *reaches = self
        left, right, down, up = (reach + CLEAR for reach in reaches)
        return Box(x, y, left, right, down, up)

    def meets(self, other: "Box") -> bool:
        """Whether the two overlap in the smallest plot or in any larger one."""
        return _meet(other.x - self.x, self.right, other.left, self.left, other.right) and _meet(
            other.y - self.y, self.up, other.down, self.down, other.up
        )

    def is_inside(self) -> bool:
        """Whether it lies within the plot."""
        across = self.left <= self.x <= WIDTH - self.right
        return across and max(0.0, self.down) <= self.y <= HEIGHT - max(0.0, self.up)


def _meet(distance: float, mine: float, theirs: float, my_back: float, their_back: float) -> bool:
    """Whether two intervals overlap at this distance of their points, or at any larger one.

    `mine` and `theirs`: how far they reach towards each other; `my_back`, `their_back`: how far away from each other.
    """
    if distance < 0:
        return _meet(-distance, my_back, their_back, mine, theirs)
    nearest = -(my_back + their_back)  # nearer than so, one has not yet begun where the other ends
    if distance == 0:
        return nearest < 0 < mine + theirs
    return max(distance, nearest) < mine + theirs


class Canvas(NamedTuple):
    """The ranges of a chart's axes."""

    costs: tuple[float, float]
    """Of a logarithmic axis."""
    heights: tuple[float, float]

    def point(self, cost: float, height: float, radius: float) -> Box:
        """A point with its marker's radius in pixels."""
        first, last = map(math.log10, self.costs)
        low, high = self.heights
        x = WIDTH * (math.log10(cost) - first) / (last - first)
        return Box(x, HEIGHT * (height - low) / (high - low), radius, radius, radius, radius)


def beside(point: Box, text: str, place: str) -> Box:
    """The rectangle of a point's label; it starts where Plotly writes it, a little inside the marker's corners."""
    offset, width = 0.8 * point.right + 1, CHARACTER * len(text)
    vertical, horizontal = place.split()
    left = {"left": offset + width, "center": width / 2, "right": 0.0}[horizontal]
    right = {"left": 0.0, "center": width / 2, "right": offset + width}[horizontal]
    down = {"top": -offset, "middle": LINE / 2, "bottom": offset + LINE}[vertical]
    up = {"top": offset + LINE, "middle": LINE / 2, "bottom": -offset}[vertical]
    return Box(point.x, point.y, left, right, down, up)


def placed(points: Sequence[Box], texts: Sequence[str], taken: Sequence[Box]) -> list[str | None]:
    """A place for each label; None where all eight are taken, or the point is out of the chart.

    The points with the fewest free places choose first.
    """
    free: dict[int, dict[str, Box]] = {}
    for i, (point, text) in enumerate(zip(points, texts, strict=True)):
        others = [*taken, *(other.wider() for other in (*points[:i], *points[i + 1 :]))]
        boxes = {place: beside(point, text, place) for place in PLACES}
        free[i] = {place: box for place, box in boxes.items() if box.is_inside() and not any(map(box.meets, others))}
    found: list[str | None] = [None] * len(points)
    while free:
        i = min(free, key=lambda i: (len(free[i]), i))
        mine = free.pop(i)
        if mine:
            found[i], box = next(iter(mine.items()))
            free = {j: {p: b for p, b in left.items() if not box.meets(b)} for j, left in free.items()}
    return found
