"""The status line under the title: it refreshes itself, and redraws the page when the study has something new."""

import time
from typing import Literal

import streamlit as st

from app import source, state, words
from app.source import Picture
from fitnets.errors import InputError
from search.read.candidates import Snapshot
from search.read.progress import Standing

EVERY = 4.0  # seconds between reads of the storage
CONTINUES = "the command that started it, given again, continues it."
MOST = 8  # students in training that are named one by one
STATES = {
    "running": "in training",
    "infeasible": "over the study's limits",
    "pruned": "stopped early",
    "failed": "failed",
}
COLOURS: dict[str, Literal["green", "blue", "orange", "gray"]] = {
    "finished": "green",
    "running": "blue",
    "silent": "orange",
    "stopped": "orange",
    "empty": "gray",
}


def line(standing: Standing, now: float) -> str:
    """How many students are in which state, and how fresh that is."""
    counts = standing.counts
    parts = [f"**{counts.get('complete', 0):,}** trained"]
    parts += [f"**{counts[state]:,}** {text}" for state, text in STATES.items() if counts.get(state)]
    parts += [f"last result {words.ago(standing.result, now)}"] if standing.result else []
    return " · ".join(parts)


@st.fragment(run_every=EVERY, key="live")
def header(name: str, drawn: int, known: int) -> None:
    """The status line. Every few seconds it reads the storage; when something changed, the page is drawn again."""
    paused = bool(st.session_state.get("paused"))
    try:
        picture = source.picture(name)
    except InputError:
        st.rerun()
    followed = st.session_state.get("followed")
    if not paused and (picture.version != drawn or followed not in (None, picture.pulse)):
        st.rerun()
    _draw(picture, paused, ended(picture) - known)


def ended(picture: Picture) -> int:
    """How many trials are over."""
    return sum(c.state != "running" for c in picture.snapshot.candidates)


def follow(picture: Picture) -> None:
    """Draw this page again at every epoch that is reported, until another page is opened."""
    st.session_state.followed = picture.pulse


def _draw(picture: Picture, paused: bool, new: int) -> None:
    now, standing = time.time(), picture.standing
    word = standing.word(now)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(word, color=COLOURS[word])
        if paused:
            st.badge(f"paused, {new} new" if new else "paused", color="orange")
        st.markdown(line(standing, now), width="stretch")
        st.toggle("Pause refresh", value=paused, key="paused")
    if picture.late is not None:
        since = words.ago(picture.late, now)
        st.warning(f"The storage {picture.fault}: showing data from {since}. It is tried again by itself.")
    if word == "silent" and standing.news is not None:
        st.warning(
            f"The last news came {words.ago(standing.news, now)}, much longer ago than a student takes. The search was "
            f"stopped or has died: {CONTINUES}"
        )
    if word == "stopped" and standing.stopped is not None:
        st.info(f"The search was stopped {words.ago(standing.stopped, now)}: {CONTINUES}")
    training = [c for c in picture.snapshot.candidates if c.state == "running"]
    if training:
        each = [f"{words.named(c)} ({words.epoch(c)})" for c in training[:MOST]]
        st.markdown(f"In training: {words.listed(each)}.")
    _unread(picture.snapshot)


def _unread(snapshot: Snapshot) -> None:
    strange = snapshot.unreadable()
    if strange:
        first = strange[0]
        st.warning(
            f"{words.plural(len(strange), 'trial')} cannot be read and {'is' if len(strange) == 1 else 'are'} left "
            f"out; trial {first.trial}: {words.escaped(first.reason)}."
        )


def study_name(names: list[str]) -> str:
    """The study that is shown; a choice where the storage has several.

    It is stored in the session, so that a study which comes later does not take its place.
    """
    asked = st.session_state.get("at_study")
    if len(names) == 1:
        if asked not in (None, names[0]):
            st.warning(f"This storage has no study {words.escaped(asked)}: showing `{names[0]}`, the only one.")
        state.put("study", names[0])
        st.session_state.several = False
        return names[0]
    if asked is not None and asked not in names:
        st.warning(f"This storage has no study {words.escaped(asked)}: showing the newest one.")
    chosen = asked if asked in names else names[0]
    state.put("study", chosen)
    st.session_state.several = True
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
