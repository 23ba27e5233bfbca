"""A table under a chart, made when it is opened."""

from collections.abc import Callable
from typing import Any

import streamlit as st


def folded(label: str, key: str, rows: Callable[[], list[dict[str, Any]]], alt: str) -> None:
    """The rows behind a heading: closed, they cost nothing."""
    opened = st.expander(label, key=key, on_change="rerun")
    if opened.open:
        with opened:
            st.dataframe(rows(), hide_index=True, height="auto", alt=alt)
