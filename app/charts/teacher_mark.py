"""The teacher in the front chart."""

import plotly.graph_objects as go

from app import words
from app.charts import figures
from app.charts.palette import Palette
from search.read.tradeoffs import Axis


def draw(drawing: go.Figure, accuracy: float, cost: float | None, axis: Axis, palette: Palette, edge: float) -> None:
    """Draw it at its own cost; where the axis ends before it, at `edge`, its label says where it is."""
    drawing.add_hline(y=100 * accuracy, line={"color": palette.ink, "width": 1.5, "dash": "dot"})
    if cost is not None:
        drawing.add_scatter(
            x=[cost],
            y=[100 * accuracy],
            mode="markers",
            marker={"symbol": "square", "size": 12, "color": palette.ink},
            name="The teacher",
            text=[f"<b>The teacher</b>  {words.percent(accuracy)}"],
            hovertemplate="%{text}<extra></extra>",
            showlegend=cost <= edge,
            **figures.UNFADED,
        )
    drawing.add_annotation(
        x=0,  # where no student is as good as the teacher, and none of the paper's nets
        xref="x domain",
        xanchor="left",
        y=100 * accuracy,
        yanchor="bottom",
        text=label(accuracy, cost, axis, edge),
        showarrow=False,
    )


def label(accuracy: float, cost: float | None, axis: Axis, edge: float) -> str:
    """teacher 99.24%, 131k; with an arrow where it is beyond the edge of the axis."""
    text = f"teacher {words.percent(accuracy)}"
    if cost is None:
        return text
    return f"{text}, {words.cost(cost, axis)}" + ("" if cost <= edge else " \N{RIGHTWARDS ARROW}")
