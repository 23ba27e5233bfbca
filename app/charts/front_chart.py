"""The chart of the home page: accuracy against a cost, the stepped front, the budget, the paper and the teacher."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import plotly.graph_objects as go

from app import confirmed, words
from app.charts import confirmed_marks, figures, labels, paper_marks, teacher_mark
from app.charts.labels import Box, Canvas
from app.charts.palette import Palette
from search.read.budget import Broken
from search.read.candidates import Candidate
from search.read.published import Published
from search.read.tradeoffs import Axis, accuracy, measured, on_axis
from search.ship.confirmed import Confirmation, Confirmed
from search.ship.sure.ties import Ties
from search.units import format_count, format_stages

HEIGHT = 520
TALL_LEGEND = 96  # pixels
# the legend's names are short: Plotly gives each the width of the longest, and so puts few in a row
CONFIRMED_FRONT, CONFIRMED = "Confirmed front", "Confirmed"
OVER, BEST, BEST_THAT_FITS = "Front, over budget", "Most accurate", "Best that fits"
LEGEND = (CONFIRMED_FRONT, CONFIRMED)  # the first entries
BEST_SIZE = 20  # pixels
ALWAYS_SVG = 5000  # above so many points the cloud is drawn by WebGL


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the chart shows."""

    axis: Axis
    study: str = ""
    """The zoom is preserved for one study."""
    front: Sequence[Candidate] = ()
    """The front of what fits the budget."""
    beyond: Sequence[Candidate] = ()
    """Students on the front of all that do not fit."""
    best: Candidate | None = None
    """The most accurate student that fits."""
    ties: Ties | None = None
    up_to_teacher: bool = False
    """Whether the axis goes up to the teacher's cost; else it follows the students."""
    cloud: Sequence[Candidate] = ()
    """Other finished students that are drawn."""
    running: Sequence[Candidate] = ()
    broken: dict[int, list[Broken]] = field(default_factory=dict)
    """The limits that each drawn student breaks."""
    limit: float | None = None
    """The budget on this axis."""
    floor: float | None = None
    """The lowest accuracy that the budget allows."""
    chosen: Candidate | None = None
    knee: Candidate | None = None
    teacher: tuple[float, float | None] | None = None
    """Its accuracy, and its cost on this axis."""
    paper: Sequence[Published] = ()
    confirmation: Confirmation | None = None
    """Where there is one, the confirmed students above are at their means, and the front is the confirmed one."""

    awaited: frozenset[int] = frozenset()
    """The students whose fresh runs have not all ended."""

    def confirmed(self, c: Candidate) -> Confirmed | None:
        """What the fresh runs of a student say; None where it was not confirmed."""
        return None if self.confirmation is None else self.confirmation.of(c.trial)


def figure(scene: Scene, palette: Palette) -> go.Figure:
    """The chart. Each student's point carries its trial number as `customdata[0]`."""
    drawing = go.Figure(layout=figures.layout(palette, HEIGHT, revision=f"front {scene.axis} {scene.study}"))
    low, high = _cost_range(scene)
    line = {"color": palette.over, "width": 2, "dash": "dash"}
    if scene.limit is not None:
        drawing.add_vrect(x0=scene.limit, x1=high * 1e3, fillcolor=palette.shade, line_width=0, layer="below")
        drawing.add_vline(x=scene.limit, line=line)
        _label(drawing, scene.limit, _limits_label(scene.limit, scene.axis), _side(scene.limit, (low, high)))
    if scene.floor is not None:
        drawing.add_hrect(y0=-100, y1=100 * scene.floor, fillcolor=palette.shade, line_width=0, layer="below")
        drawing.add_hline(y=100 * scene.floor, line=line)
    if scene.confirmation is not None:
        confirmed_marks.searched(
            drawing, [*scene.cloud, *scene.beyond, *scene.front], scene.confirmation, scene.axis, palette
        )
    _cloud(drawing, scene, palette)
    _front(drawing, scene, palette, high)
    bottom, top = accuracy_range(scene)
    _running(drawing, scene, palette, bottom + 0.02 * (top - bottom))
    canvas = Canvas((low, high), (bottom, top))
    taken, place = _taken(scene, canvas)
    paper_marks.draw(drawing, scene.paper, scene.axis, palette, canvas, taken)
    if scene.knee is not None:
        _one(drawing, scene, scene.knee, "Best balance", {"symbol": "star", "size": 17, "color": palette.knee})
    if scene.chosen is not None and scene.chosen.outcome is not None and measured([scene.chosen], scene.axis):
        ring = {"symbol": "circle-open", "size": 24, "color": palette.chosen, "line": {"width": 3}}
        _one(drawing, scene, scene.chosen, "Selected", ring)
    if scene.best is not None and measured([scene.best], scene.axis):
        mark = {"symbol": "circle-open-dot", "size": BEST_SIZE, "color": palette.best, "line": {"width": 3}}
        name = BEST_THAT_FITS if scene.broken else BEST
        _one(drawing, scene, scene.best, name, mark, f"student {scene.best.trial}", place)
    if scene.teacher is not None:
        teacher_mark.draw(drawing, *scene.teacher, scene.axis, palette, high)
    title = {"text": words.TITLES[scene.axis] + " (logarithmic)"}
    drawing.update_xaxes(figures.log_axis(low, high, scene.axis), title=title)
    if scene.confirmation is not None:  # on a phone the legend has more rows
        drawing.update_layout(margin={"t": TALL_LEGEND})
    drawing.update_yaxes(range=[bottom, top], title={"text": "Validation accuracy, %"}, ticksuffix="")
    return drawing


def _cloud(drawing: go.Figure, scene: Scene, palette: Palette) -> None:
    sure: list[Candidate] = []
    others = scene.cloud
    if scene.confirmation is not None:
        sure = [c for c in scene.cloud if scene.confirmed(c) and not scene.broken.get(c.trial)]
        others = [c for c in scene.cloud if not scene.confirmed(c)]
    within = [c for c in others if not scene.broken.get(c.trial)]
    over = [c for c in scene.cloud if scene.broken.get(c.trial)]
    _students(drawing, scene, palette, within, "Others", {"size": 7, "color": palette.cloud, "opacity": 0.75})
    _students(drawing, scene, palette, sure, CONFIRMED, {"size": 8, "color": palette.ours})
    hollow = {"symbol": "circle-open", "size": 7, "color": palette.over, "opacity": 0.65}
    _students(drawing, scene, palette, over, "Over budget", hollow)


def _front(drawing: go.Figure, scene: Scene, palette: Palette, edge: float) -> None:
    if len(scene.front) > 1:
        xs = [on_axis(c, scene.axis) for c in scene.front]
        ys = [100 * accuracy(c) for c in scene.front]
        if scene.confirmation and any(scene.confirmed(c) is None and 100 * accuracy(c) > ys[-1] for c in scene.cloud):
            edge = xs[-1]  # whether no costlier student is better is not known: some are not confirmed
        drawing.add_scatter(
            x=[*xs, max(edge, xs[-1])],
            y=[*ys, ys[-1]],
            mode="lines",
            line={"shape": "hv", "color": palette.ours, "width": 2},
            hoverinfo="skip",
            showlegend=False,
            name="front",
        )
    name = CONFIRMED_FRONT if any(map(scene.confirmed, scene.front)) else "Front"
    _students(drawing, scene, palette, scene.front, name, {"size": 11, "color": palette.ours})
    hollow = {"symbol": "circle-open", "size": 11, "color": palette.over, "line": {"width": 2}}
    _students(drawing, scene, palette, scene.beyond, OVER, hollow)


def _label(drawing: go.Figure, at: float, text: str, side: Literal["left", "right"]) -> None:
    """What a vertical line stands for, at its foot, on this side of it."""
    end = "left" if side == "right" else "right"
    drawing.add_annotation(
        x=math.log10(at), y=0, yref="y domain", xanchor=end, yanchor="bottom", text=text, showarrow=False
    )


def _side(at: float, ends: tuple[float, float]) -> Literal["left", "right"]:
    """The side of a vertical line that has more room on the axis, which is logarithmic."""
    return "right" if at * at <= ends[0] * ends[1] else "left"


def _limits_label(limit: float, axis: Axis) -> str:
    return f"{words.cost(limit, axis)} at most"


def _students(
    drawing: go.Figure,
    scene: Scene,
    palette: Palette,
    rows: Sequence[Candidate],
    name: str,
    marker: dict[str, Any],
) -> None:
    """Students as points that can be clicked."""
    if not rows:
        return
    trace = go.Scattergl if len(rows) > ALWAYS_SVG else go.Scatter
    opacity = marker.get("opacity", 1.0)
    drawing.add_trace(
        trace(
            x=[on_axis(c, scene.axis) for c in rows],
            y=[round(100 * accuracy(c), 3) for c in rows],
            customdata=[[c.trial] for c in rows],
            text=[_hover(scene, c, scene.broken.get(c.trial, [])) for c in rows],
            hovertemplate="%{text}<extra></extra>",
            mode="markers",
            marker=marker,
            name=name,
            legendrank=LEGEND.index(name) if name in LEGEND else None,
            selected={"marker": {"opacity": opacity}},
            unselected={"marker": {"opacity": opacity}},
            error_y=confirmed_marks.intervals(rows, scene.confirmation, palette),
        )
    )


def _hover(scene: Scene, c: Candidate, broken: Sequence[Broken]) -> str:
    found, student = scene.confirmation, scene.confirmed(c)
    shown, runs = confirmed.with_interval(c, found, scene.ties), []
    if found is not None and student is not None:
        runs = [f"{confirmed.seeds(found, student)}; {confirmed.said(student)}", confirmed.tie(found, student)]
    first = f"<b>{words.html_escaped(words.title(c))}</b>  {shown}"
    return "<br>".join([first, *filter(None, runs), _costs(c), *(words.limit(b) for b in broken)])


def _costs(c: Candidate) -> str:
    counted = f"{format_count(c.cost.params)} parameters, {format_count(c.cost.macs)} multiply-adds"
    counted += "" if c.timing is None else f", {words.milliseconds(c.timing.p50_ms)}"
    net = c.recipe.student
    return f"{counted}<br>{words.plural(len(net.convs), 'convolution')}: {format_stages(net.stages)}"


def _running(drawing: go.Figure, scene: Scene, palette: Palette, height: float) -> None:
    if not scene.running:
        return
    drawing.add_scatter(
        x=[on_axis(c, scene.axis) for c in scene.running],
        y=[height] * len(scene.running),
        customdata=[[c.trial] for c in scene.running],
        text=[f"<b>{words.html_escaped(words.title(c))}</b>, in training<br>{_costs(c)}" for c in scene.running],
        hovertemplate="%{text}<extra></extra>",
        mode="markers",
        marker={"symbol": "square-open", "size": 10, "color": palette.knee, "line": {"width": 2}},
        name="In training",
    )


def _one(
    drawing: go.Figure, scene: Scene, c: Candidate, name: str, marker: dict[str, Any], label: str = "", place: str = ""
) -> None:
    drawing.add_scatter(
        x=[on_axis(c, scene.axis)],
        y=[100 * accuracy(c)],
        customdata=[[c.trial]],
        mode="markers+text" if label else "markers",
        text=[label] if label else None,
        textposition=place or None,
        textfont={"color": marker["color"]},
        marker=marker,
        name=name,
        hoverinfo="skip",
        **figures.UNFADED,
    )


def _taken(scene: Scene, canvas: Canvas) -> tuple[list[Box], str]:
    """What no label of the paper's nets may cover, and where the best student's label goes, which is among it."""

    def at(c: Candidate, radius: float) -> Box:
        return canvas.point(on_axis(c, scene.axis), 100 * accuracy(c), radius)

    marked = [c for c in (scene.chosen, scene.knee, scene.best) if c and c.outcome and measured([c], scene.axis)]
    points = {c.trial: at(c, 5.5) for c in (*scene.front, *scene.beyond)} | {c.trial: at(c, 12) for c in marked}
    written = []
    if scene.front:  # the front's line, from its last student to the edge
        last = at(scene.front[-1], 1)
        written.append(Box(last.x, last.y, 0, math.inf, 1, 1))
    if scene.teacher is not None:
        first, edge = canvas.costs
        text = teacher_mark.label(*scene.teacher, scene.axis, edge)
        written.append(labels.beside(canvas.point(first, 100 * scene.teacher[0], 0), text, "top right"))
    if scene.limit is not None:
        foot = canvas.point(scene.limit, canvas.heights[0], 0)
        side = _side(scene.limit, canvas.costs)
        written.append(labels.beside(foot, _limits_label(scene.limit, scene.axis), f"top {side}"))
    best, place = scene.best, None
    if best is not None and best in marked:
        mark, text = at(best, BEST_SIZE / 2), f"student {best.trial}"
        others = [box for trial, box in points.items() if trial != best.trial]
        others += paper_marks.points(scene.paper, scene.axis, canvas)
        (place,) = labels.placed([mark], [text], [*written, *others])
        written.append(labels.beside(mark, text, place or labels.PLACES[-1]))
    return [*written, *points.values()], place or labels.PLACES[-1]


def _cost_range(scene: Scene) -> tuple[float, float]:
    students = [*scene.front, *scene.beyond, *scene.cloud, *scene.running]
    costs = [float(on_axis(c, scene.axis)) for c in students]
    costs += [float(cost) for p in scene.paper if (cost := paper_marks.reported(p, scene.axis)) is not None]
    costs += [scene.limit] if scene.limit else []
    costs += [scene.teacher[1]] if scene.up_to_teacher and scene.teacher and scene.teacher[1] else []
    return figures.widened(costs or [1e3, 1e6])


def accuracy_range(scene: Scene) -> tuple[float, float]:
    """From a little below the front to a little above the best: students far below are reached by zooming out."""
    lines = [*scene.front, *scene.beyond]
    heights = [100 * accuracy(c) for c in lines] or [100 * accuracy(c) for c in scene.cloud]
    if (found := scene.confirmation) is not None:
        drawn = [student for c in (*lines, *scene.cloud) if (student := found.of(c.trial))]
        heights += [height for student in drawn for height in confirmed_marks.extent(found, student)]
    heights += [100 * p.test_accuracy for p in scene.paper if paper_marks.reported(p, scene.axis) is not None]
    heights += [100 * scene.floor] if scene.floor is not None else []
    heights += [100 * scene.teacher[0]] if scene.teacher else []
    heights += [100 * accuracy(scene.chosen)] if scene.chosen and scene.chosen.outcome else []
    low, high = (min(heights), max(heights)) if heights else (0.0, 100.0)
    height = max(high - low, 1.0)
    return max(-2.0, low - 0.18 * height), min(102.0, high + 0.1 * height)
