"""The Student page's section on its training: the curves, the recipe, and the same layers trained by other means."""

from typing import Any

import streamlit as st

from app import source, words
from app.charts import figures, palette, student_chart
from fitnets.config import Report, Training
from fitnets.errors import InputError
from search.read import layers, tradeoffs
from search.read.candidates import Candidate, Snapshot
from search.read.tradeoffs import accuracy
from search.units import format_duration


def section(snapshot: Snapshot, c: Candidate) -> None:
    """The section of the page."""
    st.header("Training", anchor=False)
    fault = None
    try:
        reports = source.reports(snapshot.study, c)
    except InputError as error:
        reports, fault = (), error
    if fault is not None:
        st.info(f"Its epochs cannot be read just now: {fault}")
    elif c.state == "infeasible":
        st.info("It was over the study's own limits, so it was never trained.")
    elif not reports:
        st.info("No epoch has been reported: there is no curve to draw.")
    else:
        st.markdown(
            "Above, higher is better: first how well the guided layer predicts the hint (R²), then the validation "
            "accuracy, with the teacher's as a dotted line. Below, in the same colours, the losses, and lambda, "
            "the weight of the teacher's probabilities."
        )
        st.plotly_chart(
            student_chart.curves(reports, palette.current(), snapshot.teacher.get("val_accuracy")),
            key="curves",
            theme=None,
            config=figures.STILL,
            alt=student_chart.curves_alt(reports),
        )
        with st.expander("Every epoch as a table"):
            st.dataframe([_epoch(r) for r in reports], hide_index=True, alt="Every epoch's numbers.")
    st.markdown(_recipe(c))
    relatives = tradeoffs.relatives(c, snapshot.candidates)
    if len(relatives) > 1:
        st.markdown("**The same layers, trained by other means:**")
        st.dataframe(
            [_relative(r) for r in relatives],
            hide_index=True,
            alt="Students with the same layers.",
        )


def _relative(c: Candidate) -> dict[str, Any]:
    distill = c.recipe.distill
    return {
        "student": c.trial,
        "how": words.how(c),
        "accuracy": words.percent(accuracy(c)),
        "tau": f"{distill.tau:.3g}",
        "lambda": f"{distill.lambda_start:.3g} to {distill.lambda_end:.3g}",
        "seed": str(c.recipe.seed),
    }


def _epoch(report: Report) -> dict[str, Any]:
    return {
        "stage": report.stage,
        "epoch": report.epoch,
        "loss": report.loss,
        "hint R2": report.hint_r2,
        "validation accuracy %": None if report.val_accuracy is None else round(100 * report.val_accuracy, 2),
        "lambda": report.lam,
        "seconds": round(report.seconds, 2),
    }


def _recipe(c: Candidate) -> str:
    recipe, distill = c.recipe, c.recipe.distill
    lines = []
    if recipe.hint is not None and recipe.stage1 is not None:
        lines.append(
            f"**Stage 1**: guided layer {recipe.hint.guided} from hint layer {recipe.hint.hint}, regressor "
            f"{layers.regressor(recipe)}; {_schedule(recipe.stage1)}."
        )
    lines.append(
        f"**Stage 2**: tau {distill.tau:.3g}, lambda {distill.lambda_start:.3g} to {distill.lambda_end:.3g}; "
        f"{_schedule(recipe.stage2)}."
    )
    if c.outcome is not None:
        took = f"**Time**: {format_duration(c.outcome.seconds)} of training"
        versions = ", ".join(f"{name} {number}" for name, number in c.outcome.versions.items())
        lines.append(f"{took}; {words.escaped(versions)}." if versions else f"{took}.")
    return "  \n".join(lines)


def _schedule(training: Training) -> str:
    return (
        f"{words.plural(training.epochs, 'epoch')}, {training.optimizer}, learning rate {training.lr:.2g} "
        f"({training.schedule}), batches of {training.batch}"
    )
