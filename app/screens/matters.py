"""Page 4, What matters: what made the good students good?"""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st

from app import page, state, words
from app.charts import figures, palette, search_chart
from app.source import Picture
from app.widgets import picked, style, tables
from fitnets.values.base import sha256
from search.read import influence, tradeoffs
from search.read.candidates import Candidate
from search.read.influence import Setting
from search.read.tradeoffs import Axis, accuracy

GROUPS = ("all", "top 10%", "near the front")
MOST_AXES = 9


class _Known(NamedTuple):
    """What follows from a set of students and an axis."""

    front: Sequence[Candidate]
    settings: Sequence[Setting]
    importances: influence.Importances | None


class _Shown(NamedTuple):
    """The students that the scatter charts show, and which of them get a point."""

    rows: Sequence[Candidate]
    drawn: set[int]


def main() -> None:
    """The page."""
    picture = page.opened()
    rows = list(picture.trained)
    if len(rows) < influence.FEWEST:
        st.info(
            f"At least {influence.FEWEST} trained students are needed to see what matters; so far there "
            f"{'is' if len(rows) == 1 else 'are'} {len(rows)}."
        )
        return
    group = st.segmented_control("Students", GROUPS, default=GROUPS[0], required=True, key="w_group")
    chosen = _group(rows, group or GROUPS[0])
    known = _known(sha256(",".join([state.axis(), *map(_identity, chosen)])), chosen, state.axis())
    left_in = influence.within(chosen, state.ranges())
    _parallel(chosen, known)
    picked.selected(picture)
    if not left_in:
        return
    shown = _Shown(left_in, _sampled(left_in, known.front if len(left_in) == len(chosen) else None))
    left, right = st.columns(2, gap="medium")
    with left:
        _importance(known.importances, len(chosen))
    with right:
        _position(picture, shown)
    left, right = st.columns(2, gap="medium")
    with left:
        _against(picture, shown, "tau", "How soft the teacher's probabilities are: tau")
    with right:
        _against(picture, shown, "lambda start", "How much the teacher's probabilities count: lambda at the start")


def _group(rows: list[Candidate], group: str) -> list[Candidate]:
    rows = tradeoffs.measured(rows, state.axis())
    if group == "top 10%":
        return rows[: max(2, math.ceil(len(rows) / 10))]
    return tradeoffs.near_front(rows, state.axis()) if group == "near the front" else rows


def _identity(c: Candidate) -> str:
    return f"{c.trial} {tradeoffs.on_axis(c, state.axis())} {c.outcome.weights_sha256 if c.outcome else ''}"


@st.cache_resource(max_entries=32, show_spinner=False)
def _known(students: str, _rows: Sequence[Candidate], _axis: Axis) -> _Known:
    """Computed once for each set of students and axis, for all visitors."""
    front = tradeoffs.front_on(_rows, _axis)
    return _Known(front, influence.settings(_rows), influence.importances(_rows, _axis, front))


def _parallel(rows: list[Candidate], known: _Known) -> None:
    st.header("All settings at once", anchor=False)
    st.markdown(
        "Each line is a student, coloured by its accuracy. What the sliders exclude is faint here, and left out of the "
        "scatter charts below and of the points beside the front on Trade-offs. Answer, fronts, tables of students and "
        "importances are of all students, as `search.pick` takes them. Settings in which no student differs are left "
        "out."
    )
    settings = _most_important(known.settings, known.importances)
    if not settings:
        st.info("These students do not differ in any setting.")
        return
    ranges = _sliders(settings)
    if state.ranges():
        st.button("Widen all ranges", on_click=state.widen)
    drawn = tradeoffs.sampled(rows, [], state.axis(), search_chart.DRAWN, known.front)
    axes = [seen for s in settings if (seen := influence.setting(drawn, s.name)) is not None]
    left = influence.inside(rows, ranges)
    best = max(left, key=accuracy, default=None)
    text = f"**{len(left):,} of {len(rows):,}** students lie within the sliders"
    text += (
        f"; the best is {words.named(best)} with {words.percent(accuracy(best))}, their mean is "
        f"{words.percent(sum(map(accuracy, left)) / len(left))}."
        if best
        else ": widen one."
    )
    if len(drawn) < len(rows):
        text += f" {len(drawn):,} are drawn: those near the front, and a sample of the others."
    st.markdown(text)
    st.html(style.WIDE)
    with st.container(key="wide"):
        st.plotly_chart(
            search_chart.parallel(axes, drawn, ranges, palette.current()),
            key="parallel",
            theme=None,
            config=figures.STILL | {"plotGlPixelRatio": 1},  # of 2, a browser without a GPU takes twice as long
            alt=re.sub(r"[*\\]", "", text),
        )
        tables.folded(
            "These students as a table", "w_inside", lambda: _table(left), f"{len(left)} students within the sliders."
        )


def _most_important(settings: Sequence[Setting], found: influence.Importances | None) -> Sequence[Setting]:
    """At most MOST_AXES settings, the most important ones and the costs, in the recipe's order."""
    if len(settings) <= MOST_AXES or found is None:
        return settings[:MOST_AXES]
    first = {*influence.COSTS, *list(found.shares)[: MOST_AXES - len(influence.COSTS)]}
    return [s for s in settings if s.name in first]


def _sliders(settings: Sequence[Setting]) -> dict[str, tuple[float, float]]:
    """A range slider for each setting, for the keyboard too; the ranges that were narrowed."""
    ranges: dict[str, tuple[float, float]] = {}
    columns = st.columns(3, gap="medium")
    for i, setting in enumerate(settings):
        values = sorted({v for v in setting.values if v is not None})
        steps = values if len(values) <= 40 else [values[round(i * (len(values) - 1) / 40)] for i in range(41)]
        steps = list({words.plain(v): v for v in steps}.values())  # Streamlit identifies them by their formatted text
        chosen = state.ranges().get(setting.name, (None, None))
        key = f"w_range {setting.name}"
        low, high = snapped(chosen, steps)
        with columns[i % 3]:
            st.select_slider(
                setting.name,
                options=steps,
                value=state.hold(key, (low, high)),
                format_func=words.plain,
                key=key,
                on_change=_narrow,
                args=(setting.name, steps[0], steps[-1]),
            )
        if (low, high) != (steps[0], steps[-1]):
            ranges[setting.name] = (
                values[0] if low == steps[0] else low,
                values[-1] if high == steps[-1] else high,
            )
    return ranges


def _narrow(name: str, first: float, last: float) -> None:
    """Store the chosen range apart from the slider: Streamlit makes a new one whenever a student brings a new value."""
    low, high = st.session_state[f"w_range {name}"]
    state.narrow(name, (None if low == first else low, None if high == last else high))


def snapped(chosen: state.Ends, steps: Sequence[float]) -> tuple[float, float]:
    """The steps nearest to a chosen range."""
    low, high = chosen
    return (
        steps[0] if low is None else min(steps, key=lambda step: abs(step - low)),
        steps[-1] if high is None else min(steps, key=lambda step: abs(step - high)),
    )


def _table(rows: Sequence[Candidate]) -> list[dict[str, Any]]:
    found = influence.settings(rows)
    table: list[dict[str, Any]] = []
    for i, c in enumerate(rows):
        table.append({"student": c.trial, "accuracy %": round(100 * accuracy(c), 2)})
        table[-1].update({s.name: s.values[i] for s in found})
    return table


def _importance(found: influence.Importances | None, count: int) -> None:
    st.header("How much each setting matters", anchor=False)
    if found is None:
        st.info(f"That needs {influence.FEWEST} students that differ; there are {count}.")
        return
    st.markdown(
        f"At equal cost: what sets the tenth nearest to the front of accuracy and {state.axis()} apart from the rest "
        f"(PED-ANOVA), from {words.plural(found.count, 'student')}. Costs are no settings: they follow from them."
        + ("" if found.count >= influence.ENOUGH else f" **Unreliable: fewer than {influence.ENOUGH}.**")
    )
    text = ", ".join(f"{name} {share:.0%}" for name, share in found.shares.items())
    st.plotly_chart(
        search_chart.importances(found, palette.current()),
        key="importances_chart",
        theme=None,
        config=figures.STILL,
        alt=f"Importance at equal cost, from {found.count} students: {text}.",
    )
    with st.expander("As a table"):
        rows = [{"setting": name, "share %": round(100 * share, 1)} for name, share in found.shares.items()]
        st.dataframe(rows, hide_index=True, alt="Importances.")


def _position(picture: Picture, shown: _Shown) -> None:
    st.header("Where the hint goes in", anchor=False)
    points = [(share, c) for c in shown.rows if (share := influence.guided_share(c)) is not None]
    without = [c for c in shown.rows if c.recipe.hint is None]
    if not points:
        st.info("None of these students was trained with hints.")
        return
    text = f"The guided layer's place among the convolutions against accuracy, {words.plural(len(points), 'student')}."
    if without:
        mean = sum(map(accuracy, without)) / len(without)
        text += f" {words.plural(len(without), 'student')} without hints: {words.percent(mean)} on average."
    _scatter(picture, shown, points, "guided layer / convolutions", False, text, "position")


def _against(picture: Picture, shown: _Shown, name: str, title: str) -> None:
    st.header(title, anchor=False)
    setting = influence.setting(shown.rows, name)
    if setting is None:
        st.info(f"{name} is the same in all of these students.")
        return
    points = [(v, c) for v, c in zip(setting.values, shown.rows, strict=True) if v is not None]
    _scatter(picture, shown, points, name, setting.log, f"{words.plural(len(points), 'student')}.", f"against {name}")


def _sampled(rows: Sequence[Candidate], front: Sequence[Candidate] | None = None) -> set[int]:
    return {c.trial for c in tradeoffs.sampled(rows, [], state.axis(), front=front)}


def _scatter(
    picture: Picture,
    shown: _Shown,
    points: Sequence[tuple[float, Candidate]],
    title: str,
    log: bool,
    text: str,
    key: str,
) -> None:
    st.markdown(text)
    drawn = shown.drawn if len(points) == len(shown.rows) else _sampled([c for _, c in points])
    front = {c.trial for c in picture.front(state.axis())}
    best = max(points, key=lambda point: accuracy(point[1]))
    picked.chart(
        search_chart.scatter(
            [point for point in points if point[1].trial in drawn], title, log, palette.current(), front
        ),
        key,
        alt=f"Accuracy against {title}: the best, {words.percent(accuracy(best[1]))}, is at {words.plain(best[0])}.",
    )
    tables.folded(
        "As a table",
        f"w_table {key}",
        lambda: [{"student": c.trial, title: x, "accuracy %": round(100 * accuracy(c), 2)} for x, c in points],
        f"{words.plural(len(points), 'student')} with their {title}.",
    )


if __name__ == "__main__":
    main()
