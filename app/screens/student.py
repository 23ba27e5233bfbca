"""Page 2, Student: what is it, how was it trained, where are its files?"""

from typing import Any, Literal

import streamlit as st

from app import confirmed, page, source, state, words
from app.charts import figures, palette, student_chart
from app.source import Picture
from app.widgets import against, cards, downloads, fresh, live, per_class, timings, training
from fitnets.errors import InputError
from search.read import layers, tradeoffs
from search.read.candidates import Candidate, Snapshot
from search.read.tradeoffs import accuracy
from search.ship import test_reads
from search.units import format_bytes, format_count

COLOURS: dict[str, Literal["green", "orange", "violet"]] = {
    "complete": "green",
    "failed": "orange",
    "pruned": "violet",
}


def main() -> None:
    """The page."""
    picture = page.opened()
    snapshot = picture.snapshot
    chosen = _chosen(picture)
    if chosen is None:
        return
    state.publish()
    if chosen.state == "running" and live.is_alive(picture):
        live.follow(picture)
    readings = test_reads.readings(source.runs(), snapshot.study)
    st.header(words.named(chosen), anchor=False)
    _badges(picture, chosen)
    _numbers(picture, chosen, readings)
    if chosen.state == "failed" or (chosen.reason and chosen.outcome is None):
        st.error(f"Why there is no result: {words.escaped(chosen.reason or 'no reason was recorded')}")
        _log(snapshot, chosen)
    if chosen.stopped_at is not None:
        st.info(words.stopped(chosen))
    if chosen.same_as is not None:
        st.info(f"The same recipe as student {chosen.same_as}: it was not trained again, and shares its outcome.")
    fresh.section(picture, chosen)
    _architecture(snapshot, chosen)
    training.section(snapshot, chosen)
    per_class.section(snapshot, chosen)
    against.section(snapshot, chosen, readings, picture.confirmation)
    downloads.section(snapshot, chosen)


def _chosen(picture: Picture) -> Candidate | None:
    """The student that the address or a click names; the most accurate one where none does."""
    snapshot = picture.snapshot
    known = {c.trial: c for c in snapshot.candidates}
    asked = state.get("trial")
    if asked is not None and asked not in known:
        unread = next((u for u in snapshot.unread if u.trial == asked), None)
        if unread is not None:
            st.warning(f"Trial {asked} has nothing to show: {words.escaped(unread.reason)}.")
        else:
            numbers = f"{min(known)} to {max(known)}" if known else "none yet"
            st.warning(f"There is no trial {asked} in this study (its trials: {numbers}): showing another student.")
    if not known:
        st.info("The study has no student yet: the first one appears here once the teacher is trained.")
        return None
    chosen = known.get(asked) if asked is not None else None
    if chosen is None:
        chosen = known[_unasked(picture)]
    st.number_input(
        "Student number",
        min_value=0,
        max_value=max(known),
        value=state.hold("w_trial", chosen.trial),
        step=1,
        key="w_trial",
        on_change=_enter,
        width=200,
    )
    return chosen


def _unasked(picture: Picture) -> int:
    """The best student within the budget. While that stays, a better one that comes later does not replace it.

    It is not written into the address, from where the browser's Back could not leave the page.
    """
    key = (picture.snapshot.study, state.budget())
    shown = st.session_state.get("shown")
    if shown is None or shown[0] != key:
        best = confirmed.best(picture.students, picture.confirmation, state.budget(), 1)
        first = (best or picture.trained or picture.snapshot.candidates)[0].trial
        st.session_state.shown = shown = (key, first)
    return int(shown[1])


def _enter() -> None:
    state.put("trial", st.session_state.w_trial)


def _badges(picture: Picture, c: Candidate) -> None:
    snapshot, found = picture.snapshot, picture.confirmation
    student = found.of(c.trial) if found else None
    shown = next((other for other in picture.students if other.trial == c.trial), c) if student else c
    with st.container(horizontal=True, vertical_alignment="center"):
        orphan = c.state == "running" and not live.is_alive(picture)
        st.badge("interrupted" if orphan else words.state(c.state), color=COLOURS.get(c.state, "blue"))
        if c.trial in {other.trial for other in picture.front(state.axis())}:
            kind = "confirmed front" if student else "front"
            st.badge(f"on the {kind} of accuracy and {state.axis()}", color="blue")
        if c.outcome is not None:
            limits = tradeoffs.verdict(shown, state.budget())
            if state.limited() and not limits:
                st.badge("fits the budget", color="green")
            for limit in limits:
                st.badge(words.limit(limit), color="orange")
            runs = confirmed.seeds(found, student) if found and student else cards.noise(c, snapshot.candidates)
            st.badge(runs, color="gray")
        if c.attempts > 1:
            st.badge(f"started {c.attempts} times", color="gray")
        cards.compare_button(c)


def _log(snapshot: Snapshot, c: Candidate) -> None:
    """The last lines that the trial wrote before it failed."""
    try:
        log = source.log(snapshot.study, c)
    except InputError as error:
        st.info(f"Its log cannot be read just now: {error}")
        return
    if log.strip():
        st.markdown("The last lines of its log:")
        st.code(log, language=None, wrap_lines=True)


def _numbers(picture: Picture, c: Candidate, readings: dict[str, dict[str, Any]]) -> None:
    """The student's numbers, each with what the teacher has."""
    snapshot, teacher = picture.snapshot, picture.snapshot.teacher
    found = picture.confirmation
    student = found.of(c.trial) if found else None
    cells: list[tuple[str, str, str]] = []
    if c.outcome is not None:
        theirs, mine = teacher.get("val_accuracy"), student.mean if student else accuracy(c)
        below = words.points(mine - theirs) + " to the teacher" if theirs else ""
        if found and student:
            below += f"{'; ' if below else ''}{confirmed.seeds(found, student)}; {confirmed.said(student)}"
        shown = confirmed.with_interval(c, found, picture.ties)
        cells.append(("Validation accuracy", shown, below))
        reading = readings.get(c.outcome.weights_sha256)
        if reading and isinstance(reading.get("accuracy"), float):
            cells.append(("Test accuracy", words.percent(reading["accuracy"]), f"read {str(reading.get('date'))[:10]}"))
    elif c.state == "running":
        cells.append(("In training" if live.is_alive(picture) else "Interrupted", words.epoch(c), ""))
    need = c.footprint
    for label, mine, as_text, name in (
        ("Parameters", c.cost.params, format_count, "params"),
        ("Multiply-adds", c.cost.macs, format_count, "macs"),
        ("Weights, float32", c.cost.weight_bytes, format_bytes, "weight_bytes"),
        ("Activations, peak", need.memory, format_bytes, "peak_activation_bytes"),
    ):
        cells.append((label, as_text(mine), words.beside(teacher.get(name), mine)))
    cells.append(("Weights, int8", format_bytes(need.int8_size), "with scales and biases, before any export"))
    cells.append(("Activations, peak, int8", format_bytes(need.int8_memory), ""))
    card = downloads.card(snapshot.study, c)
    timed = card["latency"] if card else c.timing.model_dump() if c.timing else None
    if timed:
        text = f"p90 {words.milliseconds(timed['p90_ms'])}; batch 1, {timed['threads']} thread, {timed['device']}"
        cells.append(("Latency, p50", words.milliseconds(timed["p50_ms"]), text))
    with st.container(horizontal=True, key="numbers"):
        for label, value, below in cells:
            with st.container(width=190, gap=None):
                st.markdown(f"{label}  \n**{value}**")
                if below:
                    st.markdown(f":small[{below}]")
    timings.table(snapshot.study, c)


def _architecture(snapshot: Snapshot, c: Candidate) -> None:
    st.header("Layers", anchor=False)
    student, teacher = layers.student(c.recipe), layers.teacher(snapshot, c.recipe)
    st.markdown(
        "The student below its teacher, layer by layer: channels, and the map's size after pooling. "
        + (
            f"In stage 1 the guided layer learns, through a regressor ({layers.regressor(c.recipe)}), to predict the "
            "hint layer; then the regressor is dropped."
            if c.recipe.hint
            else "This student was trained without hints."
        )
    )
    st.plotly_chart(
        student_chart.anatomy(student, teacher, palette.current()),
        key="anatomy",
        theme=None,
        config=figures.STILL,
        alt=student_chart.anatomy_alt(student, teacher),
    )
    st.dataframe(
        [
            {
                "layer": x.number,
                "kind": x.kind,
                "what": x.text,
                "output": "x".join(map(str, x.shape)),
                "parameters": x.params,
                "share of parameters": 100 * x.params_share,
                "multiply-adds": x.macs,
                "share of multiply-adds": 100 * x.macs_share,
                "role": x.role or "",
            }
            for x in student
        ],
        hide_index=True,
        height="content",
        column_config={
            "share of parameters": _share(),
            "share of multiply-adds": _share(),
        },
        alt="The student's layers with their parameters and multiply-adds.",
    )


def _share() -> Any:
    return st.column_config.ProgressColumn(min_value=0.0, max_value=100.0, format="%.1f%%")


if __name__ == "__main__":
    main()
