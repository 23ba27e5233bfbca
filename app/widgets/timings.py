"""A student's timings on every device, side by side."""

import streamlit as st

from app import source
from search.read.candidates import Candidate
from search.ship import latencies
from search.units import format_number


def table(study: str, c: Candidate) -> None:
    """One row for each device, precision, number of threads and batch; nothing for a student that was timed once."""
    found = latencies.of_student(source.runs(), study, c.outcome.weights_sha256) if c.outcome else []
    if len(found) < 2:
        return
    st.dataframe(
        [
            {
                "device": timing.device,
                "precision": timing.precision,
                "threads": timing.threads,
                "images a pass": timing.batch,
                "p50 ms": format_number(timing.p50_ms),
                "p90 ms": format_number(timing.p90_ms),
                "date": timing.date[:10],
            }
            for timing in found
        ],
        hide_index=True,
        height="content",
        alt="The timings of this student on every device.",
    )
