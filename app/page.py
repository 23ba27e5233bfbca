"""What every page begins with: the study's title and status, or a sentence about why there is nothing to see."""

import sqlalchemy.exc
import streamlit as st

from app import source, state, words
from app.source import Picture
from app.widgets import live
from fitnets.errors import InputError
from search.read import tradeoffs
from search.storage.address import shown
from search.storage.faults import StorageBusy, StorageEmpty, StorageMissing, StorageUnreadable, StudyMissing


def opened() -> Picture:
    """The study to draw, under its title and status. Where there is none, explains why and stops the page."""
    state.start()
    try:
        names = source.names()
    except InputError as error:
        _nothing(error)
    if not names:
        _nothing(StorageEmpty(f"the storage {shown(source.url())} has no study yet."))
    st.session_state.followed = None
    name = live.study_name(names)
    st.title(words.escaped(name), anchor=False)
    try:
        if source.is_cold(name):
            counts = source.quick_counts(name)
            listed = ", ".join(f"{number:,} {word}" for word, number in counts.items())
            with st.spinner(f"Reading {sum(counts.values()):,} trials ({listed or 'none yet'}) ..."):
                picture = source.picture(name)
        else:
            picture = source.picture(name)
    except InputError as error:
        _nothing(error)
    live.header(name, picture.version, live.ended(picture))
    state.offer(tradeoffs.axes(picture.trained))
    state.publish()
    return picture


def _nothing(error: InputError) -> None:
    """State what is missing and how to get it, and try again every few seconds."""
    st.title("FitNet Search", anchor=False)
    text = str(error)
    st.info(text[0].upper() + text[1:])
    if isinstance(error, StorageBusy | StorageUnreadable):
        st.markdown("It is tried again every few seconds.")
    else:
        if isinstance(error, StudyMissing) and not isinstance(error, StorageMissing):
            st.markdown(
                "If a search was just started, it is training its teacher; its students appear here after that."
            )
        st.markdown("A study starts with one command; this page shows it as soon as it exists:")
        st.code(source.first_command(), language="bash")
    _again()
    st.stop()


@st.fragment(run_every=live.EVERY, key="again")
def _again() -> None:
    """Draw the page once there is something to draw."""
    try:
        found = source.names()
    except (InputError, sqlalchemy.exc.SQLAlchemyError):
        return
    if found and st.session_state.get("seen_empty"):
        st.session_state.seen_empty = False
        st.rerun()
    st.session_state.seen_empty = True
