"""The status line under the title: it refreshes itself, and redraws the page when the study has something new."""

import time
from collections.abc import Sequence
from typing import Literal

import streamlit as st

from app import source, state, words
from app.source import Picture
from fitnets.errors import InputError
from search.read import progress
from search.read.candidates import Advice, Snapshot
from search.read.progress import TRAINED, Standing
from search.units import format_duration

REFRESH_SECONDS = 4.0  # seconds between reads of the storage
CONTINUES = "the command that started it, given again, continues it."
ADVICE: dict[Advice, str] = {
    "said": "",
    "again": f" {CONTINUES.capitalize()}",
    "change": " Change that first: the command that started it, given again, would otherwise end in the same way.",
}
MOST_NAMED = 8  # students in training
ALIVE = ("running", "empty", "finished")  # words of a study whose driver did not end before its end
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


def counts_line(standing: Standing, now: float, left: float | None = None) -> str:
    """How many students are in which state, how fresh that is, and the seconds that are left."""
    counts, word = standing.counts, standing.word(now)
    done = sum(counts.get(state, 0) for state in TRAINED)
    whole = standing.wanted is not None and word != "finished"
    parts = [f"**{done:,}** of {standing.wanted:,}"] if whole else []
    parts += [f"**{counts.get('complete', 0):,}** trained"]
    names = STATES if word in ALIVE else STATES | {"running": "in training when it ended"}
    parts += [f"**{counts[state]:,}** {text}" for state, text in names.items() if counts.get(state)]
    parts += [f"about {format_duration(left)} left"] if left and word == "running" else []
    parts += [f"last result {words.ago(standing.result, now)}"] if standing.result else []
    return " · ".join(parts)


def is_alive(picture: Picture) -> bool:
    """Whether the search goes on, as far as can be seen: what is stored as running is in training."""
    return picture.standing.word(time.time()) in ALIVE


def others_came(names: Sequence[str]) -> bool:
    """Whether the storage has other studies now than those that the page offers."""
    return source.names() != list(names)


@st.fragment(run_every=REFRESH_SECONDS, key="live")
def header(name: str, version: int, ended_trials: int, names: Sequence[str]) -> None:
    """The status line. Every few seconds it reads the storage, and draws the page again when something has changed.

    `version`, `ended_trials`: of the picture that the page shows; `names`: the studies that it offers.
    """
    paused = bool(st.session_state.get("paused"))
    try:
        picture = source.picture(name)
        others = others_came(names)
    except InputError:
        st.rerun()
    if others:
        st.rerun()
    followed = st.session_state.get("followed")
    if not paused and (picture.version != version or followed not in (None, picture.reports_version)):
        st.rerun()
    _draw(picture, paused, ended(picture) - ended_trials)


def ended(picture: Picture) -> int:
    """How many trials have ended."""
    return sum(c.state != "running" for c in picture.snapshot.candidates)


def follow(picture: Picture) -> None:
    """Draw this page again at every epoch that is reported, until another page is opened."""
    st.session_state.followed = picture.reports_version


def _draw(picture: Picture, paused: bool, new_trials: int) -> None:
    now, standing = time.time(), picture.standing
    word = standing.word(now)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(word, color=COLOURS[word])
        if paused:
            st.badge(f"paused, {new_trials} new" if new_trials else "paused", color="orange")
        pace = progress.pace(picture.snapshot) if word == "running" else None
        st.markdown(counts_line(standing, now, pace.seconds_left if pace else None), width="stretch")
        st.toggle("Pause refresh", value=paused, key="paused")
    if picture.stale_since is not None:
        since = words.ago(picture.stale_since, now)
        st.warning(f"The storage {picture.fault}: showing data from {since}. This page retries by itself.")
    if word == "silent" and standing.news is not None:
        st.warning(
            f"Nothing has been reported for {format_duration(now - standing.news)}, much longer than "
            f"{_usual(picture)} takes. The search was stopped or has died: {CONTINUES}"
        )
    _ended(picture, word, now)
    _teaching(picture, word)
    _confirming(picture, now)
    training = [c for c in picture.snapshot.candidates if c.state == "running"]
    if training and word in ALIVE:
        each = [f"{words.named(c)} ({words.epoch(c)})" for c in training[:MOST_NAMED]]
        st.markdown(f"In training: {words.listed(each)}.")
    _unread(picture.snapshot)


def _usual(picture: Picture) -> str:
    """What is reported next while all goes well."""
    if picture.standing.counts:
        return "a student"
    return "an epoch of the teacher" if picture.snapshot.teaching is not None else "a teacher's first epoch usually"


def _ended(picture: Picture, word: str, now: float) -> None:
    """Why the search ended before its end, and what to do, where the reason does not say it."""
    standing, reason = picture.standing, picture.snapshot.reason
    if word in ALIVE:
        return
    when = f" {words.ago(standing.stopped, now)}" if standing.stopped is not None else ""
    if reason is not None:
        advice = ADVICE[picture.snapshot.advice]
        st.error(f"The search stopped{when}: {words.escaped(reason.rstrip('.'))}.{advice}")
    elif word == "stopped" and when:
        st.info(f"The search was stopped{when}: {CONTINUES}")


def _teaching(picture: Picture, word: str) -> None:
    """How far the teacher's own training is; nothing once it is trained."""
    last = picture.snapshot.teaching
    if "val_accuracy" in picture.snapshot.teacher or word not in ALIVE:
        return
    if last is None:
        st.markdown("The teacher is trained first; its epochs appear here.")
        return
    reached = f", {words.percent(last.val_accuracy)} so far" if last.val_accuracy is not None else ""
    left = format_duration(last.seconds * (last.epochs - last.epoch))
    st.markdown(f"The teacher is in training: epoch **{last.epoch}** of {last.epochs}{reached}, about {left} left.")


def _confirming(picture: Picture, now: float) -> None:
    """How far the runs with fresh seeds are, until all have ended."""
    fresh = picture.fresh
    if fresh is None or fresh.ended >= fresh.wanted:
        return
    word = fresh.standing.word(now)
    if word in ("running", "empty"):
        st.markdown(f"Confirming: **{fresh.ended}** of {words.plural(fresh.wanted, 'run')} with fresh seeds.")
    else:
        st.info(
            f"The confirmation was stopped after {fresh.ended} of {words.plural(fresh.wanted, 'run')} with fresh "
            f"seeds: {CONTINUES}"
        )


def _unread(snapshot: Snapshot) -> None:
    unread = snapshot.unreadable()
    if unread:
        first = unread[0]
        st.warning(
            f"{words.plural(len(unread), 'trial')} cannot be read and {'is' if len(unread) == 1 else 'are'} left "
            f"out; trial {first.trial}: {words.escaped(first.reason)}."
        )


def study_name(names: list[str]) -> str:
    """The study that is shown; a choice where the storage has several.

    It is stored in the session, so that a study which is added later does not replace it.
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
