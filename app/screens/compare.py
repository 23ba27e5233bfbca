"""Page 3, Compare: up to four students side by side."""

from typing import Any

import streamlit as st

from app import chart_search, figures, page, palette, source, state, words
from app.words import how
from search import tradeoffs
from search.results import Candidate, Snapshot
from search.tradeoffs import accuracy

COSTS = {
    "parameters": "params",
    "multiply-adds": "macs",
    "weights": "weight_bytes",
    "activations": "peak_activation_bytes",
}

# Streamlit writes white on the dark theme's light blue: too little contrast.
READABLE = "<style>.st-key-w_compare span[title] { color: #0B1117; }</style>"


def main() -> None:
    """The page."""
    picture = page.opened()
    snapshot = picture.snapshot
    known = {c.trial: c for c in snapshot.candidates}
    gone = [number for number in state.compared() if number not in known]
    if gone:
        st.warning(f"This study has no trial {words.listed([str(n) for n in gone])}: left out.")
        state.compare([number for number in state.compared() if number in known])
    _choose(snapshot, known)
    rows = [known[number] for number in state.compared() if number in known]
    state.publish()
    if len(rows) < 2:
        st.info(
            "Choose two to four students above, by their numbers, or with the button *Compare* on the Trade-offs page."
        )
        if not rows:
            return
    _table(rows)
    _curves(snapshot, rows)
    _costs(snapshot, rows)


def _choose(snapshot: Snapshot, known: dict[int, Candidate]) -> None:
    """Students by number; those on the front, and the ones chosen elsewhere, are offered."""
    front = [c.trial for c in snapshot.front()]
    most = [c.trial for c in tradeoffs.best(snapshot.candidates, state.budget(), 200)]
    offered = sorted({*front, *most, *state.compared(), *([state.get("trial")] if state.get("trial") in known else [])})
    st.session_state.w_compare = [number for number in state.compared() if number in offered]
    if palette.current() is palette.DARK:
        st.html(READABLE)
    st.multiselect(
        "Students",
        offered,
        max_selections=state.COMPARED,
        format_func=lambda number: _named(known[number]),
        key="w_compare",
        on_change=lambda: state.compare(st.session_state.w_compare),
        placeholder="choose up to four students" if offered else "no student has been trained yet",
    )


def _named(c: Candidate) -> str:
    return f"{words.title(c)}: {words.percent(accuracy(c))}" if c.outcome else words.title(c)


def _table(rows: list[Candidate]) -> None:
    st.header("What differs", anchor=False)
    st.markdown("A column for each student; what is the same in all of them is left out unless you ask for it.")
    everything = st.toggle("Show what is the same, too", key="w_same")
    columns = [_facts(c) for c in rows]
    shown = [
        name for name in columns[0] if everything or len({column[name] for column in columns}) > 1 or len(rows) == 1
    ]
    table = [
        {"": name} | {words.title(c): column[name] for c, column in zip(rows, columns, strict=True)} for name in shown
    ]
    if table:
        st.dataframe(table, hide_index=True, height="content", alt="The students side by side.")
    else:
        st.info("These students do not differ in anything but chance.")


def _facts(c: Candidate) -> dict[str, str]:
    recipe = c.recipe
    outcome = c.outcome
    return {
        "state": c.state,
        "validation accuracy": words.percent(accuracy(c)) if outcome else "none",
        "parameters": words.count(c.cost.params),
        "multiply-adds": words.count(c.cost.macs),
        "weights, float32": words.size(c.cost.weight_bytes),
        "activations, peak": words.size(c.cost.peak_activation_bytes),
        "on the front": "yes" if c.on_front else "no",
        "widths": words.stages(recipe.student.stages),
        "layers": str(recipe.student.depth),
        "trained by": how(c),
        "regressor": recipe.hint.regressor if recipe.hint else "none",
        "hint R2": f"{outcome.hint_r2:.3f}" if outcome and outcome.hint_r2 is not None else "none",
        "tau": f"{recipe.distill.tau:.3g}",
        "lambda": f"{recipe.distill.lambda_start:.3g} to {recipe.distill.lambda_end:.3g}",
        "rate, stage 1": f"{recipe.stage1.lr:.2g}" if recipe.stage1 else "none",
        "rate, stage 2": f"{recipe.stage2.lr:.2g}",
        "epochs": f"{recipe.stage1.epochs if recipe.stage1 else 0} + {recipe.stage2.epochs}",
        "seed": str(recipe.seed),
        "training time": words.span(outcome.seconds) if outcome else "none",
    }


def _curves(snapshot: Snapshot, rows: list[Candidate]) -> None:
    st.header("Accuracy while training", anchor=False)
    reader = source.reader(snapshot.study)
    curves = [(words.title(c), c.reports or reader.reports(c.trial)) for c in rows]
    curves = [(name, reports) for name, reports in curves if any(r.val_accuracy is not None for r in reports)]
    if not curves:
        st.info("None of them has reported an epoch of stage 2: there is no curve to draw.")
        return
    st.markdown("Validation accuracy in stage 2, epoch by epoch.")
    ends = [f"{name} ends at {words.percent(_last(reports))}" for name, reports in curves]
    st.plotly_chart(
        chart_search.compared(curves, palette.current()),
        key="compared",
        theme=None,
        config=figures.STILL,
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


def _costs(snapshot: Snapshot, rows: list[Candidate]) -> None:
    teacher = snapshot.teacher
    names = {label: name for label, name in COSTS.items() if teacher.get(name)}
    st.header("Cost beside the teacher's", anchor=False)
    if not names:
        st.info("The teacher's cost is not known, so there is nothing to hold these against.")
        return
    shares = [
        (words.title(c), {label: getattr(c.cost, name) / teacher[name] for label, name in names.items()}) for c in rows
    ]
    st.markdown("Further left is smaller; the scale is logarithmic.")
    told = [f"{name}: {', '.join(f'{v:.2g} of its {k}' for k, v in found.items())}" for name, found in shares]
    st.plotly_chart(
        chart_search.costs(shares, palette.current()),
        key="costs",
        theme=None,
        config=figures.STILL,
        alt="Against the teacher. " + "; ".join(told) + ".",
    )


if __name__ == "__main__":
    main()
