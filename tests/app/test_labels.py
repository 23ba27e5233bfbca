"""The labels of the paper's nets cover nothing: by the geometry of Plotly's drawing, on a phone and on wide screens."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go
import pytest

from app.charts import front_chart, labels, paper_marks
from app.charts.front_chart import Scene
from app.charts.palette import LIGHT
from search.read.candidates import Candidate
from search.read.published import published
from search.read.tradeoffs import Axis, on_axis
from tests.search.test_results import candidate

Rectangle = tuple[float, float, float, float]
AXES: tuple[Axis, ...] = ("parameters", "multiply-adds", "size", "memory")
PLOTS = ((276, 230), (276, 420), (480, 300), (900, 420))  # pixels: phones, a small window, a wide one
Plot = tuple[int, int]


def fronts(axis: Axis, data: str) -> Iterator[list[Candidate]]:
    """None; some through the paper's nets; a steep, a flat and a crowded one around them."""
    nets = [p for p in published(data) if paper_marks.reported(p, axis)]
    if not nets:
        return
    yield []
    yield [student(i, p.test_accuracy, p.params, p.macs or p.counted.macs) for i, p in enumerate(nets)]
    for seed, count in ((1, 8), (2, 30), (3, 120)):
        rng = random.Random(seed)
        made = []
        for i in range(count):
            p = rng.choice(nets)
            factor = 10 ** rng.uniform(-0.7, 0.7)
            accuracy = min(0.9999, p.test_accuracy + rng.uniform(-0.02, 0.01))
            made.append(student(i, accuracy, round(p.params * factor), round((p.macs or p.counted.macs) * factor)))
        yield made


def student(trial: int, accuracy: float, params: int, macs: int) -> Candidate:
    made = candidate(trial, accuracy, params, macs)
    return made.model_copy(update={"cost": made.cost.changed(weight_bytes=4 * params)})


def drawn(data: str, axis: Axis, front: Sequence[Candidate]) -> go.Figure:
    front = sorted(front, key=lambda c: on_axis(c, axis))
    best = max(front, key=lambda c: c.outcome.val_accuracy if c.outcome else 0.0, default=None)
    nets = published(data)
    teacher = (max(p.test_accuracy for p in nets) - 0.001, 1e9)
    return front_chart.figure(Scene(axis=axis, front=front, best=best, teacher=teacher, paper=nets), LIGHT)


def pixels(figure: go.Figure, x: float, y: float, plot: Plot) -> tuple[float, float]:
    (first, last), (low, high) = figure.layout.xaxis.range, figure.layout.yaxis.range
    return plot[0] * (math.log10(x) - first) / (last - first), plot[1] * (y - low) / (high - low)


def rectangles(figure: go.Figure, trace: Any, plot: Plot) -> list[tuple[str, Rectangle]]:
    """Where Plotly writes a trace's texts: above and beside a marker by 0.8 of its radius and a pixel."""
    found = []
    for x, y, text, place in zip(trace.x, trace.y, trace.text, trace.textposition, strict=True):
        if not text:
            continue
        at, up = pixels(figure, x, y, plot)
        gap, wide, tall = 0.8 * trace.marker.size / 2 + 1, 8.5 * len(text), 18
        vertical, horizontal = place.split()
        left = {"left": at - gap - wide, "center": at - wide / 2, "right": at + gap}[horizontal]
        bottom = {"bottom": up - gap - tall, "middle": up - tall / 2, "top": up + gap}[vertical]
        found.append((text, (left, bottom, left + wide, bottom + tall)))
    return found


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("data", ["cifar10", "cifar100", "mnist", "svhn"])
def test_no_label_covers_another_one_a_front_point_or_another_net(data: str, axis: Axis, plot: Plot) -> None:
    for front in fronts(axis, data):
        figure = drawn(data, axis, front)
        trace = next(t for t in figure.data if t.name == "The paper (test accuracy)")
        boxes = rectangles(figure, trace, plot)
        for (one, a), (other, b) in itertools.combinations(boxes, 2):
            assert not overlap(a, b), (one, other)
        points = [
            pixels(figure, x, y, plot) for t in figure.data if t.name == "Front" for x, y in zip(t.x, t.y, strict=True)
        ]
        points += [pixels(figure, x, y, plot) for x, y in zip(trace.x, trace.y, strict=True)]
        for text, box in boxes:
            assert not any(overlap(box, (x - 4, y - 4, x + 4, y + 4)) for x, y in points), text
            assert box[0] >= 0 and box[2] <= plot[0] and box[1] >= 0 and box[3] <= plot[1], text


@pytest.mark.parametrize("data", ["cifar10", "mnist"])
def test_labels_are_not_left_out_for_nothing(data: str) -> None:
    shown = []
    for front in itertools.islice(fronts("parameters", data), 0, 3, 2):  # none, and eight students
        figure = drawn(data, "parameters", front)
        trace = next(t for t in figure.data if t.name == "The paper (test accuracy)")
        shown.append(sum(map(bool, trace.text)) / len(trace.text))
    assert min(shown) >= 0.4, shown


def test_a_label_is_not_mistaken_for_a_neighbours() -> None:
    """F3, above and to the left of its point, stood over F2."""
    canvas = labels.Canvas((1e2, 1e8), (0.0, 100.0))
    points = [canvas.point(cost, height, 6) for cost, height in ((6e5, 50.0), (1.6e6, 50.0), (2.5e6, 54.0))]
    for point, place in zip(points, labels.placed(points, ["F2", "F3", "F4"], []), strict=True):
        if place is not None:
            box = labels.beside(point, "F2", place)
            centre = box.x + (box.right - box.left) / 2, box.y + (box.up - box.down) / 2
            nearest = min(points, key=lambda other: math.dist(centre, (other.x, other.y)))
            assert nearest is point, place


def test_a_point_that_is_not_in_the_chart_has_no_label() -> None:
    canvas = labels.Canvas((1e3, 1e6), (90.0, 100.0))
    inside, beyond = canvas.point(1e4, 95.0, 6), canvas.point(1e9, 95.0, 6)
    assert labels.placed([inside, beyond], ["F1", "T"], []) == ["top center", None]
    walled = [canvas.point(1e4, 95.0, 60)]
    assert labels.placed([inside], ["F1"], walled) == [None]


def test_the_best_students_label_is_in_the_chart_and_not_on_the_fronts_line() -> None:
    """At the left edge it was cut, and to its right the line goes on."""
    front = [student(i, 0.8 + 0.02 * i, 1000 + 40 * i, 50_000) for i in range(3)]
    figure = drawn("cifar10", "parameters", front)
    trace = next(t for t in figure.data if t.name == front_chart.BEST)
    ((text, box),) = rectangles(figure, trace.update(textposition=[trace.textposition]), PLOTS[0])
    _, line = pixels(figure, trace.x[0], trace.y[0], PLOTS[0])
    assert text == "student 2" and box[0] >= 0
    assert not box[1] < line < box[3]


@pytest.mark.parametrize("plot", PLOTS)
def test_the_best_students_label_is_not_on_the_papers_nets(plot: Plot) -> None:
    """In the first CIFAR-10 study it stood over FitNet 1."""
    front = [
        student(0, 0.65, 4_500, 646_000),
        student(1, 0.8515, 82_100, 8_710_000),
        student(3, 0.863, 152_000, 12_200_000),
    ]
    figure = drawn("cifar10", "parameters", front)
    traces = {t.name: t for t in figure.data}
    best, nets = traces[front_chart.BEST], traces["The paper (test accuracy)"]
    ((_, box),) = rectangles(figure, best.update(textposition=[best.textposition]), plot)
    for x, y in (pixels(figure, *point, plot) for point in zip(nets.x, nets.y, strict=True)):
        assert not overlap(box, (x - 6, y - 6, x + 6, y + 6))


@pytest.mark.parametrize("limit", [1_100, 3_000, 30_000, 95_000])
@pytest.mark.parametrize("plot", PLOTS)
def test_the_budgets_label_is_in_the_chart(limit: int, plot: Plot) -> None:
    """Near the right edge it was cut."""
    front = [student(i, 0.8 + 0.02 * i, 1000 * 10**i, 50_000) for i in range(3)]
    figure = front_chart.figure(Scene(axis="parameters", front=front, limit=limit), LIGHT)
    (label,) = (a for a in figure.layout.annotations if a.text.endswith(" at most"))
    at, _ = pixels(figure, 10**label.x, 0, plot)
    width = labels.CHARACTER * len(label.text)
    assert 0 <= (at if label.xanchor == "left" else at - width) <= plot[0] - width
