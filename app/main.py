"""The dashboard: five pages over a study's results. Run it as `python -m app`."""

import streamlit as st

from app.page import PAGES

chosen = st.navigation(
    [st.Page(file, title=title, default=number == 0) for number, (file, title) in enumerate(PAGES.items())],
    position="hidden",  # `app.page` draws the links, which keep the address's choices and are there on a phone too
)
st.set_page_config(page_title=f"{chosen.title} · FitNet Search", page_icon="🔎", layout="wide")
chosen.run()
