"""The dashboard: five pages over a study's results. Run it as `python -m app`."""

import streamlit as st

PAGES = (
    ("tradeoffs", "Trade-offs"),
    ("student", "Student"),
    ("compare", "Compare"),
    ("matters", "What matters"),
    ("progress", "Progress"),
)
chosen = st.navigation(
    [st.Page(f"screens/{file}.py", title=title, default=file == "tradeoffs") for file, title in PAGES], position="top"
)
st.set_page_config(page_title=f"{chosen.title} · FitNet Search", page_icon="🔎", layout="wide")
chosen.run()
