"""A comparison as a picture: figure 2 against depth, the tables row by row. Needs matplotlib, the extra `paper`.

Not Plotly, which the pages use, because that needs a browser to write an image.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitnets.paper.recipes import METHODS
from search.paper.table import Comparison, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"teacher": "#666666", "backpropagation": "#B85C00", "KD": "#0072B2", "hints": "#009E73"}
MARKERS = {"teacher": "s", "backpropagation": "o", "KD": "^", "hints": "D"}
PAPER: dict[str, Any] = {"marker": "x", "color": "black", "linestyle": "none", "label": "the paper"}


def draw(comparison: Comparison, path: Path) -> bool:
    """Write the picture. Returns whether there is one: False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    families = list(dict.fromkeys(arm.family for arm in comparison.experiment.arms))
    figure = Figure(figsize=(4.5 * len(families) + 0.5, 3.6), layout="constrained", dpi=150)
    for axes, family in zip(figure.subplots(1, len(families), sharey=True, squeeze=False)[0], families, strict=True):
        rows = [row for row in comparison.rows if row.family == family and row.method in METHODS]
        teachers = [row for row in comparison.rows if row.method == "teacher"]
        _by_depth(axes, rows) if comparison.experiment.system == "figure2" else _by_row(axes, rows)
        level = statistics.fmean(teachers[0].test_errors)
        axes.axhline(level, color=COLOURS["teacher"], linestyle="--", linewidth=1, label="our teacher")
        axes.set_title(f"{comparison.experiment.system}, {family} recipe", fontsize=10)
        axes.grid(axis="y", alpha=0.3)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
        axes.set_ylabel("test error, % (log)")
        axes.legend(fontsize=7, framealpha=0.8)
    figure.savefig(path)
    return True


def _by_depth(axes: "Axes", rows: Sequence[Row]) -> None:
    for method in dict.fromkeys(row.method for row in rows):
        ours = [row for row in rows if row.method == method]
        depths = [row.layers for row in ours]
        _seeds(axes, method, depths, ours)
        means = [statistics.fmean(row.test_errors) for row in ours]
        axes.plot(depths, means, color=COLOURS[method], marker=MARKERS[method], markersize=5, label=method)
    axes.set_xlabel("layers, at a fixed number of multiply-adds")
    axes.set_xticks(sorted({row.layers for row in rows}))


def _by_row(axes: "Axes", rows: Sequence[Row]) -> None:
    for method in dict.fromkeys(row.method for row in rows):
        places = [place for place, row in enumerate(rows) if row.method == method]
        _seeds(axes, method, places, [rows[place] for place in places])
        means = [statistics.fmean(rows[place].test_errors) for place in places]
        style: dict[str, Any] = {"linestyle": "none", "marker": MARKERS[method], "color": COLOURS[method]}
        axes.plot(places, means, label=f"{method}, mean", **style)
    printed = [(place, row.paper_error) for place, row in enumerate(rows) if row.paper_error is not None]
    if printed:
        axes.plot(*zip(*printed, strict=True), **PAPER)
    names = [f"{row.name.split('/')[-1]}, {row.method}" for row in rows]
    axes.set_xticks(range(len(rows)), names, rotation=30, ha="right", fontsize=8)


def _seeds(axes: "Axes", method: str, places: Sequence[int], rows: Sequence[Row]) -> None:
    """Every seed as a faint point, so that the spread is visible."""
    points = [(place, error) for place, row in zip(places, rows, strict=True) for error in row.test_errors]
    axes.plot(*zip(*points, strict=True), linestyle="none", marker=".", color=COLOURS[method], alpha=0.4, markersize=5)
