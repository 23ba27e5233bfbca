"""A table under a chart, made only when the reader opens it."""

from collections.abc import Callable
from typing import Any

import streamlit as st


def folded(label: str, key: str, rows: Callable[[], list[dict[str, Any]]], alt: str) -> None:
    """A table in an expander; while it is closed, `rows` is not called."""
    opened = st.expander(label, key=key, on_change="rerun")
    if opened.open:
        with opened:
            st.dataframe(rows(), hide_index=True, height="auto", alt=alt)
