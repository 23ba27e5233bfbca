"""Page 1, Trade-offs: how accurate can a student be, and at what cost?"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import answer, confirmed, page, state, words
from app.charts import figures, front_chart, palette, paper_marks
from app.charts.front_chart import Scene
from app.source import Picture
from app.state import SHARES
from app.widgets import cards, nothing, panel, style, zoom
from search.read import influence, tradeoffs
from search.read import published as paper
from search.read.budget import Broken, Budget
from search.read.candidates import Candidate, as_csv
from search.read.tradeoffs import Axis
from search.ship.confirmed import columns
from search.units import format_stages, rounded_up

BESIDE = 340  # pixels for the table and the card beside the chart
FEW = 5  # with fewer students there is no front line and no knee


def main() -> None:
    """The page."""
    picture = page.opened()
    snapshot = picture.snapshot
    trained = picture.trained
    published = paper.published(str(snapshot.definition.get("data", {}).get("name", "")))
    rows = tradeoffs.measured(picture.students, state.axis())
    if not rows:
        panel.draw(snapshot, trained, published)
        nothing.yet(picture)
        return
    scene = _scene(picture, rows, published)
    st.html(style.TABLE_FIRST)
    with st.container(key="budget_hint"):
        st.markdown("To change the budget, open the panel with the arrows at the top left.")
    with st.container(key="board", horizontal=True, gap="medium"):
        beside, main_part = st.container(width=BESIDE), st.container()
    # Sent first, so that the browser fetches what draws charts before what draws tables, wherever they stand.
    with main_part:
        _chart(scene, rows, picture)
    with beside:
        cards.best_that_fit(snapshot, rows, scene, _choose)
    panel.draw(snapshot, trained, published)
    every = st.expander("All trained students as a table, and as CSV", key="w_table", on_change="rerun")
    if every.open:  # made on demand: five thousand rows are half a megabyte for every visitor
        with every:
            _table(rows, scene, trained)


def _scene(picture: Picture, rows: list[Candidate], published: Sequence[paper.Published]) -> Scene:
    snapshot, axis, budget = picture.snapshot, state.axis(), state.budget()
    what_fits = answer.found(picture, axis, budget)
    front = what_fits.front
    asked = state.get("trial")
    candidates = (*picture.students, *snapshot.candidates) if asked is not None else ()
    chosen = next((c for c in candidates if c.trial == asked), None)
    lines = [*front, *what_fits.beyond]
    names = {c.trial for c in lines}
    share = state.share()
    others = [c for c in rows if c.trial not in names]
    if share == "front":
        others = []
    elif share == "near the front":
        near = {c.trial for c in tradeoffs.near_front(rows, axis)}
        others = [c for c in others if c.trial in near]
    others = influence.within(others, state.ranges())
    if not st.session_state.get("w_every"):
        found = picture.confirmation
        keep = [*lines, *([chosen] if chosen else []), *(c for c in others if found and found.of(c.trial))]
        drawn = tradeoffs.sampled([*lines, *others], keep, axis, front=None if found else picture.front(axis))
        others = [c for c in drawn if c.trial not in names]
    broken: dict[int, list[Broken]] = {}
    if state.limited():
        broken = {c.trial: tradeoffs.verdict(c, budget) for c in [*lines, *others]}
    teacher = snapshot.teacher
    its_cost = teacher.get(tradeoffs.TEACHERS.get(axis, ""))
    return Scene(
        axis=axis,
        study=snapshot.study,
        front=front if len(rows) >= FEW else (),
        beyond=what_fits.beyond if len(rows) >= FEW else (),
        best=what_fits.best,
        ties=picture.ties,
        up_to_teacher=bool(st.session_state.get("w_teacher")),
        cloud=others if len(rows) >= FEW else rows,
        running=tradeoffs.measured([c for c in snapshot.candidates if c.state == "running"], axis),
        broken=broken,
        limit=_limit(axis),
        floor=budget.min_accuracy,
        chosen=chosen,
        knee=tradeoffs.knee_of(front, axis) if len(rows) >= FEW else None,
        teacher=(teacher["val_accuracy"], its_cost) if "val_accuracy" in teacher else None,
        paper=published,
        confirmation=picture.confirmation,
        awaited=picture.fresh.awaited if picture.fresh else frozenset(),
    )


def _limit(axis: Axis) -> float | None:
    budget = state.budget()
    size = None if budget.max_size_kb is None else 1000 * budget.max_size_kb
    limits = {
        "parameters": budget.max_params,
        "multiply-adds": budget.max_macs,
        "size": size,
        "int8 size": budget.max_int8_size,
        "memory": budget.max_memory,
        "int8 memory": budget.max_int8_memory,
        "latency": budget.max_latency_ms,
    }
    return limits.get(axis)


def _chart(scene: Scene, rows: Sequence[Candidate], picture: Picture) -> None:
    st.header(f"Accuracy against {scene.axis}", anchor=False)
    st.markdown(_above(scene, picture))
    figure = front_chart.figure(scene, palette.current())
    zoomed = zoom.restore(figure, "front_chart")
    st.plotly_chart(
        figure,
        key="front_chart",
        theme=None,
        on_select=_point,
        selection_mode="points",
        config=figures.CONFIG,
        alt=finding(scene, rows),
    )
    zoom.watch("front_chart")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        value = state.hold("w_share", state.share())
        st.segmented_control("Students drawn", SHARES, default=value, required=True, key="w_share", on_change=_share)
        if scene.teacher is not None and scene.teacher[1]:
            st.toggle("Up to the teacher's cost", key="w_teacher")
        drawn = len(scene.front) + len(scene.beyond) + len(scene.cloud)
        if len(rows) > tradeoffs.DRAWN:
            st.toggle(f"Draw every student (now {drawn:,} of {len(rows):,})", key="w_every")
        if state.ranges():
            st.button("Widen all ranges", on_click=state.widen)
        if zoomed:
            st.button("Show the whole", on_click=zoom.forget, args=("front_chart",))
    st.markdown(_below(scene, rows, picture))


def _above(scene: Scene, picture: Picture) -> str:
    """What the line and the hollow points are."""
    limits = "breaks a limit of the budget, which its label names."
    found = scene.confirmation
    if found is None:
        return (
            "Up and to the left is better. The line joins the students that none beats in both; a hollow point "
            f"{limits}"
        )
    runs = words.plural(found.seeds, "run")
    left = f", so far {picture.fresh.ended} of {picture.fresh.wanted} runs" if picture.fresh and found.missing else ""
    line = (
        "The line joins the confirmed students that none of them beats in both"
        if any(map(scene.confirmed, scene.front))
        else "The line joins the students that none beats in both; none on this axis is confirmed"
    )
    return (
        f"Up and to the left is better. {line}. A confirmed student stands at the mean of {runs} with fresh seeds"
        f"{left}, with its 95% interval; a thin line joins it to the small hollow point, what the search's own run "
        f"said. A hollow grey point {limits}"
    )


def _below(scene: Scene, rows: Sequence[Candidate], picture: Picture) -> str:
    """What the legend does not explain."""
    sentences = []
    bottom, _ = front_chart.accuracy_range(scene)
    below = sum(100 * tradeoffs.accuracy(c) < bottom for c in rows)
    if below:
        sentences.append(
            f"{words.plural(below, 'student')} {'lies' if below == 1 else 'lie'} below the chart: zoom out."
        )
    if scene.knee is not None:
        sentences.append(
            "The star marks the best balance: of what fits, the student furthest above the straight line between the "
            "front's ends (cost on its logarithm). It is a hint, never chosen for you."
        )
    if scene.confirmation is not None:
        sentences.append(confirmed.chance(scene.confirmation))
        sentences.append(confirmed.not_confirmed(scene.confirmation, picture.snapshot.front()))
    if scene.paper:
        sentences.append(
            f"Diamonds are the paper's nets ({labels(scene)}), at the cost that it reports. Their accuracies are on "
            "test images, ours on validation images: compare them with care."
        )
    if state.ranges():
        named = words.listed([words.escaped(name) for name in state.ranges()])
        sentences.append(
            f"Students outside the ranges of {named}, narrowed on What matters, are left out of the points beside the "
            "front; the front, the tables and the answer are of all students, as `search.pick` takes them."
        )
    if len(rows) < FEW:
        sentences.append(
            f"With {words.plural(len(rows), 'trained student')} there is no front to draw yet: {FEW} are needed."
        )
    return " ".join(filter(None, sentences))


def labels(scene: Scene) -> str:
    """What the diamonds' labels stand for."""
    return ", ".join(f"{paper_marks.short(p)}: {p.name}" for p in scene.paper)


def finding(scene: Scene, rows: Sequence[Candidate]) -> str:
    """The chart in words, for those who cannot see it."""
    found = scene.confirmation
    top = confirmed.best(rows, found, Budget(), 1)[0] if found else max(rows, key=tradeoffs.accuracy)
    fits = " of what fits" if state.limited() else ""
    text = f"{words.plural(len(scene.front), 'student')} of {len(rows):,} on the front{fits} against {scene.axis}. "
    text += f"Best of all: {words.title(top)} with {confirmed.percent(top, found)}"
    text += f" at {words.cost(tradeoffs.on_axis(top, scene.axis), scene.axis)}. "
    if state.limited():
        best = next(iter(confirmed.best(rows, found, state.budget(), 1)), None)
        text += (
            f"Best within the budget: {words.title(best)} with {confirmed.percent(best, found)}."
            if best
            else "None is within the budget."
        )
    return text


def _share() -> None:
    state.put("share", st.session_state.w_share)


def _point() -> None:
    """A click on a point chooses that student; a click beside one leaves the choice alone."""
    points = st.session_state.front_chart.selection.points
    trials = [p["customdata"][0] for p in points if p.get("customdata")]
    if trials:
        state.put("trial", int(trials[0]))


def _choose(trial: int) -> None:
    state.put("trial", trial)


def _table(rows: Sequence[Candidate], scene: Scene, trained: Sequence[Candidate]) -> None:
    """`rows`: confirmed students at their means; `trained`: all of them at the search's accuracies."""
    found = scene.confirmation
    said = {c.trial: tradeoffs.accuracy(c) for c in trained}
    front = {c.trial for c in scene.front}  # of accuracy and the cost that is drawn
    table = [
        {
            "trial": c.trial,
            **confirmed.columns(c, found, said[c.trial], scene.ties),
            "parameters": c.cost.params,
            "multiply-adds": c.cost.macs,
            "weights kB": rounded_up(c.cost.weight_bytes / 1000, 1),
            "memory kB": rounded_up(c.footprint.memory / 1000, 1),
            **({"latency ms": rounded_up(c.timing.p50_ms, 4)} if c.timing else {}),
            "layers": c.recipe.student.depth,
            "widths": format_stages(c.recipe.student.stages),
            "on the front": c.trial in front,
            "limits broken": "; ".join(words.limit(b) for b in tradeoffs.verdict(c, state.budget())),
        }
        for c in rows
    ]
    drawn = {c.trial for c in rows}
    stored = [c for c in trained if c.trial in drawn]
    st.dataframe(table, hide_index=True, height=320, alt=f"All {len(table)} trained students.")
    st.download_button(
        "CSV of these students",
        data=lambda: as_csv([_as_row(c, scene) for c in stored]).encode(),
        file_name="students.csv",
        mime="text/csv",
        on_click="ignore",
        key="csv",
    )


def _as_row(c: Candidate, scene: Scene) -> dict[str, Any]:
    """What `search.results --format csv` writes of a student; nothing of fresh runs where there are none."""
    sure = scene.ties.columns(c) if scene.ties else {}
    return c.row() | sure | (columns(scene.confirmation, c.trial) if scene.confirmation else {})


if __name__ == "__main__":
    main()
