"""Charts whose points are students: a click chooses one, and a line under the chart leads to it."""

from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import state, words
from app.charts import figures
from app.source import Picture
from search.read.tradeoffs import accuracy


def chart(figure: go.Figure, key: str, alt: str, config: dict[str, Any] = figures.STILL) -> None:
    """A chart whose points carry their trial as `customdata[0]`; a click beside one leaves the choice alone."""
    st.plotly_chart(
        figure,
        key=key,
        theme=None,
        on_select=lambda: _point(key),
        selection_mode="points",
        config=config,
        alt=alt,
    )


def _point(key: str) -> None:
    points = st.session_state[key].selection.points
    trials = [point["customdata"][0] for point in points if point.get("customdata")]
    if trials:
        state.put("trial", int(trials[0]))


def selected(picture: Picture) -> None:
    """The student that was chosen, here or on another page, with a link to its page; nothing where none was."""
    asked = state.get("trial")
    c = next((c for c in (*picture.students, *picture.snapshot.candidates) if c.trial == asked), None)
    if c is None:
        return
    found = f", {words.percent(accuracy(c))}" if c.outcome else ""
    with st.container(horizontal=True, vertical_alignment="center", key="selected"):
        st.markdown(f"Selected: **{words.named(c)}**{found}", width="content")
        st.page_link("screens/student.py", label=f"Open {words.named(c).lower()}", query_params=state.query())
