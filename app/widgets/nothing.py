"""What stands in the place of the front chart while no student has finished."""

import streamlit as st

from app import words
from app.source import Picture
from app.widgets import live


def yet(picture: Picture) -> None:
    """What is going on while no student has finished, instead of empty axes."""
    snapshot = picture.snapshot
    running = [c for c in snapshot.candidates if c.state == "running"]
    failed = [c for c in snapshot.candidates if c.state == "failed"] + [
        u for u in snapshot.unread if u.state == "failed"
    ]
    if running and live.is_alive(picture):
        st.info(
            f"No student has finished yet; {words.plural(len(running), 'student')} in training. The first point "
            "appears here as soon as one ends."
        )
    elif failed:
        st.error(
            f"No student has finished, and {words.plural(len(failed), 'trial')} failed. The last reason: "
            f"{words.escaped(failed[-1].reason or 'none was recorded')}. See the Progress page for all reasons."
        )
    elif any(c.state == "pruned" for c in snapshot.candidates):
        st.info("No student has finished yet: those that were trained so far were stopped early.")
    elif snapshot.candidates:
        st.info(
            f"No student was trained: all {words.plural(len(snapshot.candidates), 'draw')} so far were over the "
            "study's own limits, or their results cannot be read."
        )
    else:
        st.info("The study has no trials yet. The first student appears here when the teacher is trained.")
