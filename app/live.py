"""The line under the title that keeps itself fresh, and redraws the page when the study has something new."""

import statistics
import time
from collections import Counter

import streamlit as st

from app import source, state, words
from app.source import Picture
from fitnets.errors import InputError
from search.results import Snapshot

EVERY = 4.0  # seconds between looks at the storage
PATIENCE = 3.0  # no news for so many times the median trial: the search has stopped


def status(snapshot: Snapshot, now: float) -> tuple[str, str]:
    """The study's state in one word, and the colour of its badge."""
    states = Counter(c.state for c in snapshot.candidates) + Counter(u.state for u in snapshot.unread)
    trained = states["complete"] + states["failed"]
    wanted = snapshot.definition.get("trials")
    if isinstance(wanted, int) and trained >= wanted:
        return "finished", "green"
    if not states["running"]:
        return ("stopped", "orange") if states else ("empty", "gray")
    return ("silent", "orange") if now - last_news(snapshot) > patience(snapshot) else ("running", "blue")


def patience(snapshot: Snapshot) -> float:
    """How long a running search may be silent."""
    seconds = [c.outcome.seconds for c in snapshot.candidates if c.outcome is not None]
    return max(60.0, PATIENCE * statistics.median(seconds)) if seconds else 600.0


def last_news(snapshot: Snapshot) -> float:
    """When a trial last ended or started."""
    return max((c.ended or c.started or 0.0 for c in snapshot.candidates), default=0.0)


def line(snapshot: Snapshot, now: float) -> str:
    """How many students are in which state, and how fresh that is."""
    states = Counter(c.state for c in snapshot.candidates) + Counter(u.state for u in snapshot.unread)
    parts = [f"**{states['complete']:,}** trained"]
    parts += [f"**{states['running']:,}** in training"] if states["running"] else []
    parts += [f"**{states['infeasible']:,}** over the study's limits"] if states["infeasible"] else []
    parts += [f"**{states['pruned']:,}** stopped early"] if states["pruned"] else []
    parts += [f"**{states['failed']:,}** failed"] if states["failed"] else []
    ended = max((c.ended for c in snapshot.candidates if c.ended), default=None)
    parts += [f"last result {words.ago(ended, now)}"] if ended else []
    return " · ".join(parts)


@st.fragment(run_every=EVERY, key="live")
def header(name: str, drawn: int) -> None:
    """The status line. Every few seconds it looks for news; when there is some, the page is drawn again."""
    paused = bool(st.session_state.get("paused"))
    try:
        picture = source.picture(name)
    except InputError:
        st.rerun()
    if picture.version != drawn and not paused:
        st.rerun()
    _draw(picture, paused)


def _draw(picture: Picture, paused: bool) -> None:
    now = time.time()
    word, colour = status(picture.snapshot, now)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(word, color=colour)  # type: ignore[arg-type]
        st.markdown(line(picture.snapshot, now), width="stretch")
        st.toggle("Pause refresh", value=paused, key="paused")
    if picture.late is not None:
        st.warning(
            f"The storage is busy: showing data from {words.ago(picture.late, now)}. It is tried again by itself."
        )
    if word == "silent":
        since = words.ago(last_news(picture.snapshot), now)
        st.warning(
            f"Nothing has happened since {since}, much longer than a student takes. The search may have died: the "
            f"command that started it, given again, continues it."
        )
    if picture.snapshot.unread:
        _unread(picture.snapshot)


def _unread(snapshot: Snapshot) -> None:
    strange = [u for u in snapshot.unread if u.state not in ("running", "failed")]
    if strange:
        first = strange[0]
        st.warning(
            f"{words.plural(len(strange), 'trial')} cannot be read and {'is' if len(strange) == 1 else 'are'} left "
            f"out; trial {first.trial}: {first.reason}."
        )


def study_name(names: list[str]) -> str:
    """The study that is shown; a choice where the storage has several."""
    asked = st.session_state.get("at_study")
    if len(names) == 1:
        if asked not in (None, names[0]):
            st.warning(f"This storage has no study `{asked}`: showing `{names[0]}`, the only one.")
            state.put("study", None)
        return names[0]
    if asked is not None and asked not in names:
        st.warning(f"This storage has no study `{asked}`: showing the newest one.")
        state.put("study", None)
    chosen = state.get("study") or names[0]
    return str(
        st.selectbox(
            "Study",
            names,
            index=names.index(chosen),
            key="w_study",
            on_change=_choose_study,
            label_visibility="collapsed",
            width=320,
        )
    )


def _choose_study() -> None:
    state.put("study", st.session_state.w_study)
    state.put("trial", None)
    state.compare([])
