"""The dashboard: five pages over a study's results. Run it as `python -m app`."""

import streamlit as st

st.set_page_config(page_title="FitNet Search", page_icon="🔎", layout="wide", initial_sidebar_state="auto")
PAGES = [
    st.Page("screens/tradeoffs.py", title="Trade-offs", default=True),
    st.Page("screens/student.py", title="Student"),
    st.Page("screens/compare.py", title="Compare"),
    st.Page("screens/matters.py", title="What matters"),
    st.Page("screens/progress.py", title="Progress"),
]
st.navigation(PAGES, position="top").run()
