"""The budget panel: limits, presets, and the axis that charts are drawn against."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import streamlit as st

from app import source, state, words
from search.read import tradeoffs
from search.read.candidates import Candidate, Snapshot
from search.read.published import Published
from search.read.tradeoffs import AXES, Axis, on_axis
from search.ship import latencies
from search.ship.devices import DEVICES
from search.units import format_number, rounded_down

UNITS = {"max_params": 1e3, "max_macs": 1e6, "max_size_kb": 1.0}
UNITS |= {"max_int8_size": 1e3, "max_memory": 1e3, "max_int8_memory": 1e3, "max_latency_ms": 1.0, "min_accuracy": 0.01}
LABELS = {
    "max_params": "Parameters, thousands at most",
    "max_macs": "Multiply-adds, millions at most",
    "max_size_kb": "Size of the weights, kB at most",
    "max_int8_size": "Size of the int8 weights, kB at most",
    "max_memory": "Peak memory, float32, kB at most",
    "max_int8_memory": "Peak memory, int8, kB at most",
    "max_latency_ms": "Latency, milliseconds at most",
    "min_accuracy": "Validation accuracy, % at least",
}
OF_AXIS: dict[str, Axis] = {
    "max_params": "parameters",
    "max_macs": "multiply-adds",
    "max_size_kb": "size",
    "max_int8_size": "int8 size",
    "max_memory": "memory",
    "max_int8_memory": "int8 memory",
    "max_latency_ms": "latency",
}
LEAST = 1e-9
Preset = dict[str, float | None]


def draw(snapshot: Snapshot, rows: Sequence[Candidate], paper: Sequence[Published]) -> None:
    """The panel, in the sidebar."""
    with st.sidebar:
        st.header("Deployment budget", anchor=False)
        axes = tradeoffs.axes(rows)
        _axis(axes)
        offers = presets(snapshot, paper)
        st.selectbox(
            "Preset",
            list(offers),
            index=None,
            placeholder="choose a preset",
            key="w_preset",
            on_change=_preset,
            args=(offers,),
        )
        _source()
        for name in UNITS:
            if OF_AXIS.get(name, AXES[0]) in axes:
                _field(name, rows)
        st.button("Clear the budget", on_click=_clear, width="stretch")
        _latency(snapshot, rows)


def _source() -> None:
    """Where the limits of the chosen device are from."""
    chosen = next((d for d in DEVICES.values() if d.title == st.session_state.get("w_preset")), None)
    if chosen is not None:
        part = " Your program and its runtime need part of it: tighten both limits." if chosen.ram else ""
        st.markdown(f"Source: {chosen.source}.{part}")


def _latency(snapshot: Snapshot, rows: Sequence[Candidate]) -> None:
    """Whose latencies these are, and how to get more."""
    timed = tradeoffs.measured(rows, "latency")
    if timed:
        times = [c.timing for c in timed if c.timing is not None]
        newest = max(times, key=lambda timing: timing.date)
        busiest = max(timing.load for timing in times)
        st.markdown(
            f"Latency: {len(timed):,} of {words.plural(len(rows), 'student')}, on {words.escaped(newest.device)}, "
            f"{newest.date[:10]}, load {busiest:.1f} at most. Time more, or on another machine:"
        )
        others = [d for d in latencies.devices(source.runs(), snapshot.study) if d != newest.device]
        if others:
            st.markdown(f"Each student's page has those of {words.escaped(words.listed(others))} beside it.")
    else:
        st.markdown(
            "Latency belongs to a device, so no search stores it. To see it here, time the front while nothing trains:"
        )
    command = latencies.command(snapshot.study, source.runs(), source.url())
    st.markdown(f"`{command}`")  # st.code would fetch 1.5 MB of highlighter for this line


def presets(snapshot: Snapshot, paper: Sequence[Published]) -> dict[str, Preset]:
    """Budgets by name."""
    offers: dict[str, Preset] = {device.title: {**device.limits()} for device in DEVICES.values()}
    teacher = snapshot.teacher
    if isinstance(teacher.get("params"), int) and isinstance(teacher.get("macs"), int):
        for factor in (10, 30):
            smaller = {"max_params": max(1, teacher["params"] // factor), "max_macs": max(1, teacher["macs"] // factor)}
            offers[f"{factor} times smaller than the teacher"] = {**smaller}
    for p in paper:
        if p.role == "fitnet":
            # The paper's numbers are rounded, and without biases: the net itself must fit.
            params, macs = max(p.params, p.counted.params), max(p.macs or 0, p.counted.macs)
            offers[f"as the paper's {p.name}"] = {"max_params": params, "max_macs": macs}
    return offers


def _axis(axes: list[Axis]) -> None:
    index = axes.index(state.axis())
    st.selectbox("Cost to draw", axes, index=index, key="w_axis", on_change=_copy("axis", "w_axis"))


def _field(name: str, rows: Sequence[Candidate]) -> None:
    value = state.get(name)
    key = f"w_{name}"
    shown = None if value is None else in_unit(name, value)
    if key not in st.session_state or st.session_state.get(f"{key}_set") != value:
        st.session_state[key] = shown
        st.session_state[f"{key}_set"] = value
    st.number_input(
        LABELS[name],
        min_value=0.0 if name == "min_accuracy" else LEAST,  # a typed 0 is refused: the empty field is no limit
        max_value=100.0 if name == "min_accuracy" else 1e12,
        value=shown,  # see state.hold
        step=0.1 if name == "max_latency_ms" else 1.0,
        format="%.2f" if name == "min_accuracy" else "%.6g",
        placeholder=_range(name, rows),
        key=key,
        on_change=_enter,
        args=(name,),
    )


def in_unit(name: str, value: float, digits: int = 6) -> float:
    """A limit in its field's unit: rounded up, an accuracy down, so that it admits what it admitted."""
    exact = Decimal(str(value)) / Decimal(str(UNITS[name]))
    return rounded_down(exact, 2) if name == "min_accuracy" else float(format_number(exact, digits))


def _range(name: str, rows: Sequence[Candidate]) -> str:
    """The range over the students, in the field's unit: the placeholder of the empty field."""
    if not rows:
        return "no limit"
    axis = OF_AXIS.get(name)
    if axis is None:
        found = [c.outcome.val_accuracy for c in rows if c.outcome]
    else:
        known = tradeoffs.measured(rows, axis)
        found = [on_axis(c, axis) / (1000 if name == "max_size_kb" else 1) for c in known]
    low, high = (in_unit(name, value, 3) for value in (min(found), max(found)))
    return f"found {low:g} to {high:g}"


def _enter(name: str) -> None:
    typed = st.session_state[f"w_{name}"]
    value = None if typed is None else entered(name, typed)
    state.put(name, value)
    st.session_state[f"w_{name}_set"] = value
    st.session_state.w_preset = None  # the fields no longer hold what it names


def entered(name: str, typed: float) -> float:
    """The limit that a number in its field means."""
    # 57 x 0.01 is 0.5700000000000001: without rounding a student at exactly 57 % would not fit
    value = float(f"{typed * UNITS[name]:.9g}")
    if name in state.WHOLE:
        return max(1, round(value))
    return value if name == "min_accuracy" else max(LEAST, value)


def _clear() -> None:
    for name in UNITS:
        state.put(name, None)
    st.session_state.w_preset = None


def _preset(offers: dict[str, Preset]) -> None:
    chosen = st.session_state.w_preset
    if chosen is not None:
        for name in UNITS:
            state.put(name, offers[chosen].get(name))


def _copy(name: str, key: str) -> Callable[[], None]:
    def copy() -> None:
        state.put(name, st.session_state[key])

    return copy


def relax(limits: dict[str, Any]) -> None:
    """Loosen limits to the given values."""
    for name, value in limits.items():
        state.put(name, value)
    st.session_state.w_preset = None
