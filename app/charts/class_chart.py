"""The charts of one student's classes: its accuracies beside the teacher's, and which it mistakes for which."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app import words
from app.charts import figures
from app.charts.palette import Palette
from app.words import html_escaped
from search.read.evidence.class_rows import Row

ROW = 26  # pixels for a class
LONGEST = 16  # characters of a class's name on an axis


def accuracies(rows: Sequence[Row], palette: Palette) -> go.Figure:
    """A line for each class, from the teacher's accuracy (a hollow square) to the student's (a circle)."""
    drawing = go.Figure()
    places = list(range(len(rows)))
    for place, row in zip(places, rows, strict=True):
        if row.teacher is not None:
            ends = {"x": [100 * row.teacher, 100 * row.accuracy], "y": [place, place]}
            drawing.add_scatter(
                **ends, mode="lines", line={"color": palette.over, "width": 3}, hoverinfo="skip", showlegend=False
            )
    if any(row.teacher is not None for row in rows):
        drawing.add_scatter(
            x=[None if row.teacher is None else 100 * row.teacher for row in rows],
            y=places,
            mode="markers",
            marker={"symbol": "square-open", "size": 12, "color": palette.ink, "line": {"width": 2}},
            name="teacher",
            hoverinfo="skip",
        )
    drawing.add_scatter(
        x=[100 * row.accuracy for row in rows],
        y=places,
        mode="markers",
        marker={"symbol": "circle", "size": 10, "color": palette.ours},
        name="student",
        hovertext=[hover(row) for row in rows],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    _framed(drawing, rows, palette)
    drawing.update_xaxes(title={"text": "validation accuracy, %"})
    return drawing


def confusion(rows: Sequence[Row], palette: Palette) -> go.Figure:
    """How many images of each class (down) were taken for which other one (across); the diagonal is left out."""
    at = {row.name: place for place, row in enumerate(rows)}
    counts: list[list[int | None]] = [[None if y == x else 0 for x in range(len(rows))] for y in range(len(rows))]
    for place, row in enumerate(rows):
        for predicted, count in row.mistaken:
            if predicted in at:
                counts[place][at[predicted]] = count
    hovers = [
        [
            f"{words.plural(count, 'image')} of {html_escaped(true.name)} taken for {html_escaped(predicted.name)}"
            if count
            else ""
            for count, predicted in zip(line, rows, strict=True)
        ]
        for line, true in zip(counts, rows, strict=True)
    ]
    drawing = go.Figure()
    drawing.add_heatmap(
        z=counts,
        x=list(range(len(rows))),
        y=list(range(len(rows))),
        text=[["" if not count else str(count) for count in line] for line in counts],
        texttemplate="%{text}",
        colorscale=[[0.0, palette.faint], [1.0, palette.mistakes]],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertext=hovers,
        hovertemplate="%{hovertext}<extra></extra>",
    )
    _framed(drawing, rows, palette)
    drawing.update_xaxes(
        title={"text": "taken for"}, tickvals=list(range(len(rows))), ticktext=[_short(r) for r in rows], showgrid=False
    )
    drawing.update_yaxes(title={"text": "true class"}, showgrid=False)
    return drawing


def _framed(drawing: go.Figure, rows: Sequence[Row], palette: Palette) -> None:
    figures.framed(drawing, palette, 150 + ROW * max(len(rows), 4))
    drawing.update_layout(dragmode=False)
    drawing.update_xaxes(automargin=True)
    drawing.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[_short(row) for row in rows],
        range=[len(rows) - 0.4, -0.6],
        automargin=True,
    )


def hover(row: Row) -> str:
    """One class in a few lines."""
    lines = [f"<b>{html_escaped(row.name)}</b>: {words.percent(row.accuracy)} of {words.plural(row.images, 'image')}"]
    if row.teacher is not None:
        lines.append(f"the teacher {words.percent(row.teacher)}")
    if row.mistaken:
        lines.append("taken for " + html_escaped(mistakes(row, 3)))
    return "<br>".join(lines)


def mistakes(row: Row, count: int) -> str:
    """What a class is taken for most often: 9 (4 times), 3 (once)."""
    return ", ".join(f"{name} ({'once' if n == 1 else f'{n} times'})" for name, n in row.mistaken[:count])


def alt(rows: Sequence[Row]) -> str:
    """The charts in a sentence."""
    worst = min(rows, key=lambda row: row.accuracy)
    text = f"The hardest class is {worst.name} with {words.percent(worst.accuracy)}"
    if worst.teacher is not None:
        text += f", where the teacher has {words.percent(worst.teacher)}"
    return text + (f"; it is taken for {mistakes(worst, 1)} most often." if worst.mistaken else ".")


def _short(row: Row) -> str:
    return html_escaped(row.name if len(row.name) <= LONGEST else row.name[: LONGEST - 1] + "…")
