"""The charts of one student: its layers beside the teacher's, and both stages' curves."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app import words
from app.charts import figures
from app.charts.palette import Palette
from fitnets.config import Report
from search.read.layers import LayerRow, counted
from search.units import format_count

BLOCK = 0.72  # width of a layer's block; layers are one unit apart
TEACHER, STUDENT = 1.0, 0.0


def anatomy(student: Sequence[LayerRow], teacher: Sequence[LayerRow], palette: Palette) -> go.Figure:
    """The teacher above, the student below, a block for each layer; the hint pair joined by the regressor."""
    drawing = go.Figure(layout=figures.layout(palette, 330))
    widest = max((layer.shape[0] for layer in (*student, *teacher)), default=1)
    _row(drawing, teacher, TEACHER, widest, palette.paper, "teacher", palette)
    _row(drawing, student, STUDENT, widest, palette.ours, "student", palette)
    guided = next((x for x in student if x.role), None)
    hint = next((x for x in teacher if x.role), None)
    if guided is not None and hint is not None:
        drawing.add_annotation(
            ax=guided.number,
            ay=STUDENT + 0.27,
            axref="x",
            ayref="y",
            x=hint.number,
            y=TEACHER - 0.27,
            text="",
            showarrow=True,
            arrowhead=3,
            arrowwidth=2.5,
            arrowcolor=palette.chosen,
        )
        drawing.add_annotation(
            x=max(guided.number, hint.number) + 0.1,
            y=(STUDENT + TEACHER) / 2,
            text="regressor",
            showarrow=False,
            xanchor="left",
            font={"color": palette.chosen},
        )
    last = max((x.number for x in (*student, *teacher)), default=1)
    drawing.update_layout(margin={"l": 78, "r": 8, "t": 8, "b": 52}, dragmode=False, showlegend=False)
    drawing.update_xaxes(
        title={"text": "layer"}, range=[0.4, max(last, 4) + 0.6], showgrid=False, dtick=1 if last < 24 else 2
    )
    drawing.update_yaxes(
        tickvals=[STUDENT, TEACHER], ticktext=["student", "teacher"], range=[-0.5, 1.5], showgrid=False, ticks=""
    )
    return drawing


def _row(
    drawing: go.Figure, rows: Sequence[LayerRow], y: float, widest: int, colour: str, whose: str, palette: Palette
) -> None:
    if not rows:
        return
    for layer in rows:
        half = 0.07 + 0.17 * math.log2(1 + layer.shape[0]) / math.log2(1 + widest)
        drawing.add_shape(
            type="rect",
            x0=layer.number - BLOCK / 2,
            x1=layer.number + BLOCK / 2,
            y0=y - half,
            y1=y + half,
            line={"color": palette.chosen if layer.role else colour, "width": 4 if layer.role else 1.5},
            fillcolor=colour,
            opacity=1.0 if layer.kind == "conv" else 0.45,
            layer="below",
        )
    crowded = len(rows) > 13
    drawing.add_scatter(
        x=[x.number for x in rows],
        y=[y] * len(rows),
        mode="markers+text",
        text=[_label(x, crowded) for x in rows],
        textfont={
            "color": [palette.on_block if x.kind == "conv" else palette.ink for x in rows],  # others are drawn pale
            "size": 11 if crowded else 13,
        },
        marker={"size": 1, "color": colour},
        hovertext=[_hover(x, whose) for x in rows],
        hovertemplate="%{hovertext}<extra></extra>",
        name=whose,
    )
    for layer in rows:
        if layer.role:
            above = y > 0.5
            drawing.add_annotation(
                x=layer.number,
                y=y + (0.3 if above else -0.3),
                text=layer.role,
                showarrow=False,
                yanchor="bottom" if above else "top",
                font={"color": palette.chosen},
            )


def _label(layer: LayerRow, crowded: bool) -> str:
    return str(layer.shape[0]) if crowded else f"{layer.shape[0]}<br>{layer.shape[1]}x{layer.shape[2]}"


def _hover(layer: LayerRow, whose: str) -> str:
    shape = "x".join(map(str, layer.shape))
    text = words.html_escaped(layer.text)
    lines = [f"<b>{whose}, layer {layer.number}</b>: {layer.kind} {text}", f"output {shape}"]
    if layer.params:
        lines.append(f"{format_count(layer.params)} parameters, {format_count(layer.macs)} multiply-adds")
    return "<br>".join(lines + ([layer.role] if layer.role else []))


def anatomy_alt(student: Sequence[LayerRow], teacher: Sequence[LayerRow]) -> str:
    """The diagram in a sentence."""
    guided = next((x.number for x in student if x.role), None)
    hint = next((x.number for x in teacher if x.role), None)
    text = f"The student has {words.plural(len(student), 'layer')}"
    text += f", the teacher {counted(teacher)}. " if teacher else ". "
    if guided is None:
        return text + "It was trained without hints."
    return text + f"In stage 1 the student's layer {guided} learns to predict the teacher's layer {hint or 'hint'}."


def curves(reports: Sequence[Report], palette: Palette, teacher: float | None = None) -> go.Figure:
    """Both stages on one axis of epochs: hint R² and accuracy above, the losses and lambda below."""
    drawing = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.09,
        row_heights=[0.58, 0.42],
        specs=[[{}], [{"secondary_y": True}]],
    )
    one = [r for r in reports if r.stage == "stage 1"]
    two = [r for r in reports if r.stage == "stage 2"]
    start = len(one)
    _curve(drawing, [(r.epoch, r.hint_r2) for r in one], "hint R², stage 1", palette.paper, "diamond", 100)
    accuracy = [(start + r.epoch, r.val_accuracy) for r in two]
    _curve(drawing, accuracy, "validation accuracy, stage 2", palette.ours, "circle", 100)
    _curve(drawing, [(r.epoch, r.loss) for r in one], "hint loss", palette.paper, "diamond-open", 1, row=2)
    _curve(
        drawing, [(start + r.epoch, r.loss) for r in two], "distillation loss", palette.ours, "circle-open", 1, row=2
    )
    lams = [(start + r.epoch, r.lam) for r in two if r.lam is not None]
    if lams:
        drawing.add_scatter(
            x=[x for x, _ in lams],
            y=[y for _, y in lams],
            mode="lines",
            line={"color": palette.chosen, "dash": "dash", "width": 2},
            name="lambda",
            row=2,
            col=1,
            secondary_y=True,
        )
    figures.framed(drawing, palette, 490)
    drawing.update_layout(margin={"r": 60, "t": 86}, dragmode=False, hovermode="x unified")
    drawing.update_xaxes(showgrid=False)
    drawing.update_xaxes(title={"text": "epoch, stage 1 then stage 2"}, row=2, col=1)
    drawing.update_yaxes(title={"text": "%"}, row=1, col=1)
    losses = [r.loss for r in (*one, *two) if math.isfinite(r.loss) and r.loss > 0]
    scale = figures.log_axis(*figures.widened(losses, 0.05)) if losses else {}
    drawing.update_yaxes(scale, title={"text": "loss"}, row=2, col=1, secondary_y=False)
    drawing.update_yaxes(title={"text": "lambda"}, row=2, col=1, secondary_y=True, showgrid=False)
    drawing.update_yaxes(tickmode="auto", nticks=5, rangemode="tozero", row=2, col=1, secondary_y=True)
    if teacher is not None and two:
        drawing.add_hline(
            y=100 * teacher,
            row=1,
            col=1,
            line={"color": palette.ink, "dash": "dot", "width": 1.5},
        )
    if one and two:
        drawing.add_vline(x=start + 0.5, line={"color": palette.over, "width": 1.5})
        for x, anchor, text in (
            (start + 0.4, "right", "stage 1: hints"),
            (start + 0.6, "left", "stage 2: distillation"),
        ):
            drawing.add_annotation(
                x=x, y=1.0, yref="paper", yanchor="bottom", xanchor=anchor, text=text, showarrow=False
            )
    return drawing


def _curve(
    drawing: go.Figure,
    points: Sequence[tuple[int, float | None]],
    name: str,
    colour: str,
    symbol: str,
    factor: float,
    row: int = 1,
) -> None:
    known = [(x, y) for x, y in points if y is not None and math.isfinite(y)]
    if not known:
        return
    drawing.add_scatter(
        x=[x for x, _ in known],
        y=[factor * y for _, y in known],
        mode="lines+markers",
        marker={"symbol": symbol, "size": 7},
        line={"color": colour, "width": 2},
        name=name,
        hovertemplate="%{y:.4g}",
        showlegend=row == 1,
        row=row,
        col=1,
    )


def curves_alt(reports: Sequence[Report]) -> str:
    """The curves in a sentence."""
    sentences = []
    r2 = [r.hint_r2 for r in reports if r.hint_r2 is not None]
    accuracies = [r.val_accuracy for r in reports if r.val_accuracy is not None]
    if r2:
        sentences.append(
            f"Stage 1: the hint's R2 went from {r2[0]:.2f} to {r2[-1]:.2f} in {words.plural(len(r2), 'epoch')}."
        )
    if accuracies:
        sentences.append(
            f"Stage 2: validation accuracy went from {words.percent(accuracies[0])} to {words.percent(accuracies[-1])} "
            f"in {words.plural(len(accuracies), 'epoch')}."
        )
    return " ".join(sentences) or "No epoch has been reported."
