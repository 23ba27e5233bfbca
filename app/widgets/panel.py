"""The budget panel: limits, presets, and the axis that charts are drawn against."""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import streamlit as st

from app import source, state, words
from fitnets.errors import InputError
from search import cli
from search.read import tradeoffs
from search.read.budget import FOOTPRINT
from search.read.candidates import Candidate, Snapshot
from search.read.published import Published
from search.read.tradeoffs import AXES, Axis, on_axis
from search.ship import latencies
from search.ship.devices import DEVICES
from search.units import (
    parse_accuracy,
    parse_bytes,
    parse_count,
    parse_number,
    typed_accuracy,
    typed_bytes,
    typed_count,
)

LABELS = {
    "max_params": "Parameters, at most",
    "max_macs": "Multiply-adds, at most",
    "max_size_kb": "Size of the file, at most",
    "max_int8_size": "Size of the int8 weights, at most",
    "max_memory": "Peak memory, float32, at most",
    "max_int8_memory": "Peak memory, int8, at most",
    "max_latency_ms": "Latency, at most",
    "min_accuracy": "Validation accuracy, at least",
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
Preset = dict[str, float | None]


def draw(snapshot: Snapshot, rows: Sequence[Candidate], paper: Sequence[Published]) -> None:
    """The panel, in the sidebar."""
    with st.sidebar:
        st.header("Deployment budget", anchor=False)
        axes = tradeoffs.axes(rows)
        _axis(axes)
        _device(snapshot.study)
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
        for name in LABELS:
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
    command = cli.command_for(snapshot.study, source.runs(), source.url(), "latency")
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


def _device(study: str) -> None:
    """Whose timings are the latency axis and meet its limit; nothing where a single device timed."""
    devices = source.devices(study)
    if len(devices) < 2:
        return
    st.selectbox(
        "Latency on",
        devices,
        index=devices.index(state.hold("w_device", source.device(study) or devices[-1])),
        key="w_device",
        on_change=_copy("device", "w_device"),
    )


def _field(name: str, rows: Sequence[Candidate]) -> None:
    """A limit, written as for a command: 250k, 64KiB. A text that is none stays, with its error; the limit holds on."""
    value, key = state.get(name), f"w_{name}"
    shown = "" if value is None else typed(name, value)
    if key not in st.session_state or st.session_state.get(f"{key}_set") != value:
        st.session_state[key] = shown
        st.session_state[f"{key}_set"] = value
        st.session_state.pop(f"{key}_wrong", None)
    st.text_input(
        LABELS[name],
        value=shown,  # see state.hold
        placeholder=_range(name, rows),
        key=key,
        on_change=_enter,
        args=(name,),
    )
    if wrong := st.session_state.get(f"{key}_wrong"):
        holds = f"{shown} still holds" if shown else "there is still no limit"
        st.error(f"{words.escaped(wrong)} Until then, {holds}.")


def typed(name: str, value: float) -> str:
    """A limit as it is typed; a float32 size to the next byte."""
    if name == "max_latency_ms":
        return words.milliseconds_exactly(value)
    if name == "min_accuracy":
        return typed_accuracy(value)
    if name in FOOTPRINT or name == "max_size_kb":
        return typed_bytes(math.ceil(Decimal(str(value)) * (1000 if name == "max_size_kb" else 1)))
    return typed_count(int(value))


def entered(name: str, text: str) -> float | None:
    """The limit that a text in its field means; None of an empty one.

    Raises InputError, which names the field, the text and the rule.
    """
    given, field = text.strip() or None, LABELS[name]
    if name == "min_accuracy":
        return parse_accuracy(given, field)
    if name == "max_latency_ms":
        return parse_number(given, field, "ms")
    value = parse_count(given, field) if name in ("max_params", "max_macs") else parse_bytes(given, field)
    if value is not None and value > state.MOST:
        raise InputError(f"`{field}` is `{text}`, but a limit is at most {typed_count(state.MOST)}: leave it empty.")
    return value / 1000 if value is not None and name == "max_size_kb" else value


def _range(name: str, rows: Sequence[Candidate]) -> str:
    """The range over the students, as it is typed: the placeholder of the empty field."""
    if not rows:
        return "no limit"
    axis = OF_AXIS.get(name)
    if axis is None:
        found = [c.outcome.val_accuracy for c in rows if c.outcome]
        low, high = (words.percent(value) for value in (min(found), max(found)))
    else:
        costs = [on_axis(c, axis) for c in tradeoffs.measured(rows, axis)]
        if name == "max_size_kb":
            costs = [tradeoffs.limited_bytes(c) for c in rows]
        low, high = (words.cost(value, axis).replace("bytes", "B") for value in (min(costs), max(costs)))
    return f"found {low} to {high}"


def _enter(name: str) -> None:
    key = f"w_{name}"
    try:
        value = entered(name, st.session_state[key])
    except InputError as error:
        st.session_state[f"{key}_wrong"] = str(error)
        return
    st.session_state.pop(f"{key}_wrong", None)
    state.put(name, value)
    st.session_state[f"{key}_set"] = state.get(name)
    st.session_state.w_preset = None  # the fields no longer hold what it names


def _fill(limits: Mapping[str, float | None]) -> None:
    """Set limits, and drop what was typed into any field and is none."""
    for name, value in limits.items():
        state.put(name, value)
    for name in LABELS:
        st.session_state.pop(f"w_{name}", None)


def _clear() -> None:
    _fill(dict.fromkeys(LABELS))
    st.session_state.w_preset = None


def _preset(offers: dict[str, Preset]) -> None:
    chosen = st.session_state.w_preset
    if chosen is not None:
        _fill({name: offers[chosen].get(name) for name in LABELS})


def _copy(name: str, key: str) -> Callable[[], None]:
    def copy() -> None:
        state.put(name, st.session_state[key])

    return copy


def relax(limits: Mapping[str, float]) -> None:
    """Loosen limits to the given values."""
    _fill(limits)
    st.session_state.w_preset = None
