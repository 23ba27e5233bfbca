"""The pages, their tests and their benchmarks use only the public API of Streamlit and Plotly."""

import ast
import re
from pathlib import Path

from tests.helpers import ROOT

PRIVATE = re.compile(r"\b_full(Layout|Data)\b|data-testid|stLayoutWrapper|st-emotion|streamlit\.runtime|gc\.freeze")
FILES = [path for folder in ("app", "tests/app") for path in sorted((ROOT / folder).rglob("*.py"))]
BENCHMARKS = [ROOT / "bench/dashboard" / name for name in ("browser.py", "pages.py", "live.py")]


def private(text: str) -> list[str]:
    """Names that are private to a library, in Python and in the CSS and JavaScript within it."""
    attributes = [
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
        and re.match(r"_[a-z]", node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ]
    return attributes + [match[0] for match in PRIVATE.finditer(text)]


def test_a_private_name_is_seen() -> None:
    assert private("chart._legend = 'g._fullLayout'") == ["_legend", "_fullLayout"]
    assert private("self._mine = st.session_state.w_mine") == []


def test_the_app_and_its_tests_use_no_private_names() -> None:
    found = {
        str(path.relative_to(ROOT)): private(path.read_text())
        for path in [*FILES, *BENCHMARKS]
        if path != Path(__file__)
    }
    assert len(found) > 30
    assert {name: names for name, names in found.items() if names} == {}


def test_styles_and_scripts_for_elements_of_the_page_are_in_two_files() -> None:
    styled = [path.name for path in FILES if path.is_relative_to(ROOT / "app") and "st-key-" in path.read_text()]
    assert styled == ["style.py", "zoom.py"]
