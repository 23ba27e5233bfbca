"""What the front chart adds for confirmed students: their intervals, and what the search's own run said."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from app import confirmed, words
from app.charts import figures
from app.charts.palette import Palette
from search.read.candidates import Candidate
from search.read.tradeoffs import Axis, on_axis
from search.ship.confirmed import Confirmation, Confirmed

SEARCHED = "In the search"


def searched(drawing: go.Figure, rows: Sequence[Candidate], found: Confirmation, axis: Axis, palette: Palette) -> None:
    """Draw the accuracy of each confirmed student's own run as a small hollow point, joined to its mean."""
    pairs = [(c, student) for c in rows if (student := found.of(c.trial))]
    if not pairs:
        return
    xs = [on_axis(c, axis) for c, _ in pairs]
    said = [round(100 * student.search_accuracy, 3) for _, student in pairs]
    means = [round(100 * student.mean, 3) for _, student in pairs]
    drawing.add_scatter(
        x=[at for x in xs for at in (x, x, None)],
        y=[at for ends in zip(means, said, strict=True) for at in (*ends, None)],
        mode="lines",
        line={"color": palette.ours, "width": 1},
        hoverinfo="skip",
        showlegend=False,
        name="joined",
    )
    drawing.add_scatter(
        x=xs,
        y=said,
        customdata=[[c.trial] for c, _ in pairs],
        text=[f"<b>{words.html_escaped(words.title(c))}</b>, {confirmed.said(student)}" for c, student in pairs],
        hovertemplate="%{text}<extra></extra>",
        mode="markers",
        marker={"symbol": "circle-open", "size": 7, "color": palette.ours, "line": {"width": 1.5}},
        name=SEARCHED,
        legendrank=2,
        **figures.UNFADED,
    )


def intervals(rows: Sequence[Candidate], found: Confirmation | None, palette: Palette) -> dict[str, Any] | None:
    """The 95 % intervals of the confirmed students among these as error bars; None where there are none."""
    if found is None:
        return None
    students = [found.of(c.trial) for c in rows]
    halves = [found.half_width(student) if student else None for student in students]
    if not any(halves):
        return None
    points = [None if half is None else round(100 * half, 3) for half in halves]
    return {"type": "data", "array": points, "color": palette.over, "thickness": 1.5, "width": 4}


def extent(found: Confirmation, student: Confirmed) -> tuple[float, float, float]:
    """Both ends of a student's interval, and what the search said, in %."""
    half = found.half_width(student) or 0.0
    return 100 * (student.mean - half), 100 * (student.mean + half), 100 * student.search_accuracy
