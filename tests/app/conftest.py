"""Fixtures of the tests of the pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.app.pages import MAIN, Opened


@pytest.fixture
def fresh() -> Iterator[None]:
    """Clears what other tests cached: readers, pictures, exports."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies.db"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> Opened:
    """Opens a page of the app and runs it once; keywords are the address's parameters."""
    monkeypatch.setenv("FITNET_RUNS", str(tmp_path))
    monkeypatch.delenv("FITNET_STORAGE", raising=False)

    def open_page(page: str = "tradeoffs", **query: str) -> AppTest:
        at = AppTest.from_file(str(MAIN), default_timeout=60)
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
        if page != "tradeoffs":
            at.switch_page(f"screens/{page}.py").run()
        assert not at.exception, at.exception[0].message
        return at

    return open_page
