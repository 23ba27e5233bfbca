"""Where the labels of points go: at one of Plotly's eight places, where they cover nothing; else they are left out.

A chart is as wide as its page. All is judged at the width of a phone, in pixels, and holds at every larger one: to the
left and right each box reaches from its point, and points only move apart. The height is always the same.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 276.0  # pixels of the plot on a phone
CHARACTER, LINE = 8.5, 18.0  # pixels, of 14-pixel text
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
    """A rectangle beside a point, in pixels from the lower left corner of the plot."""

    x: float
    """Of the point."""
    left: float
    """How far it reaches from there; never less than nothing, like `right`."""
    right: float
    bottom: float
    top: float

    def meets(self, other: "Box") -> bool:
        """Whether the two rectangles overlap."""
        first, last = (self, other) if self.x <= other.x else (other, self)
        beside = last.x - first.x < first.right + last.left
        return beside and self.bottom < other.top and other.bottom < self.top


class Canvas(NamedTuple):
    """The ranges of a chart's axes."""

    costs: tuple[float, float]
    """Of a logarithmic axis."""
    heights: tuple[float, float]
    pixels: float
    """The height of the plot."""

    def point(self, cost: float, height: float, radius: float) -> Box:
        """A point with its marker's radius in pixels."""
        first, last = map(math.log10, self.costs)
        low, high = self.heights
        x = WIDTH * (math.log10(cost) - first) / (last - first)
        y = self.pixels * (height - low) / (high - low)
        return Box(x, radius, radius, y - radius, y + radius)

    def holds(self, box: Box) -> bool:
        """Whether it lies within the plot."""
        return box.left <= box.x <= WIDTH - box.right and box.bottom >= 0 and box.top <= self.pixels


def beside(point: Box, text: str, place: str) -> Box:
    """The rectangle of a point's label; it starts where Plotly writes it, a little inside the marker's corners."""
    offset, width = 0.8 * point.right + 1, CHARACTER * len(text)
    middle = (point.bottom + point.top) / 2
    vertical, horizontal = place.split()
    left = {"left": offset + width, "center": width / 2, "right": 0.0}[horizontal]
    right = {"left": 0.0, "center": width / 2, "right": offset + width}[horizontal]
    bottom = middle + {"top": offset, "middle": -LINE / 2, "bottom": -offset - LINE}[vertical]
    return Box(point.x, left, right, bottom, bottom + LINE)


def placed(canvas: Canvas, points: Sequence[Box], texts: Sequence[str], taken: Sequence[Box]) -> list[str | None]:
    """A place for each label; None where all eight are taken, or the point is out of the chart.

    The points with the fewest free places choose first.
    """
    free: dict[int, dict[str, Box]] = {}
    for i, (point, text) in enumerate(zip(points, texts, strict=True)):
        others = [*taken, *points[:i], *points[i + 1 :]]
        boxes = {place: beside(point, text, place) for place in PLACES}
        free[i] = {place: box for place, box in boxes.items() if canvas.holds(box) and not any(map(box.meets, others))}
    found: list[str | None] = [None] * len(points)
    while free:
        i = min(free, key=lambda i: (len(free[i]), i))
        mine = free.pop(i)
        if mine:
            found[i], box = next(iter(mine.items()))
            free = {j: {p: b for p, b in left.items() if not box.meets(b)} for j, left in free.items()}
    return found
