"""The charts of a whole search: its growth, who worked when, what mattered, and students side by side."""

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import plotly.graph_objects as go

from app import words
from app.charts import figures
from app.charts.palette import Palette
from fitnets.config import Report
from search.read.candidates import Candidate
from search.read.influence import Importances, Setting
from search.read.progress import Growth, Shift
from search.read.tradeoffs import Axis, accuracy, on_axis
from search.units import format_duration

SYMBOLS = ("circle", "diamond", "square", "cross")
LEAST_ERROR = 0.01  # % on a logarithmic axis, where every image is right
DRAWN = 600  # students in parallel coordinates; of more, a sample: a browser without a GPU takes 2 ms a line


def growth(history: Sequence[Growth], by_time: bool, palette: Palette) -> go.Figure:
    """The dominated share of the trade-off, rising as students end; a mark where the front grew."""
    drawing = go.Figure(layout=figures.layout(palette, 380))
    x = [row.seconds / 3600 if by_time else i for i, row in enumerate(history, start=1)]
    line = {"shape": "hv", "color": palette.ours, "width": 2}
    steps = [(at, row) for at, row in zip(x, history, strict=True) if row.gained or row is history[-1]]
    drawing.add_scatter(
        x=[at for at, _ in steps],
        y=[100 * row.hypervolume for _, row in steps],
        mode="lines",
        line=line,
        name="hypervolume",
        hoverinfo="skip",
    )
    marks = [(at, row) for at, row in zip(x, history, strict=True) if row.gained]
    drawing.add_scatter(
        x=[at for at, _ in marks],
        y=[100 * row.hypervolume for _, row in marks],
        mode="markers",
        marker={"symbol": "triangle-up", "size": 9, "color": palette.knee},
        name="the front grew",
        customdata=[[row.trial] for _, row in marks],
        **figures.UNFADED,
        text=[f"student {row.trial}: {row.hypervolume:.2%}" for _, row in marks],
        hovertemplate="%{text}<extra></extra>",
    )
    if any(row.best is not None for row in history):
        before = [None, *(row.best for row in history)]
        known = [
            (at, row.best)
            for at, row, last in zip(x, history, before, strict=False)
            if row.best is not None and (row.best != last or row is history[-1])
        ]
        drawing.add_scatter(
            x=[at for at, _ in known],
            y=[100 * best for _, best in known],
            mode="lines",
            line={"shape": "hv", "color": palette.paper, "width": 2, "dash": "dash"},
            name="best accuracy within your budget, %",
        )
    drawing.update_layout(dragmode=False)
    title = "hours of training, over all workers" if by_time else "students trained"
    drawing.update_xaxes(title={"text": title}, rangemode="tozero")
    drawing.update_yaxes(title={"text": "%"})
    return drawing


def fronts(then: Sequence[Candidate], now: Sequence[Candidate], axis: Axis, palette: Palette) -> go.Figure:
    """Two fronts of the same search as steps, the earlier one dashed."""
    costs = [on_axis(c, axis) for c in (*then, *now)]
    low, high = figures.widened(costs)
    drawing = go.Figure(layout=figures.layout(palette, 340))
    for name, rows, colour, dash, marker in (
        ("then", then, palette.over, "dash", {"symbol": "circle-open", "size": 11}),
        ("now", now, palette.ours, "solid", {"symbol": "circle", "size": 8}),
    ):
        drawing.add_scatter(
            x=[*(on_axis(c, axis) for c in rows), high],
            y=[*(100 * accuracy(c) for c in rows), 100 * accuracy(rows[-1])],
            mode="lines",
            line={"shape": "hv", "width": 2, "color": colour, "dash": dash},
            hoverinfo="skip",
            showlegend=False,
        )
        drawing.add_scatter(
            x=[on_axis(c, axis) for c in rows],
            y=[100 * accuracy(c) for c in rows],
            mode="markers",
            marker={"color": colour, **marker},
            name=name,
            text=[f"student {c.trial}: {words.percent(accuracy(c))}" for c in rows],
            customdata=[[c.trial] for c in rows],
            **figures.UNFADED,
            hovertemplate="%{text}<extra></extra>",
        )
    drawing.update_layout(dragmode=False)
    drawing.update_xaxes(figures.log_axis(low, high, axis), title={"text": words.TITLES[axis]})
    drawing.update_yaxes(title={"text": "validation accuracy, %"})
    return drawing


def timeline(rows: Sequence[Shift], palette: Palette) -> go.Figure:
    """A bar for each trial on its slot; failures are hatched, stopped ones dotted, those in training striped."""
    slots = max((row.slot for row in rows), default=1)
    drawing = go.Figure(layout=figures.layout(palette, 150 + 26 * min(slots, 20)))
    styles = {
        "complete": (palette.ours, "", "trained"),
        "running": (palette.knee, "/", "in training"),
        "pruned": (palette.stopped, ".", "stopped early"),
        "failed": (palette.failed, "x", "failed"),
    }
    for state, (colour, pattern, name) in styles.items():
        mine = [row for row in rows if row.state == state]
        if not mine:
            continue
        drawing.add_bar(
            x=[1000 * max(row.end - row.start, 0.2) for row in mine],
            base=[datetime.fromtimestamp(row.start) for row in mine],
            y=[str(row.slot) for row in mine],
            orientation="h",
            marker={"color": colour, "pattern": {"shape": pattern}, "line": {"color": palette.ink, "width": 0.6}},
            text=[f"trial {row.trial}, {name}, {format_duration(row.end - row.start)}" for row in mine],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
            name=name,
        )
    drawing.update_layout(barmode="overlay", dragmode=False, bargap=0.25)
    drawing.update_xaxes(type="date")
    drawing.update_yaxes(title={"text": "slot"}, type="category", autorange="reversed", showgrid=False)
    return drawing


def importances(found: Importances, palette: Palette) -> go.Figure:
    """Bars, the largest on top."""
    names = list(found.shares)[::-1]
    shares = [100 * found.shares[name] for name in names]
    drawing = go.Figure(layout=figures.layout(palette, 90 + 30 * len(names)))
    drawing.add_bar(
        x=shares,
        y=names,
        orientation="h",
        marker={"color": palette.ours},
        text=[f"{share:.0f}%" for share in shares],
        textposition="outside",
        hoverinfo="skip",
        cliponaxis=False,
    )
    drawing.update_layout(margin={"l": 130, "r": 60, "t": 8}, dragmode=False, showlegend=False)
    drawing.update_xaxes(title={"text": "share of the importance, %"}, rangemode="tozero")
    drawing.update_yaxes(showgrid=False, ticks="")
    return drawing


def parallel(
    settings: Sequence[Setting], rows: Sequence[Candidate], ranges: dict[str, tuple[float, float]], palette: Palette
) -> go.Figure:
    """Parallel coordinates. The sliders' ranges are drawn on the axes; students outside them are faint."""
    colours = [100 * accuracy(c) for c in rows]
    dimensions = [figures.dimension(setting, ranges.get(setting.name)) for setting in settings]
    worst, best = min(colours), max(colours)
    dimensions.append({"label": "accuracy, %", "values": np.array(colours), "range": [worst, best]})
    return go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={
                "color": np.array(colours),
                "colorscale": [list(stop) for stop in palette.scale],
                "cmin": _quantile(colours, 0.25),
                "cmax": best,
                "showscale": True,
                "colorbar": {"title": {"text": "accuracy, %"}, "thickness": 14},
            },
            unselected={"line": {"color": palette.over, "opacity": 0.12}},
            labelfont={"size": 14},
            tickfont={"size": 12, "color": palette.ink},
            rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
        ),
        layout=figures.layout(palette, 430) | {"margin": {"l": 60, "r": 20, "t": 60, "b": 30}},
    )


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def scatter(
    points: Sequence[tuple[float, Candidate]], title: str, log: bool, palette: Palette, front: set[int]
) -> go.Figure:
    """Accuracy against one setting; students on the front are larger and filled."""
    drawing = go.Figure(layout=figures.layout(palette, 320))
    markers = {"size": 10, "color": palette.ours}, {"size": 8, "color": palette.over, "symbol": "circle-open"}
    for name, marker, wanted in (("others", markers[1], False), ("on the front", markers[0], True)):
        mine = [(x, c) for x, c in points if (c.trial in front) == wanted]
        if mine:
            drawing.add_scatter(
                x=np.array([x for x, _ in mine]),
                y=np.array([100 * accuracy(c) for _, c in mine]),
                mode="markers",
                marker=marker,
                name=name,
                text=[f"student {c.trial}: {words.percent(accuracy(c))}" for _, c in mine],
                customdata=[[c.trial] for _, c in mine],
                hovertemplate="%{text}, %{x:.3g}<extra></extra>",
                **figures.UNFADED,
            )
    drawing.update_layout(dragmode=False)
    xs = [x for x, _ in points]
    scale = figures.log_axis(*figures.widened(xs)) if log and min(xs) > 0 else {}
    drawing.update_xaxes(scale, title={"text": title})
    drawing.update_yaxes(title={"text": "accuracy, %"})
    return drawing


def compared(curves: Sequence[tuple[str, Sequence[Report]]], palette: Palette, whole: bool = False) -> go.Figure:
    """Validation error in stage 2 of several students, on its logarithm: its last third, or the `whole` of it."""
    drawing = go.Figure(layout=figures.layout(palette, 360, revision=f"compared {whole}"))
    last = max((r.epoch for _, reports in curves for r in reports if r.val_accuracy is not None), default=1)
    first = 1 if whole else max(1, math.ceil(2 * last / 3))
    seen: list[float] = []
    for i, (name, reports) in enumerate(curves):
        two = [(r.epoch, max(LEAST_ERROR, 100 - 100 * r.val_accuracy)) for r in reports if r.val_accuracy is not None]
        seen += [error for epoch, error in two if epoch >= first]
        drawing.add_scatter(
            x=[x for x, _ in two],
            y=[y for _, y in two],
            mode="lines+markers",
            name=name,
            line={"color": palette.series[i % 4], "width": 2},
            marker={"symbol": SYMBOLS[i % 4], "size": 7},
            hovertemplate="%{y:.2f}%",
        )
    drawing.update_layout(hovermode="x unified")
    drawing.update_xaxes(title={"text": "epoch of stage 2"}, range=[first - 0.5, last + 0.5])
    low, high = figures.widened(seen or [1.0, 100.0])
    drawing.update_yaxes(figures.log_axis(low, high), title={"text": "validation error, % (logarithmic)"})
    return drawing


def costs(rows: Sequence[tuple[str, dict[str, float]]], palette: Palette) -> go.Figure:
    """Each student's costs as shares of the teacher's. Later marks are smaller, so that equal costs stay visible."""
    drawing = go.Figure(layout=figures.layout(palette, 300))
    for i, (name, shares) in enumerate(rows):
        drawing.add_scatter(
            x=list(shares.values()),
            y=list(shares),
            mode="markers",
            name=name,
            marker={
                "symbol": SYMBOLS[i % 4],
                "size": 18 - 4 * i,
                "color": palette.series[i % 4],
            },
            hovertemplate="%{x:.3g} of the teacher's",
        )
    drawing.add_vline(x=1, line={"color": palette.ink, "dash": "dot", "width": 1.5})
    values = [v for _, shares in rows for v in shares.values()] + [1.0]
    drawing.update_layout(dragmode=False, margin={"l": 120})
    title = {"text": "share of the teacher's"}
    drawing.update_xaxes(figures.log_axis(*figures.widened(values)), title=title)
    drawing.update_yaxes(autorange="reversed")
    return drawing
