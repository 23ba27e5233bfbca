"""The Student page's section on the runs with fresh seeds that confirm its accuracy."""

from typing import Any

import streamlit as st

from app import confirmed, words
from app.source import Picture
from search.read.candidates import Candidate
from search.read.tradeoffs import accuracy


def section(picture: Picture, c: Candidate) -> None:
    """The section of the page; nothing where the student is not to be confirmed."""
    runs = picture.fresh.of(c.trial) if picture.fresh else []
    if not runs:
        return
    st.header("Fresh seeds", anchor=False)
    found = picture.confirmation
    student = found.of(c.trial) if found else None
    if found is None or student is None:
        ended = any(run is not None and run.state == "failed" for run in runs)
        st.markdown("No run with a fresh seed has succeeded." if ended else "No run with a fresh seed has ended yet.")
    else:
        known = found.half_width(student) is not None
        text = (
            f"**{confirmed.interval(found, student)}** is the mean validation accuracy of "
            f"{confirmed.seeds(found, student)}{', with its 95% interval over seeds' if known else ''}. In the search "
            f"itself it was {words.percent(student.search_accuracy)}: that run is not in the mean, because the student "
            "was chosen by it."
        )
        tie = confirmed.tie(found, student)
        st.markdown(" ".join([text, *([f"It {tie}."] if tie else []), confirmed.chance(found)]))
    st.dataframe(
        [_row(number, run) for number, run in enumerate(runs, start=1)],
        hide_index=True,
        alt="The runs with fresh seeds, one by one.",
    )


def _row(number: int, run: Candidate | None) -> dict[str, Any]:
    if run is None:
        return {"run": number, "state": "not begun", "accuracy": "", "seed": "", "note": ""}
    note = run.reason or (words.epoch(run) if run.state == "running" else "")
    found = words.percent(accuracy(run)) if run.outcome else ""
    return {"run": number, "state": run.state, "accuracy": found, "seed": str(run.recipe.seed), "note": note}
