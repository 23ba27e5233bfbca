"""Page 1, Trade-offs: how accurate can a student be, and at what cost?"""

from collections.abc import Sequence

import streamlit as st

from app import page, state, words
from app.charts import figures, front_chart, palette
from app.charts.front_chart import Scene
from app.source import Picture
from app.state import SHARES
from app.widgets import cards, panel, style, zoom
from search.read import published as paper
from search.read import tradeoffs
from search.read.budget import Broken
from search.read.candidates import Candidate, as_csv
from search.read.tradeoffs import Axis
from search.units import format_stages, rounded_up

BESIDE = 340  # pixels for the table and the card beside the chart
FEW = 5  # with fewer students there is no front line and no knee


def main() -> None:
    """The page."""
    picture = page.opened()
    snapshot = picture.snapshot
    trained = picture.trained
    published = paper.published(str(snapshot.definition.get("data", {}).get("name", "")))
    rows = tradeoffs.measured(trained, state.axis())
    if not rows:
        panel.draw(snapshot, trained, published)
        _nothing_yet(picture)
        return
    scene = _scene(picture, rows, published)
    st.html(style.TABLE_FIRST)
    with st.container(key="board", horizontal=True, gap="medium"):
        beside, main_part = st.container(width=BESIDE), st.container()
    # Sent first, so that the browser fetches what draws charts before what draws tables, wherever they stand.
    with main_part:
        _chart(scene, rows)
    with beside:
        cards.best_that_fit(snapshot, rows, scene, _choose)
    panel.draw(snapshot, trained, published)
    every = st.expander("All trained students as a table, and as CSV", key="w_table", on_change="rerun")
    if every.open:  # made on demand: five thousand rows are half a megabyte for every visitor
        with every:
            _table(rows, scene)


def _scene(picture: Picture, rows: list[Candidate], published: Sequence[paper.Published]) -> Scene:
    snapshot, axis, budget = picture.snapshot, state.axis(), state.budget()
    front = picture.front(axis)
    chosen = next((c for c in snapshot.candidates if c.trial == state.get("trial")), None)
    names = {c.trial for c in front}
    share = state.share()
    others = [c for c in rows if c.trial not in names]
    if share == "front":
        others = []
    elif share == "near the front":
        near = {c.trial for c in tradeoffs.near_front(rows, axis)}
        others = [c for c in others if c.trial in near]
    if not st.session_state.get("w_every"):
        drawn = tradeoffs.sampled([*front, *others], [*front, *([chosen] if chosen else [])], axis, front=front)
        others = [c for c in drawn if c.trial not in names]
    broken: dict[int, list[Broken]] = {}
    if state.limited():
        broken = {c.trial: tradeoffs.verdict(c, budget) for c in [*front, *others]}
    teacher = snapshot.teacher
    its_cost = teacher.get(cards.TEACHERS.get(axis, ""))
    return Scene(
        axis=axis,
        study=snapshot.study,
        front=front if len(rows) >= FEW else (),
        cloud=others if len(rows) >= FEW else rows,
        running=tradeoffs.measured([c for c in snapshot.candidates if c.state == "running"], axis),
        broken=broken,
        limit=_limit(axis),
        floor=budget.min_accuracy,
        chosen=chosen,
        knee=tradeoffs.knee_of(front, axis) if len(rows) >= FEW else None,
        teacher=(teacher["val_accuracy"], its_cost) if "val_accuracy" in teacher else None,
        paper=published,
    )


def _limit(axis: Axis) -> float | None:
    budget = state.budget()
    size = None if budget.max_size_kb is None else 1000 * budget.max_size_kb
    limits = {
        "parameters": budget.max_params,
        "multiply-adds": budget.max_macs,
        "size": size,
        "latency": budget.max_latency_ms,
    }
    return limits.get(axis)


def _chart(scene: Scene, rows: Sequence[Candidate]) -> None:
    st.header(f"Accuracy against {scene.axis}", anchor=False)
    st.markdown(
        "Up and to the left is better. The line joins the students that none beats in both; a hollow point breaks a "
        "limit of the budget, which its label names."
    )
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
        drawn = len(scene.front) + len(scene.cloud)
        if len(rows) > tradeoffs.DRAWN:
            st.toggle(f"Draw every student (now {drawn:,} of {len(rows):,})", key="w_every")
        if zoomed:
            st.button("Show the whole", on_click=zoom.forget, args=("front_chart",))
    st.markdown(_below(scene, rows))


def _below(scene: Scene, rows: Sequence[Candidate]) -> str:
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
            "The star marks the best balance: the student furthest above the straight line between the front's ends "
            "(cost on its logarithm). It is a hint, never chosen for you."
        )
    if scene.paper:
        sentences.append(
            f"Diamonds are the paper's nets ({labels(scene)}), at the cost that it reports. Their accuracies are on "
            "test images, ours on validation images: compare them with care."
        )
    if len(rows) < FEW:
        sentences.append(
            f"With {words.plural(len(rows), 'trained student')} there is no front to draw yet: {FEW} are needed."
        )
    return " ".join(sentences)


def labels(scene: Scene) -> str:
    """What the diamonds' labels stand for."""
    return ", ".join(f"{front_chart.short(p)}: {p.name}" for p in scene.paper)


def finding(scene: Scene, rows: Sequence[Candidate]) -> str:
    """The chart in words, for those who cannot see it."""
    top = max(rows, key=tradeoffs.accuracy)
    text = (
        f"{words.plural(len(scene.front), 'student')} of {len(rows):,} on the front of accuracy against {scene.axis}. "
    )
    text += f"Best of all: {words.title(top)} with {words.percent(tradeoffs.accuracy(top))}"
    text += f" at {words.cost(tradeoffs.on_axis(top, scene.axis), scene.axis)}. "
    if state.limited():
        best = next(iter(tradeoffs.best(rows, state.budget(), 1)), None)
        text += (
            f"Best within the budget: {words.title(best)} with {words.percent(tradeoffs.accuracy(best))}."
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


def _table(rows: Sequence[Candidate], scene: Scene) -> None:
    front = {c.trial for c in scene.front}  # of accuracy and the cost that is drawn
    table = [
        {
            "trial": c.trial,
            "accuracy %": float(words.percent(tradeoffs.accuracy(c))[:-1]),
            "parameters": c.cost.params,
            "multiply-adds": c.cost.macs,
            "weights kB": rounded_up(c.cost.weight_bytes / 1000, 1),
            "memory kB": rounded_up(c.cost.peak_activation_bytes / 1000, 1),
            **({"latency ms": rounded_up(c.timing.p50_ms, 4)} if c.timing else {}),
            "layers": c.recipe.student.depth,
            "widths": format_stages(c.recipe.student.stages),
            "on the front": c.trial in front,
            "limits broken": "; ".join(words.limit(b) for b in tradeoffs.verdict(c, state.budget())),
        }
        for c in rows
    ]
    st.dataframe(table, hide_index=True, height=320, alt=f"All {len(table)} trained students.")
    st.download_button(
        "CSV of these students",
        data=lambda: as_csv([c.row() for c in rows]).encode(),
        file_name="students.csv",
        mime="text/csv",
        on_click="ignore",
        key="csv",
    )


def _nothing_yet(picture: Picture) -> None:
    """What is going on while no student has finished, instead of empty axes."""
    snapshot = picture.snapshot
    running = [c for c in snapshot.candidates if c.state == "running"]
    failed = [c for c in snapshot.candidates if c.state == "failed"] + [
        u for u in snapshot.unread if u.state == "failed"
    ]
    if running:
        st.info(
            f"No student has finished yet; {words.plural(len(running), 'student')} in training. The first point "
            "appears here as soon as one ends."
        )
    elif failed:
        st.error(
            f"No student has finished, and {words.plural(len(failed), 'trial')} failed. The last reason: "
            f"{words.escaped(failed[-1].reason or 'none was recorded')}. See the Progress page for all reasons."
        )
    elif any(c.state == "pruned" for c in snapshot.candidates):
        st.info("No student has finished yet: those that were trained so far were stopped early.")
    elif snapshot.candidates:
        st.info(
            f"No student was trained: all {words.plural(len(snapshot.candidates), 'draw')} so far were over the "
            "study's own limits, or their results cannot be read."
        )
    else:
        st.info("The study has no trials yet. The teacher is trained first; the first student appears here after that.")


if __name__ == "__main__":
    main()
