"""What all charts share: fonts, grid, logarithmic cost axes with readable ticks, and the tool bar's settings."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app import words
from app.charts.palette import Palette
from search.read.influence import Setting
from search.read.tradeoffs import Axis

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "scrollZoom": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoom2d", "pan2d"],
}
STILL = CONFIG | {"scrollZoom": False, "displayModeBar": False}
UNFADED: dict[str, Any] = {"selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 1}}}
"""For traces that do not fade when another point is chosen."""
MARGIN = {"l": 66, "r": 16, "t": 44, "b": 56}  # pixels
FONT = "Source Sans, Segoe UI, Helvetica, Arial, sans-serif"


def layout(palette: Palette, height: int, revision: str = "fixed") -> dict[str, Any]:
    """This project's fonts, grid and legend, for a new figure. While `revision` stays, the reader's zoom stays.

    Plotly takes ten times as long to update a figure with them.
    """
    return {
        "height": height,
        "margin": MARGIN,
        "font": {"size": 14, "color": palette.ink, "family": FONT},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"font": {"size": 14, "family": FONT}, "align": "left"},
        "legend": {
            "orientation": "h",
            "yref": "container",
            "yanchor": "top",
            "y": 1.0,
            "x": 0,
            "bgcolor": "rgba(0,0,0,0)",
        },
        "modebar": {
            "orientation": "v",
            "bgcolor": "rgba(0,0,0,0)",
            "color": palette.over,
            "activecolor": palette.ours,
        },
        "dragmode": "pan",
        "uirevision": revision,
        "xaxis": _lines(palette),
        "yaxis": _lines(palette),
    }


def framed(figure: go.Figure, palette: Palette, height: int, revision: str = "fixed") -> go.Figure:
    """A figure of several plots with the same layout."""
    figure.update_layout(layout(palette, height, revision))
    figure.update_xaxes(_lines(palette))
    figure.update_yaxes(_lines(palette))
    return figure


def _lines(palette: Palette) -> dict[str, Any]:
    return {
        "gridcolor": palette.faint,
        "zeroline": False,
        "linecolor": palette.over,
        "ticks": "outside",
        "tickcolor": palette.over,
        "showline": True,
    }


def log_axis(low: float, high: float, axis: Axis | None = None) -> dict[str, Any]:
    """A logarithmic axis from `low` to `high` with ticks at 1, 2 and 5 (fewer over many decades)."""
    first, last = math.log10(low), math.log10(high)
    decades = last - first
    steps = (1, 2, 5) if decades < 2.2 else (1, 3) if decades < 3.5 else (1,)
    powers = range(math.floor(first) - 1, math.ceil(last) + 2)
    values = [float(f"{step}e{power}") for power in powers for step in steps]
    if sum(low <= value <= high for value in values) < 2:  # within a part of a decade
        values = _ticks(low, high, False)
    return {
        "type": "log",
        "range": [first, last],
        "tickvals": values,
        "ticktext": [words.cost(value, axis) if axis else words.plain(value) for value in values],
    }


def widened(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """The range of positive values on a logarithmic axis, with a margin at both ends."""
    low, high = min(values), max(values)
    margin = max(share * math.log10(high / low), 0.08)
    return low / 10**margin, high * 10**margin


def dimension(setting: Setting, chosen: tuple[float, float] | None) -> dict[str, Any]:
    """One axis of parallel coordinates, with ticks of ours where it is logarithmic.

    Students without a value are drawn at its lower end, below the values.
    """
    known = [v for v in setting.values if v is not None]
    log = setting.log and min(known) > 0
    scale = math.log10 if log else float
    low, high = scale(min(known)), scale(max(known))
    bottom = low - 0.12 * (high - low)
    values = [bottom if v is None else scale(v) for v in setting.values]
    lacking = None in setting.values
    found: dict[str, Any] = {
        "label": setting.name,
        "values": np.array(values),
        "range": [bottom if lacking else low, high],
    }
    ticks = _ticks(min(known), max(known), log)
    found["tickvals"] = [scale(tick) for tick in ticks] + ([bottom] if lacking else [])
    found["ticktext"] = [words.plain(tick) for tick in ticks] + (["none"] if lacking else [])
    if chosen is not None:
        ends = [scale(max(chosen[0], min(known))), scale(min(chosen[1], max(known)))]
        if ends[0] > low or ends[1] < high:
            _constrain(found, ends, bottom if lacking else None, 1e-3 * (high - low))
    return found


def _constrain(dimension: dict[str, Any], ends: list[float], bottom: float | None, margin: float) -> None:
    """Mark the chosen range. Students without a value are inside it, as in `influence.inside`.

    Plotly moves a range's ends to a quarter of the way beyond the nearest ticks, so the ends get ticks. It identifies
    ticks by their texts, so these have invisible ones that differ.
    """
    edges = [ends[0] - margin, *ends, ends[1] + margin]
    dimension["constraintrange"] = ends
    if bottom is not None:
        edges.append(bottom + margin)
        dimension["constraintrange"] = [[bottom - margin, bottom + margin], ends]
    texts = {at: "\u200b" * i for i, at in enumerate(edges, start=1)}
    texts |= dict(zip(dimension["tickvals"], dimension["ticktext"], strict=True))
    marks = sorted(texts.items())
    dimension["tickvals"], dimension["ticktext"] = [at for at, _ in marks], [text for _, text in marks]


def _ticks(low: float, high: float, log: bool) -> list[float]:
    """Readable values inside the range: Plotly's own ones overshoot a logarithmic axis."""
    if low == high:
        return [low]
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        inside = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    else:
        raw = (high - low) / 4
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
        inside = [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return [value for value in inside if low - 1e-9 <= value <= high + 1e-9] or [low, high]
