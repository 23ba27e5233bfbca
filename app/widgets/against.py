"""The Student page's table: the student beside its teacher and the paper's nets."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import confirmed, words
from search.read import layers
from search.read import published as paper
from search.read.candidates import Candidate, Snapshot
from search.read.tradeoffs import accuracy
from search.ship.confirmed import Confirmation
from search.units import format_count


def section(snapshot: Snapshot, c: Candidate, readings: dict[str, dict[str, Any]], found: Confirmation | None) -> None:
    """The section of the page."""
    st.header("Against the teacher and the paper", anchor=False)
    data = str(snapshot.definition.get("data", {}).get("name", ""))
    published = paper.published(data)
    rows = _rows(snapshot, c, readings, published)
    student = found.of(c.trial) if found else None
    if found and student:
        rows[0]["validation"] = confirmed.interval(found, student)
    st.dataframe(rows, hide_index=True, alt="The student beside the others.")
    if published:
        st.markdown(
            "The paper counts weights without biases, and so does the column *weights*. Where our counter has another "
            "number for the paper's net, it is in brackets. What differs besides the net: the paper trains up to 500 "
            "epochs in each stage, with its own initialisation, RMSProp and whitened images."
        )
    else:
        st.markdown(f"The paper has no results for `{data or 'this data set'}`, so only the teacher is compared.")


def _rows(
    snapshot: Snapshot, c: Candidate, readings: dict[str, dict[str, Any]], published: Sequence[paper.Published]
) -> list[dict[str, str]]:
    reading = readings.get(c.outcome.weights_sha256, {}) if c.outcome else {}
    rows = [
        {
            "net": words.title(c),
            "validation": words.percent(accuracy(c)) if c.outcome else "",
            "test": words.percent(reading["accuracy"]) if isinstance(reading.get("accuracy"), float) else "not read",
            "weights": format_count(c.cost.weights),
            "multiply-adds": format_count(c.cost.macs),
            "layers": str(c.recipe.student.depth),
        }
    ]
    teacher = snapshot.teacher
    if "val_accuracy" in teacher:
        known = layers.teacher(snapshot, c.recipe)
        rows.append(
            {
                "net": "this study's teacher",
                "validation": words.percent(teacher["val_accuracy"]),
                "test": "",
                "weights": format_count(teacher["weights"]) if "weights" in teacher else "",
                "multiply-adds": format_count(teacher["macs"]) if "macs" in teacher else "",
                "layers": layers.counted(known),
            }
        )
    for p in published:
        macs = format_count(p.macs) if p.macs else "not stated"
        rows.append(
            {
                "net": f"the paper's {p.name}",
                "validation": "",
                "test": words.percent(p.test_accuracy),
                "weights": f"{format_count(p.params)} ({format_count(p.counted.weights)})",
                "multiply-adds": f"{macs} ({format_count(p.counted.macs)})",
                "layers": str(p.net.depth),
            }
        )
    return rows
