"""The Student page's section on classes: in which ones the student is less accurate than its teacher."""

import streamlit as st

from app import source, words
from app.charts import class_chart, figures, palette
from fitnets.errors import InputError
from search.read.candidates import Candidate, Snapshot
from search.read.evidence import class_rows

DRAWN = 20  # classes in a chart; of more, only those furthest below the teacher


def section(snapshot: Snapshot, c: Candidate) -> None:
    """The section of the page."""
    if c.outcome is None:
        return
    st.header("Class by class", anchor=False)
    try:
        student = source.classes(snapshot.study, c)
    except InputError as error:
        st.info(f"Its classes cannot be read just now: {error}")
        return
    if student is None:
        st.info("This student was trained by a version that did not count its classes.")
        return
    names = [str(name) for name in snapshot.images.get("classes", ())]
    rows = class_rows.rows(student, class_rows.of_teacher(snapshot.teacher), names)
    drawn = class_rows.weakest(rows, DRAWN)
    all_drawn = len(drawn) == len(rows)
    part = "every class" if all_drawn else f"the {DRAWN} of {len(rows)} classes furthest below the teacher"
    colours = palette.current()
    st.markdown(
        f"Validation accuracy of {part}: the student's circle, and the teacher's square. Where they are far apart, the "
        "student has not learnt what its teacher knows."
    )
    st.text(class_chart.alt(rows))
    left, right = st.columns(2) if all_drawn and student.whole else (st.container(), None)
    with left:
        st.plotly_chart(
            class_chart.accuracies(drawn, colours),
            key="classes",
            theme=None,
            config=figures.STILL,
            alt=class_chart.alt(rows),
        )
    if right is not None:
        with right:
            st.plotly_chart(
                class_chart.confusion(rows, colours),
                key="confusion",
                theme=None,
                config=figures.STILL,
                alt="What was taken for what, as in the table below.",
            )
    with st.expander("Every class as a table"):
        st.dataframe(
            [
                {
                    "class": row.name,
                    "images": row.images,
                    "accuracy": words.percent(row.accuracy),
                    "teacher": "" if row.teacher is None else words.percent(row.teacher),
                    "taken for": class_chart.mistakes(row, 5),
                }
                for row in rows
            ],
            hide_index=True,
            alt="Every class's numbers.",
        )
