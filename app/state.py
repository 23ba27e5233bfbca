"""What the visitor chose, in the session and in the address, so that a copied link shows the same."""

import math
import time
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import streamlit as st

from search.read.budget import FOOTPRINT, Budget
from search.read.tradeoffs import AXES, Axis

T = TypeVar("T")
Ends = tuple[float | None, float | None]
"""A range that the visitor chose. None: to the end, which may move when students arrive."""
MOST_COMPARED = 4
MOST = 10**15  # of a limit
SETTLED = 2.0  # seconds after which the browser shows the address that was sent to it
WHOLE = ("max_params", "max_macs", *FOOTPRINT, "trial")
SHARES = ("front", "near the front", "all")  # which students are drawn
LIMITS = ("max_params", "max_macs", "max_size_kb", *FOOTPRINT, "max_latency_ms", "min_accuracy")
NUMBERS = (*LIMITS, "trial")


def start() -> None:
    """Take the choices from the address: at the first run, and when the browser's Back has changed it since.

    Shortly after this app wrote an address, the browser may still report the one before it, so it is not taken then. An
    address that came from the browser is no such address: another Back may follow at once.
    """
    query = st.query_params.to_dict()
    if "published" in st.session_state:
        address, written = st.session_state.published
        if query == address or time.monotonic() - written < SETTLED:
            return
    for name in NUMBERS:
        value = _number(query.get(name), whole=name in WHOLE)
        valid = value is not None and (name == "trial" or 0 < value <= (1 if name == "min_accuracy" else MOST))
        st.session_state[f"at_{name}"] = value if valid else None
    asked = query.get("axis")
    st.session_state.at_axis = asked if asked in get_args(Axis) else AXES[0]
    st.session_state.at_share = query.get("share")
    st.session_state.at_device = query.get("device")
    st.session_state.at_study = query.get("study", st.session_state.get("at_study"))
    st.session_state.at_ranges = parsed_ranges(query.get("ranges", ""))
    named = [part.strip() for part in query.get("compare", "").split(",") if part.strip()]
    st.session_state.at_compare = [int(part) if part.isdecimal() else part for part in named][:MOST_COMPARED]


def query() -> dict[str, str]:
    """The choices as an address's parameters."""
    wanted = {name: str(get(name)) for name in NUMBERS if get(name) is not None}
    if axis() != AXES[0]:
        wanted["axis"] = axis()
    if share() != SHARES[-1]:
        wanted["share"] = share()
    if get("device"):
        wanted["device"] = get("device")
    if st.session_state.get("several"):  # a link to the only study needs no name
        wanted["study"] = st.session_state.at_study
    if ranges():
        wanted["ranges"] = ";".join(f"{name}:{_end(low)}:{_end(high)}" for name, (low, high) in ranges().items())
    if compared():
        wanted["compare"] = ",".join(map(str, compared()))
    return wanted


def publish() -> None:
    """Write the choices into the address, where it is another."""
    wanted = query()
    address, written = st.session_state.get("published", (None, -math.inf))
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
        written = written if address == wanted else time.monotonic()
    st.session_state.published = wanted, written


def get(name: str) -> Any:
    """One choice."""
    return st.session_state.get(f"at_{name}")


def put(name: str, value: Any) -> None:
    """Change one choice. A changed budget asks for its own answer: the student that was chosen is chosen no longer."""
    value = int(value) if value is not None and name in WHOLE else value
    if name in LIMITS and value != get(name):
        st.session_state.at_trial = None
    st.session_state[f"at_{name}"] = value


def hold(widget: str, value: T) -> T:
    """Set a widget's value in the session, and return it for the widget's own `value`, which must be the same.

    A widget that has this value is left alone, else it would jump back while it is dragged. A browser that still loads
    the widget's code when the page is drawn a second time ignores what was set through the session, and would show the
    widget's own `value`.
    """
    if widget not in st.session_state or st.session_state[widget] != value:
        st.session_state[widget] = value
    return value


def axis() -> Axis:
    """The cost that charts are drawn against."""
    chosen: Axis = st.session_state.get("at_axis", AXES[0])
    return chosen


def share() -> str:
    """Which students are drawn."""
    asked = st.session_state.get("at_share")
    return asked if asked in SHARES else SHARES[-1]


def restrict_axis(axes: Sequence[Axis]) -> None:
    """Choose the first of the axes where the chosen one is not among them: this study has no values for it."""
    if axis() not in axes:
        put("axis", axes[0])


def budget() -> Budget:
    """The deployment budget."""
    return Budget(**{name: get(name) for name in LIMITS})


def limited() -> bool:
    """Whether the budget has any limit."""
    return any(get(name) is not None for name in LIMITS)


def ranges() -> dict[str, Ends]:
    """The ranges of settings that the visitor narrowed, by the settings' names."""
    found: dict[str, Ends] = st.session_state.get("at_ranges", {})
    return found


def narrow(name: str, ends: Ends) -> None:
    """Narrow a setting to this range; without ends it is whole again."""
    rest = {other: kept for other, kept in ranges().items() if other != name}
    st.session_state.at_ranges = rest if ends == (None, None) else rest | {name: ends}


def widen() -> None:
    """Forget all ranges."""
    st.session_state.at_ranges = {}


def _end(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def parsed_ranges(text: str) -> dict[str, Ends]:
    """Ranges as an address holds them, `tau:2:4;first width::8`; what is none is left out."""
    found: dict[str, Ends] = {}
    for part in text.split(";"):
        name, *ends = part.split(":")
        numbers = [_number(end, whole=False) for end in ends]
        if len(numbers) == 2 and numbers != [None, None]:
            found[name.strip()] = (numbers[0], numbers[1])
    return found


def compared() -> list[int | str]:
    """What is compared: students by their trial numbers, the paper's nets by their names."""
    return list(st.session_state.get("at_compare", ()))


def compare(chosen: Sequence[int | str]) -> None:
    """Compare these; of more than four, the last four."""
    st.session_state.at_compare = list(dict.fromkeys(chosen))[-MOST_COMPARED:]


def _number(text: str | None, whole: bool) -> float | int | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    if value is None or not 0 <= value < 1e15:
        return None
    return int(value) if whole else value
