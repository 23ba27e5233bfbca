"""The Compare page's help for a decision: the best cells, the classes, and the architectures side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import source, words
from fitnets.errors import InputError
from search.read import layers
from search.read.candidates import Candidate, Snapshot
from search.read.evidence import class_rows
from search.read.tradeoffs import Axis, accuracy, on_axis
from search.ship.sure.ties import Ties

MOST_CLASSES = 20
AXES: dict[str, Axis] = {
    "parameters": "parameters",
    "multiply-adds": "multiply-adds",
    "weights, float32": "size",
    "weights, int8": "int8 size",
    "activations, peak": "memory",
    "activations, peak, int8": "int8 memory",
}
"""The rows of which the least is best, each with its cost."""


def best_cells(ties: Ties, students: Mapping[int, Candidate]) -> dict[tuple[int, str], str]:
    """By column and row of the table, the mark of the best cells: `best`, or `tied` for an accuracy that may be it."""
    if len(students) < 2:
        return {}
    marks: dict[tuple[int, str], str] = {}
    top = max(students.values(), key=accuracy)
    for i, c in students.items():
        if c is top:
            marks[i, "validation accuracy"] = "best"
        elif ties.tied(top, c)[0]:
            marks[i, "validation accuracy"] = "tied"
    for name, axis in AXES.items():
        values = {i: on_axis(c, axis) for i, c in students.items()}
        least = min(values.values())
        if least < max(values.values()):
            marks |= {(i, name): "best" for i, value in values.items() if value == least}
    times = {i: c.timing.p50_ms for i, c in students.items() if c.timing is not None}
    if len(times) > 1:
        marks[min(times, key=lambda i: times[i]), "latency"] = "best"
    return marks


def classes(snapshot: Snapshot, students: Sequence[Candidate]) -> None:
    """Each student's accuracy class by class, where they differ most first."""
    rows = [c for c in students if c.outcome is not None]
    if len(rows) < 2:
        return
    st.header("Class by class", anchor=False)
    try:
        counted = {words.title(c): source.classes(snapshot.study, c) for c in rows}
    except InputError as error:
        st.info(f"Their classes cannot be read just now: {error}")
        return
    known = {title: found for title, found in counted.items() if found is not None}
    if len(known) < 2:
        st.info("Fewer than two of them were trained by a version that counts their classes.")
        return
    names = [str(name) for name in snapshot.images.get("classes", ())]
    table = differences({title: class_rows.rows(found, None, names) for title, found in known.items()})
    text = f"Furthest apart, by {table[0]['difference']} points: class {table[0]['class']}."
    st.markdown(f"Validation accuracy; the classes in which the students differ most come first. {text}")
    st.dataframe(table[:MOST_CLASSES], hide_index=True, height="content", alt=text)


def differences(found: Mapping[str, Sequence[class_rows.Row]]) -> list[dict[str, str]]:
    """A row for each class: every student's accuracy, and how far apart the highest and the lowest are."""
    by_class: dict[str, dict[str, float]] = {}
    images: dict[str, int] = {}
    for title, rows in found.items():
        for row in rows:
            by_class.setdefault(row.name, {})[title] = row.accuracy
            images[row.name] = row.images
    spread = {name: max(each.values()) - min(each.values()) for name, each in by_class.items()}
    return [
        {
            "class": name,
            "images": str(images[name]),
            **{title: words.percent(each[title]) if title in each else "" for title in found},
            "difference": f"{100 * spread[name]:.2f}",
        }
        for name, each in sorted(by_class.items(), key=lambda item: -spread[item[0]])
    ]


def architectures(snapshot: Snapshot, students: Sequence[Candidate]) -> None:
    """The layers of each student and of the teacher, a column for each."""
    if not students:
        return
    st.header("Layer by layer", anchor=False)
    columns = {words.title(c): layers.student(c.recipe) for c in students}
    if teacher := layers.teacher(snapshot, students[0].recipe.model_copy(update={"hint": None})):
        columns["the teacher"] = teacher
    st.markdown("Each layer's operations and its output: channels x rows x columns. The guided layer is marked.")
    longest = max(map(len, columns.values()))
    table: list[dict[str, Any]] = [
        {"layer": str(number)} | {title: _layer(rows, number) for title, rows in columns.items()}
        for number in range(1, longest + 1)
    ]
    st.dataframe(table, hide_index=True, height="content", alt="The layers side by side.")


def _layer(rows: Sequence[layers.LayerRow], number: int) -> str:
    row = next((row for row in rows if row.number == number), None)
    if row is None:
        return ""
    role = f" ({row.role})" if row.role else ""
    return f"{row.text}: {'x'.join(map(str, row.shape))}{role}"
