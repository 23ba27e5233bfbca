"""What the visitor chose: kept in the session and in the address, so that a copied link shows the same."""

from collections.abc import Sequence
from typing import Any, get_args

import streamlit as st

from search.budget import Budget
from search.tradeoffs import AXES, Axis

COMPARED = 4
WHOLE = ("max_params", "max_macs", "trial")
LIMITS = ("max_params", "max_macs", "max_size_kb", "max_latency_ms", "min_accuracy")
NUMBERS = (*LIMITS, "trial")


def start() -> None:
    """Take what the address says, once for each visit."""
    if "visited" in st.session_state:
        return
    st.session_state.visited = True
    query = st.query_params
    for name in NUMBERS:
        value = _number(query.get(name), whole=name in WHOLE)
        valid = value is not None and (name == "trial" or 0 < value <= (1 if name == "min_accuracy" else 1e15))
        st.session_state[f"at_{name}"] = value if valid else None
    asked = query.get("axis")
    st.session_state.at_axis = asked if asked in get_args(Axis) else AXES[0]
    st.session_state.at_study = query.get("study")
    named = [part.strip() for part in query.get("compare", "").split(",") if part.strip()]
    st.session_state.at_compare = [int(part) if part.isdecimal() else part for part in named][:COMPARED]


def publish() -> None:
    """Write the choices into the address."""
    wanted = {name: str(get(name)) for name in NUMBERS if get(name) is not None}
    if axis() != AXES[0]:
        wanted["axis"] = axis()
    if st.session_state.get("several"):  # a link to the only study needs no name
        wanted["study"] = st.session_state.at_study
    if compared():
        wanted["compare"] = ",".join(map(str, compared()))
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def get(name: str) -> Any:
    """One choice."""
    return st.session_state.get(f"at_{name}")


def put(name: str, value: Any) -> None:
    """Change one choice."""
    st.session_state[f"at_{name}"] = int(value) if value is not None and name in WHOLE else value


def axis() -> Axis:
    """The cost that charts are drawn against."""
    chosen: Axis = st.session_state.get("at_axis", AXES[0])
    return chosen


def offer(axes: Sequence[Axis]) -> None:
    """Leave an axis that this study has no values for."""
    if axis() not in axes:
        put("axis", axes[0])


def budget() -> Budget:
    """The deployment budget."""
    return Budget(**{name: get(name) for name in LIMITS})


def limited() -> bool:
    """Whether the budget has any limit."""
    return any(get(name) is not None for name in LIMITS)


def compared() -> list[int | str]:
    """What is laid side by side: students by their trial, the paper's nets by their name."""
    return list(st.session_state.get("at_compare", ()))


def compare(chosen: Sequence[int | str]) -> None:
    """Lay these side by side, four at most: the newest stay."""
    st.session_state.at_compare = list(dict.fromkeys(chosen))[-COMPARED:]


def _number(text: str | None, whole: bool) -> float | int | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    if value is None or not 0 <= value < 1e15:
        return None
    return int(value) if whole else value
