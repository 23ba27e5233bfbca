"""The paper's nets in the front chart."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app import words
from app.charts import figures, labels
from app.charts.labels import Box, Canvas
from app.charts.palette import Palette
from search.read.published import Published
from search.read.tradeoffs import Axis
from search.units import format_count

SIZE = 12  # pixels


def draw(
    drawing: go.Figure, paper: Sequence[Published], axis: Axis, palette: Palette, canvas: Canvas, taken: Sequence[Box]
) -> None:
    """Draw the nets that the paper gives this cost of, as diamonds with short labels, which cover nothing `taken`."""
    rows = [p for p in paper if reported(p, axis) is not None]
    if not rows:
        return
    places = labels.placed(points(rows, axis, canvas), [short(p) for p in rows], taken)
    drawing.add_scatter(
        x=[reported(p, axis) for p in rows],
        y=[100 * p.test_accuracy for p in rows],
        text=[short(p) if place else "" for p, place in zip(rows, places, strict=True)],
        hovertext=[_paper_hover(p) for p in rows],
        hovertemplate="%{hovertext}<extra></extra>",
        mode="markers+text",
        textposition=[place or labels.PLACES[0] for place in places],
        textfont={"color": palette.paper},
        marker={"symbol": "diamond", "size": SIZE, "color": palette.paper},
        name="The paper (test accuracy)",
        **figures.UNFADED,
    )


def points(paper: Sequence[Published], axis: Axis, canvas: Canvas) -> list[Box]:
    """Where the diamonds are."""
    costs = [(p, cost) for p in paper if (cost := reported(p, axis)) is not None]
    return [canvas.point(cost, 100 * p.test_accuracy, SIZE / 2) for p, cost in costs]


def short(p: Published) -> str:
    """A short label, so that neighbours do not overlap: F1 to F4, T for the teacher."""
    return {"FitNet by KD": "KD", "FitNet by labels": "BP", "Teacher": "T"}.get(p.name, p.name.replace("FitNet ", "F"))


def reported(p: Published, axis: Axis) -> int | None:
    """The paper's number on this axis; by our counter where the paper has none (sizes, memory); None for latency."""
    return {
        "parameters": p.params,
        "multiply-adds": p.macs,
        "size": p.counted.weight_bytes,
        "memory": p.counted.peak_activation_bytes,
        "int8 size": p.footprint.int8_size,
        "int8 memory": p.footprint.int8_memory,
    }.get(axis)


def _paper_hover(p: Published) -> str:
    macs = f"{format_count(p.macs)} multiply-adds" if p.macs else "multiply-adds not stated"
    counted = f"{format_count(p.counted.weights)} weights, {format_count(p.counted.macs)} multiply-adds"
    return "<br>".join(
        [
            f"<b>The paper's {p.name}</b>  {words.percent(p.test_accuracy)} on test images",
            f"as reported: {format_count(p.params)} parameters, {macs}",
            f"as our counter counts it: {counted}",
            p.note,
        ]
    )
