"""What every page begins with: the study's title and status, or a sentence about why there is nothing to see."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import answer, source, state, words
from app.source import Picture
from app.widgets import live
from fitnets.errors import InputError
from search.read import tradeoffs
from search.storage.address import shown
from search.storage.faults import StorageBusy, StorageEmpty, StorageMissing, StorageUnreadable, StudyMissing

PAGES = {
    "screens/tradeoffs.py": "Trade-offs",
    "screens/student.py": "Student",
    "screens/compare.py": "Compare",
    "screens/matters.py": "What matters",
    "screens/progress.py": "Progress",
}


def opened() -> Picture:
    """The study to draw, after its title and status are drawn. Where there is none, explains why and stops the page."""
    state.start()
    links = st.container(horizontal=True, key="pages", gap="small")
    try:
        names = source.names()
    except InputError as error:
        _explain(error)
    if not names:
        _explain(StorageEmpty(f"the storage {shown(source.url())} has no study yet."))
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
        _explain(error)
    state.restrict_axis(tradeoffs.axes(picture.trained))
    with st.container(key="answer"):
        st.markdown(answer.sentence(picture, state.axis(), state.budget()))
    live.header(name, picture.version, live.ended(picture), tuple(names))
    if images := picture.snapshot.images_line():
        st.caption(words.escaped(images.replace("`", "")))
    state.publish()
    _links(links)
    return picture


def _links(place: DeltaGenerator) -> None:
    """The pages' links, with what was chosen, so that the browser's Back returns to it."""
    with place:
        for file, title in PAGES.items():
            st.page_link(file, label=title, query_params=state.query())


def _explain(error: InputError) -> None:
    """Explain what is missing and how to get it; try again every few seconds, and stop this run of the page."""
    st.title("FitNet Search", anchor=False)
    text = str(error)
    st.info(text[0].upper() + text[1:])
    if isinstance(error, StorageBusy | StorageUnreadable):
        st.markdown("This page tries again every few seconds.")
    else:
        if isinstance(error, StudyMissing) and not isinstance(error, StorageMissing):
            st.markdown(
                "If a search was just started, it reads its images first; it appears here before its teacher is "
                "trained."
            )
        st.markdown("A study starts with one command; this page shows it as soon as it exists:")
        st.code(source.first_command(), language="bash")
    _retry()
    st.stop()


@st.fragment(run_every=live.REFRESH_SECONDS, key="again")
def _retry() -> None:
    """Draw the page again once there is something to draw."""
    try:
        found = source.names()
    except InputError:
        return
    if found and st.session_state.get("seen_empty"):
        st.session_state.seen_empty = False
        st.rerun()
    st.session_state.seen_empty = True
