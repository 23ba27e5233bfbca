"""Page 3, Compare: up to four students side by side, and the paper's nets among them."""

from typing import Any

import streamlit as st

from app import confirmed, page, source, state, words
from app.charts import figures, palette, search_chart
from app.source import Picture
from app.widgets import downloads, side_by_side, style, tables
from fitnets.config import Cost
from fitnets.errors import InputError
from search.read import tradeoffs
from search.read.candidates import Candidate, Snapshot
from search.read.published import Published, published
from search.read.tradeoffs import accuracy
from search.ship import test_reads
from search.ship.confirmed import Confirmation
from search.units import format_bytes, format_count, format_duration, format_stages

COSTS = {
    "parameters": "params",
    "multiply-adds": "macs",
    "weights": "weight_bytes",
    "activations": "peak_activation_bytes",
}

COUNTS = {"parameters": "params", "multiply-adds": "macs"}
SIZES = {"weights, float32": "weight_bytes", "activations, peak": "peak_activation_bytes"}

Compared = Candidate | Published


def main() -> None:
    """The page."""
    picture = page.opened()
    snapshot = picture.snapshot
    found = picture.confirmation
    known: dict[int | str, Compared] = {
        c.trial: c for c in (*snapshot.candidates, *(picture.students if found else ()))
    }
    known |= {p.name: p for p in published(str(snapshot.definition.get("data", {}).get("name", "")))}
    unknown = [name for name in state.compared() if name not in known]
    if unknown:
        st.warning(f"This study has no trial {words.listed([words.escaped(str(n)) for n in unknown])}: left out.")
        state.compare([name for name in state.compared() if name in known])
    _choose(picture, known)
    rows = [known[name] for name in state.compared() if name in known]
    state.publish()
    if len(rows) < 2:
        st.info(
            "Choose two to four above, students by their numbers, or with the button *Compare* on the Trade-offs page."
        )
        if not rows:
            return
    _table(picture, rows)
    students = [row for row in rows if isinstance(row, Candidate)]
    with st.container(horizontal=True):
        for c in students:
            downloads.button(snapshot, c, f"Download {words.named(c).lower()}")
    _curves(snapshot, students)
    side_by_side.classes(snapshot, students)
    side_by_side.architectures(snapshot, students)
    _costs(snapshot, rows)


def _choose(picture: Picture, known: dict[int | str, Compared]) -> None:
    """The selection: students on the front, the most accurate ones, those chosen elsewhere, and the paper's nets."""
    front = [c.trial for c in picture.front(state.axis())]
    best = [c.trial for c in confirmed.best(picture.students, picture.confirmation, state.budget(), 200)]
    elsewhere = [name for name in (*state.compared(), state.get("trial")) if isinstance(name, int) and name in known]
    offered: list[int | str] = [*sorted({*front, *best, *elsewhere}), *(n for n in known if isinstance(n, str))]
    st.session_state.w_compare = [name for name in state.compared() if name in offered]
    if palette.current() is palette.DARK:
        st.html(style.READABLE)
    st.multiselect(
        "Students, and the paper's nets",
        offered,
        max_selections=state.MOST_COMPARED,
        format_func=lambda name: _option(known[name], picture.confirmation),
        key="w_compare",
        on_change=lambda: state.compare(st.session_state.w_compare),
        placeholder="choose up to four students" if offered else "no student has been trained yet",
    )


def _option(net: Compared, found: Confirmation | None) -> str:
    if isinstance(net, Published):
        return f"{_title(net)}: {words.percent(net.test_accuracy)} (test)"
    return f"{words.title(net)}: {confirmed.percent(net, found)}" if net.outcome else words.title(net)


def _title(net: Compared) -> str:
    return f"the paper's {net.name}" if isinstance(net, Published) else words.title(net)


def _table(picture: Picture, rows: list[Compared]) -> None:
    snapshot = picture.snapshot
    st.header("What differs", anchor=False)
    text = "A column for each; what is the same in all of them is left out unless you ask for it."
    if any(isinstance(row, Published) for row in rows):
        text += " The paper's numbers are as it reports them, its parameters without biases; its bytes are our count."
    st.markdown(text)
    readings = test_reads.readings(source.runs(), snapshot.study)
    everything = st.toggle("Show what is the same, too", key="w_same")
    columns = [_published(row) if isinstance(row, Published) else _facts(row, readings, picture) for row in rows]
    students = [i for i, row in enumerate(rows) if isinstance(row, Candidate) and row.outcome is not None]
    marks = side_by_side.best_cells(picture.ties, {i: row for i in students if isinstance(row := rows[i], Candidate)})
    for (i, name), mark in marks.items():
        columns[i][name] = f"{columns[i][name]} ({mark})"
    titles = list(map(_title, rows))
    if "val_accuracy" in snapshot.teacher:
        titles.append("the teacher")
        columns.append(_teachers(snapshot))
    shown = [
        name
        for name in max(columns, key=len)
        if everything or len({column.get(name) for column in columns[: len(rows)]}) > 1 or len(rows) == 1
    ]
    table = [
        {"what": name} | {title: column.get(name, "") for title, column in zip(titles, columns, strict=True)}
        for name in shown
    ]
    if table:
        st.dataframe(table, hide_index=True, height="content", alt="Side by side.")
    else:
        st.info("These students do not differ in anything but chance.")


def _teachers(snapshot: Snapshot) -> dict[str, str]:
    """The same facts about the teacher."""
    teacher = snapshot.teacher
    found = {"state": "teacher", "validation accuracy": words.percent(teacher["val_accuracy"])}
    found |= {name: format_count(teacher[key]) for name, key in COUNTS.items() if key in teacher}
    return found | {name: format_bytes(teacher[key]) for name, key in SIZES.items() if key in teacher}


def _facts(c: Candidate, readings: dict[str, dict[str, Any]], picture: Picture) -> dict[str, str]:
    recipe, outcome, found = c.recipe, c.outcome, picture.confirmation
    front = {other.trial for other in picture.front(state.axis())}
    reading = readings.get(outcome.weights_sha256, {}).get("accuracy") if outcome else None
    return {
        "state": words.state(c.state),
        "validation accuracy": confirmed.with_interval(c, found, picture.ties) if outcome else "none",
        **(_fresh(c, found) if found and outcome else {}),
        "test accuracy": words.percent(reading) if isinstance(reading, float) else "not read",
        "parameters": format_count(c.cost.params),
        "multiply-adds": format_count(c.cost.macs),
        "weights, float32": format_bytes(c.cost.weight_bytes),
        "weights, int8": format_bytes(c.footprint.int8_size),
        "activations, peak": format_bytes(c.footprint.memory),
        "activations, peak, int8": format_bytes(c.footprint.int8_memory),
        "latency": words.milliseconds(c.timing.p50_ms) if c.timing else "not timed",
        **({"fits the budget": _fits(c)} if state.limited() else {}),
        f"on the front ({state.axis()})": "yes" if c.trial in front else "no",
        "widths": format_stages(recipe.student.stages),
        "layers": str(recipe.student.depth),
        "trained by": words.how(c),
        "regressor": recipe.hint.regressor if recipe.hint else "none",
        "hint R2": f"{outcome.hint_r2:.3f}" if outcome and outcome.hint_r2 is not None else "none",
        "tau": f"{recipe.distill.tau:.3g}",
        "lambda": f"{recipe.distill.lambda_start:.3g} to {recipe.distill.lambda_end:.3g}",
        "rate, stage 1": f"{recipe.stage1.lr:.2g}" if recipe.stage1 else "none",
        "rate, stage 2": f"{recipe.stage2.lr:.2g}",
        "epochs": f"{recipe.stage1.epochs if recipe.stage1 else 0} + {recipe.stage2.epochs}",
        "seed": str(recipe.seed),
        "training time": format_duration(outcome.seconds) if outcome else "none",
    }


def _fits(c: Candidate) -> str:
    """Whether a student is within the budget, or which limits it breaks."""
    if c.outcome is None:
        return "no result"
    broken = tradeoffs.verdict(c, state.budget())
    return f"no: {words.limits(broken)}" if broken else "yes"


def _fresh(c: Candidate, found: Confirmation) -> dict[str, str]:
    """The runs that a student's accuracy is from."""
    student = found.of(c.trial)
    if student is None:
        return {"the search said": words.percent(accuracy(c)), "fresh seeds": "none"}
    failed = [f"{student.failed} failed"] if student.failed else []
    return {
        "the search said": words.percent(student.search_accuracy),
        "fresh seeds": ", ".join([*map(words.percent, student.accuracies), *failed]),
    }


def _published(p: Published) -> dict[str, str]:
    """The same facts about one of the paper's nets."""
    how = f"hints, layer {p.hint.hint} to {p.hint.guided}" if p.role == "fitnet" and p.hint else p.note
    return {
        "state": "published",
        "validation accuracy": "not stated",
        "test accuracy": words.percent(p.test_accuracy),
        "parameters": format_count(p.params),
        "multiply-adds": format_count(p.macs) if p.macs else "not stated",
        "weights, float32": format_bytes(p.counted.weight_bytes),
        "weights, int8": format_bytes(p.footprint.int8_size),
        "activations, peak": format_bytes(p.counted.peak_activation_bytes),
        "activations, peak, int8": format_bytes(p.footprint.int8_memory),
        "widths": format_stages(p.net.stages),
        "layers": str(p.net.depth),
        "trained by": how,
    }


def _curves(snapshot: Snapshot, rows: list[Candidate]) -> None:
    st.header("Accuracy while training", anchor=False)
    try:
        curves = [(words.title(c), source.reports(snapshot.study, c)) for c in rows]
    except InputError as error:
        st.info(f"Their epochs cannot be read just now: {error}")
        return
    curves = [(name, reports) for name, reports in curves if any(r.val_accuracy is not None for r in reports)]
    if not curves:
        st.info("None of them has reported an epoch of stage 2: there is no curve to draw.")
        return
    st.markdown(
        "Validation error in stage 2 on its logarithm, so that small differences near the end are seen: lower is "
        "better. The chart can be dragged and zoomed."
    )
    whole = st.toggle("From the first epoch (else the last third)", key="w_whole")
    ends = [f"{name} ends at {words.percent(_last(reports))}" for name, reports in curves]
    st.plotly_chart(
        search_chart.compared(curves, palette.current(), whole),
        key="compared",
        theme=None,
        config=figures.CONFIG,
        alt="; ".join(ends) + ".",
    )
    with st.expander("Every epoch as a table"):
        epochs = sorted({r.epoch for _, reports in curves for r in reports if r.val_accuracy is not None})
        table = [{"epoch": epoch} | {name: _at(reports, epoch) for name, reports in curves} for epoch in epochs]
        st.dataframe(table, hide_index=True, alt="Validation accuracy epoch by epoch.")


def _at(reports: Any, epoch: int) -> str:
    found = [r.val_accuracy for r in reports if r.val_accuracy is not None and r.epoch == epoch]
    return words.percent(found[-1]) if found else ""


def _last(reports: Any) -> float:
    return float([r.val_accuracy for r in reports if r.val_accuracy is not None][-1])


def _costs(snapshot: Snapshot, rows: list[Compared]) -> None:
    teacher = snapshot.teacher
    names = {label: name for label, name in COSTS.items() if teacher.get(name)}
    st.header("Cost beside the teacher's", anchor=False)
    if not names:
        st.info("The teacher's cost is not known, so there is nothing to compare these with.")
        return
    shares = [
        (_title(row), {label: getattr(_cost(row), name) / teacher[name] for label, name in names.items()})
        for row in rows
    ]
    st.markdown(
        "Further left is smaller; the dotted line is the teacher. The scale is logarithmic; all costs are counted "
        "by the same rules."
    )
    texts = [f"{name}: {', '.join(f'{v:.2g} of its {k}' for k, v in found.items())}" for name, found in shares]
    st.plotly_chart(
        search_chart.costs(shares, palette.current()),
        key="costs",
        theme=None,
        config=figures.STILL,
        alt="Against the teacher. " + "; ".join(texts) + ".",
    )
    tables.folded(
        "As a table",
        "w_costs",
        lambda: [{"net": name} | {label: f"{v:.3g}" for label, v in found.items()} for name, found in shares],
        "Each one's costs as shares of the teacher's.",
    )


def _cost(net: Compared) -> Cost:
    """The cost by our counter, the same for students and the paper's nets."""
    return net.counted if isinstance(net, Published) else net.cost


if __name__ == "__main__":
    main()
