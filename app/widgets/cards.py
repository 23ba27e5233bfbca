"""Beside the chart: the best students that fit, and what one of them offers."""

from collections.abc import Callable, Sequence

import streamlit as st

from app import confirmed, source, state, words
from app.charts.front_chart import Scene
from app.widgets import downloads, panel
from search import cli
from search.read import published as paper
from search.read import tradeoffs
from search.read.budget import Broken
from search.read.candidates import Candidate, Snapshot
from search.read.tradeoffs import Axis, Exchange, accuracy, on_axis

BEST = 5
ONE_SEED = "1 seed"
CARD_AXES: tuple[Axis, ...] = ("parameters", "multiply-adds", "size", "memory")


def best_that_fit(snapshot: Snapshot, rows: Sequence[Candidate], scene: Scene, choose: Callable[[int], None]) -> None:
    """Five rows to choose from, and the card of the chosen or the best one."""
    found = confirmed.best(rows, scene.confirmation, state.budget(), BEST)
    st.header("Best that fit" if state.limited() else "Most accurate", anchor=False)
    if found:
        st.markdown("Select a row, or click a point of the chart.")
        _rows(found, scene, choose)
    else:
        _miss(rows)
    chosen = scene.chosen or (found[0] if found else None)
    if chosen is not None:
        _card(snapshot, chosen, scene)


def _rows(found: Sequence[Candidate], scene: Scene, choose: Callable[[int], None]) -> None:
    trials = [c.trial for c in found]
    chosen = scene.chosen.trial if scene.chosen else None
    # Streamlit knows a table by its key, not by its rows: with other students in it, it needs another key.
    key = f"best_rows {trials} {chosen}"
    ticked = [trials.index(chosen)] if chosen in trials else []

    def selected() -> None:
        picked = st.session_state[key].selection.rows
        if picked and picked[0] < len(trials):
            choose(trials[picked[0]])

    cost_title = {"parameters": "params", "multiply-adds": "mult-adds"}.get(scene.axis, scene.axis)
    st.dataframe(
        [
            {
                "student": str(c.trial) + (f" {c.name}" if c.name else ""),
                "accuracy": confirmed.with_interval(c, scene.confirmation, scene.ties),
                **({"search said": _searched(c, scene)} if any(map(scene.confirmed, found)) else {}),
                cost_title: words.cost(on_axis(c, scene.axis), scene.axis),
            }
            for c in found
        ],
        hide_index=True,
        on_select=selected,
        selection_mode="single-row",
        selection_default={"selection": {"rows": ticked}},
        key=key,
        alt=f"The {len(found)} most accurate students within the budget.",
    )


def _miss(rows: Sequence[Candidate]) -> None:
    """Nothing fits: the nearest student, the limits that it breaks, and buttons that loosen them."""
    misses = tradeoffs.near_misses(rows, state.budget())
    if not misses:
        return
    nearest, *_ = (f"{words.named(c)} ({words.percent(accuracy(c))}): {words.limits(limits)}" for c, limits in misses)
    others = [f"{words.named(c)} ({words.percent(accuracy(c))}): {words.limits(limits)}" for c, limits in misses[1:]]
    text = f"No student is within the budget. The nearest is {nearest}."
    st.warning(text + "".join(f" On the other side, {other}." for other in others))
    for c, limits in misses:
        loosened = {limit.limit: limit.value for limit in limits if limit.value is not None}
        if loosened:
            label = words.listed([relaxing(limit) for limit in limits if limit.value is not None])
            st.button(label, on_click=panel.relax, args=(loosened,), key=f"relax_{c.trial}")


def relaxing(limit: Broken) -> str:
    """The button that loosens a limit."""
    assert limit.value is not None
    verb = "Accept" if limit.limit == "min_accuracy" else "Allow"
    return f"{verb} {words.allowed(limit.limit, limit.value)} {words.LIMITS[limit.limit]}"


def _card(snapshot: Snapshot, c: Candidate, scene: Scene) -> None:
    with st.container(border=True, key="card"):
        st.markdown(f"**{words.named(c)}**")
        with st.container(horizontal=True):  # above the numbers: they are on the first screen at 900 pixels
            if st.button("Open", key="open"):
                state.put("trial", c.trial)
                st.switch_page("screens/student.py", query_params=state.query())
            compare_button(c)
            downloads.button(snapshot, c)
        if c.outcome is None:
            st.markdown(without(c))
        else:
            for lines in paragraphs(snapshot, c, scene):
                st.markdown("  \n".join(lines))


def without(c: Candidate) -> str:
    """Why a student has no accuracy."""
    if c.stopped_at is not None:
        return words.stopped(c)
    word = {"running": "It is in training", "infeasible": "It is over the study's limits"}.get(c.state)
    word = word or ("It has no result" if c.state == "complete" else f"It is {c.state}")
    return f"{word}: {words.escaped(c.reason)}" if c.reason else f"{word}: there is no accuracy."


def compare_button(c: Candidate) -> None:
    """The button that adds the student to the comparison."""
    together = c.trial in state.compared()
    if st.button("Compared" if together else "Compare", disabled=together, key="add"):
        state.compare([*state.compared(), c.trial])
        st.rerun()


def paragraphs(snapshot: Snapshot, c: Candidate, scene: Scene) -> list[list[str]]:
    """A student's card, paragraph by paragraph: what it is, what it breaks, what the next ones give."""
    between = confirmed.between(c, scene.confirmation, scene.ties)
    accurate = f"**{confirmed.percent(c, scene.confirmation)}**{between}"
    lines = [f"{accurate} validation accuracy ({runs(snapshot, c, scene)})"]
    for axis in CARD_AXES:
        of = "of " if axis in ("size", "memory") else ""
        beside = words.beside(snapshot.teacher.get(tradeoffs.TEACHERS[axis]), on_axis(c, axis))
        if axis != CARD_AXES[0]:  # said once
            beside = beside.removesuffix(" than the teacher").replace("the same as the teacher", "the same")
        lines.append(f"{words.cost(on_axis(c, axis), axis)} {of}{_noun(axis)}{f', {beside}' if beside else ''}")
    if c.timing is not None:
        lines.append(f"{words.milliseconds(c.timing.p50_ms)} for one image (p90 {words.milliseconds(c.timing.p90_ms)})")
    limits = [f"**Over:** {words.limit(b)}" for b in tradeoffs.verdict(c, state.budget())]
    down, up = tradeoffs.steps(c, scene.front, scene.axis)
    by = tradeoffs.beaten(c, scene.front, scene.axis)
    tied = {step.to: _tied(c, step, scene) for step in (by, up, down) if step}
    next_ones = [rate(by, "**Beaten**", scene.axis, "by ", tied[by.to])] if by else []
    next_ones += [rate(up, "**Next more accurate**", scene.axis, tied=tied[up.to])] if up else []
    next_ones += [rate(down, "**Next cheaper**", scene.axis, tied=tied[down.to])] if down else []
    published = paper.nearest(c, str(snapshot.definition.get("data", {}).get("name", "")))
    rivals = [against(c, published)] if published else []
    return [p for p in (lines, sureness(snapshot, c, scene), limits, next_ones, rivals) if p]


def runs(snapshot: Snapshot, c: Candidate, scene: Scene) -> str:
    """Which runs a student's accuracy is from, and how far it can be trusted."""
    found, student = scene.confirmation, scene.confirmed(c)
    if found is not None and student is not None:
        return f"{confirmed.seeds(found, student)}; {confirmed.said(student)}"
    trained = [other.state for other in snapshot.candidates].count("complete")
    text = f"one run, chosen as the best of {trained:,}: optimistic" if c.on_front and trained > 1 else "one run"
    several = noise(c, snapshot.candidates)
    return text if several == ONE_SEED else f"{text}; {several}"


def sureness(snapshot: Snapshot, c: Candidate, scene: Scene) -> list[str]:
    """Which cheaper student a confirmed one ties with; for one of the front that was not confirmed, the command."""
    found, student = scene.confirmation, scene.confirmed(c)
    if found is not None and student is not None:
        tie = confirmed.tie(found, student)
        return [f"It {tie}"] if tie else []
    if c.trial in scene.awaited:
        return ["Its runs with fresh seeds are still to come"]
    if not c.on_front:
        return []
    confirm = cli.command_for(snapshot.study, source.runs(), source.url(), "confirm")
    return [f"Confirm it with fresh seeds: `{confirm}`"]  # st.code would fetch 1.5 MB of highlighter for this line


def _searched(c: Candidate, scene: Scene) -> str:
    student = scene.confirmed(c)
    return words.percent(student.search_accuracy) if student else ""


def noise(c: Candidate, candidates: Sequence[Candidate]) -> str:
    """How reliable the accuracy is: its range over seeds, where there are several."""
    found = [accuracy(other) for other in tradeoffs.replicates(c, candidates)]
    if len(found) < 2:
        return ONE_SEED
    return f"{len(found)} seeds: {words.percent(min(found))} to {words.percent(max(found))}"


def rate(step: Exchange, word: str, axis: Axis, by: str = "", tied: bool = False) -> str:
    """An exchange rate: what another student on the front gives, and costs. A gain that may be chance is a tie."""
    gain = f"a tie ({words.points(step.gain)} may be chance)" if tied else words.points(step.gain)
    return f"{word} ({by}student {step.to}): {gain} for {words.times(step.factor)} the {_noun(axis)}"


def _tied(c: Candidate, step: Exchange, scene: Scene) -> bool:
    """Whether the two students of an exchange cannot be told apart."""
    other = next((o for o in scene.front if o.trial == step.to), None)
    return scene.ties is not None and other is not None and scene.ties.tied(c, other)[0]


def against(c: Candidate, published: paper.Published) -> str:
    """A student beside the paper's nearest net; accuracies were measured on different images."""
    difference = accuracy(c) - published.test_accuracy
    word = "above" if difference >= 0 else "below"
    share = c.cost.weights / published.params
    return (
        f"{words.points(abs(difference)).lstrip('+')} {word} the paper's {published.name} (its test accuracy "
        f"{words.percent(published.test_accuracy)}), with {words.times(share)} its parameters"
    )


def _noun(axis: Axis) -> str:
    return {
        "size": "weights",
        "int8 size": "int8 weights",
        "memory": "activations",
        "int8 memory": "int8 activations",
    }.get(axis, axis)
