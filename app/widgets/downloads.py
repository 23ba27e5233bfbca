"""The student's files, made on a click, each with its SHA-256."""

import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import source, words
from app.widgets import exports
from app.widgets.exports import Hashed, hashed
from fitnets.errors import InputError
from search.read.candidates import Candidate, Snapshot
from search.ship import student_files
from search.ship.student_files import File
from search.units import format_bytes, format_duration

WHAT = {
    "student.onnx": "ONNX: takes pixels in [0, 1], holds its own preprocessing",
    "student-float32.onnx": "the same in float32, because int8 loses too much",
    "student.safetensors": "weights for PyTorch",
    "predict.py": "image files to classes, with onnxruntime, Pillow and NumPy alone",
    "recipe.json": "everything that the trial did",
    "card.json": "accuracies and how they were measured, cost, latency, versions",
    "README.md": "how to load the files",
}
SNIPPET = """import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("student.onnx")
pixels = np.zeros((1, {shape}), dtype=np.float32)  # in [0, 1]
logits = session.run(["logits"], {{"pixels": pixels}})[0]
"""


def card(study: str, c: Candidate) -> dict[str, Any] | None:
    """The model card of a student that was exported since the server started."""
    files = exports.shared().get(source.url(), study, c.outcome.weights_sha256) if c.outcome else None
    found: dict[str, Any] | None = next((json.loads(f.content) for f, _ in files or () if f.name == "card.json"), None)
    return found


def section(snapshot: Snapshot, c: Candidate) -> None:
    """The files on the student's page."""
    st.header("Download", anchor=False)
    if c.state != "complete" or c.outcome is None:
        why = {"complete": "its outcome cannot be read", "running": "its training has not ended"}.get(c.state)
        why = why or f"this student is {words.state(c.state)}"
        st.info(f"There are no files to download: {why}.")
        return
    files_or_button(snapshot, c)
    st.markdown("**The same on the command line**; it trains the student again if its weights are gone:")
    st.code(_command(snapshot, c), language="bash", wrap_lines=True)
    with st.expander("How to use the ONNX file"):
        st.code("python predict.py photo.jpg folder_of_photos", language="bash")
        st.markdown("`README.md` says how other code must make its pixels from an image; in short:")
        shape = ", ".join(map(str, c.recipe.student.input))
        st.code(SNIPPET.format(shape=shape), language="python")


def _command(snapshot: Snapshot, c: Candidate) -> str:
    """The command that makes the same files."""
    out = f"student-{c.trial}"
    return student_files.command(snapshot.study, c.trial, source.runs(), source.url(), out, _int8(c))


def _int8(c: Candidate) -> bool:
    """Whether the visitor wants the ONNX file in int8."""
    return bool(st.session_state.get(f"int8 {c.trial}"))


def _key(c: Candidate) -> str:
    """What the student's files are kept under: its weights, and the precision."""
    assert c.outcome is not None
    return c.outcome.weights_sha256 + (" int8" if _int8(c) else "")


def button(snapshot: Snapshot, c: Candidate, label: str = "Download") -> None:
    """A button that opens the same files; none for a student without a result."""
    if c.state == "complete" and c.outcome is not None:
        opened = st.popover(label, width="content", key=f"download {c.trial}", on_change="rerun")
        if opened.open:  # only then are the weights read
            with opened:
                files_or_button(snapshot, c)


def files_or_button(snapshot: Snapshot, c: Candidate) -> None:
    """The files of a trained student, or the button that makes them."""
    st.toggle(
        "In int8", key=f"int8 {c.trial}", help="As `search.pick --int8`: smaller, for runtimes that compute in int8"
    )
    files = exports.shared().get(source.url(), snapshot.study, _key(c))
    if files is None:
        _offer(snapshot, c)
    else:
        made: dict[str, Any] = next((json.loads(f.content) for f, _ in files if f.name == "card.json"), {})
        if "int8" in made:
            st.markdown(int8_line(made))
        _rows(files, c)


def int8_line(made: dict[str, Any]) -> str:
    """What int8 costs in accuracy, from a student's card."""
    validation, test = (made["accuracy"][part]["accuracy"] for part in ("validation", "test"))
    plain = made["int8"]["float32"]
    accuracies = [
        f"{words.percent(mine)} on the {part} images (float32 {words.percent(theirs)})"
        for part, mine, theirs in (
            ("validation", validation, plain["validation_accuracy"]),
            ("test", test, plain["test_accuracy"]),
        )
    ]
    sizes = f"{format_bytes(made['file_bytes'])} (float32 {format_bytes(plain['file_bytes'])})"
    text = f"int8: {words.listed([*accuracies, sizes])}."
    return f"{text} {words.escaped(made['int8']['note'])}" if made["int8"]["note"] else text


def _offer(snapshot: Snapshot, c: Candidate) -> None:
    """The button that makes the files, above those that are stored already."""
    assert c.outcome is not None
    stored = student_files.weights(source.runs(), c)
    st.markdown(
        "Making the files exports and checks the ONNX model against PyTorch, times it on this machine, and reads the "
        "test images, which is counted in the model card."
    )
    lost = f"The weights of this student are no longer in `{source.runs() / 'store'}`: "
    took = format_duration(c.outcome.seconds)
    if stored is None and student_files.takes_too_long(c):
        st.warning(f"{lost}it must be trained again, which took {took}. This page does not wait that long: run")
        st.code(_command(snapshot, c), language="bash", wrap_lines=True)
    else:
        if stored is None:
            st.warning(f"{lost}making the files trains it again by its recipe, which took {took}.")
        _make(snapshot, c, train=stored is None)
    recipe = [File(name="recipe.json", content=(c.recipe.model_dump_json(indent=1) + "\n").encode())]
    _rows(hashed([*([stored] if stored else []), *recipe]), c)


def _make(snapshot: Snapshot, c: Candidate, train: bool) -> None:
    """The button that makes the files; `train`: from weights that are trained again first."""
    assert c.outcome is not None
    if st.button("Make the files", key=f"make {c.trial}"):
        try:
            what = "Training the student again, then exporting" if train else "Exporting"
            with st.spinner(f"{what}, checking and timing it ...", show_time=True):
                where = (source.runs(), source.url())
                files = student_files.exported(snapshot.study, c.trial, *where, train, _int8(c))
                whole = File(name=f"student-{c.trial}.zip", content=zipped(files))
                made = hashed([whole, *files])
                exports.shared().put(source.url(), snapshot.study, _key(c), made)
        except InputError as error:
            st.error(f"The files could not be made: {error}")
            if "--data" in str(error):
                st.code(f"{_command(snapshot, c)} --data DIR", language="bash", wrap_lines=True)
        else:
            st.rerun()


def _rows(files: Sequence[Hashed], c: Candidate) -> None:
    for file, digest in files:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.download_button(
                f"{file.name} ({format_bytes(len(file.content))})",
                data=file.content,
                file_name=file.name,
                mime="application/octet-stream",
                on_click="ignore",
                key=f"get {c.trial} {file.name}",
                width=260,
            )
            st.markdown(f"{WHAT.get(file.name, 'all files in one archive')}  \nSHA-256 `{digest}`")


def zipped(files: Sequence[File]) -> bytes:
    """All files in one archive; the same files give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(zipfile.ZipInfo(file.name, (2000, 1, 1, 0, 0, 0)), file.content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
