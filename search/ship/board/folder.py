"""Students as a folder that is timed on another device, and the timings that come back from there. No torch."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fitnets.errors import InputError
from fitnets.values.base import explain
from fitnets.values.net import Shape
from search.read.candidates import Candidate, Snapshot
from search.ship.board import time_students
from search.ship.latencies import Measured, Precision

SCRIPT = Path(time_students.__file__).name
README = """\
# Students of `{study}`, to be timed on a device

On the device, with Python and onnxruntime alone:

    pip install onnxruntime
    python time_students.py > timings.json        # --threads N, --batch N, --device NAME

Bring `timings.json` back:

    {add}
"""


def check(out: Path) -> None:
    """Raises InputError unless `out` is a new folder or an empty one."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"`{out}` is not empty, and is left as it is: choose another folder with --export.")


def write(
    out: Path, study: str, shape: Shape, precision: Precision, files: Iterable[tuple[Candidate, bytes]], add: str
) -> list[int]:
    """Write the folder; `add` is the command that takes the timings back. Returns the students' trial numbers."""
    out.mkdir(parents=True, exist_ok=True)
    students: list[dict[str, Any]] = []
    for candidate, content in files:
        assert candidate.outcome is not None
        name = f"student-{candidate.trial}.onnx"
        (out / name).write_bytes(content)
        students.append({"file": name, "trial": candidate.trial, "weights_sha256": candidate.outcome.weights_sha256})
    listed = {"study": study, "shape": list(shape), "precision": precision, "students": students}
    (out / time_students.LIST).write_text(json.dumps(listed, indent=1) + "\n")
    (out / SCRIPT).write_bytes(Path(time_students.__file__).read_bytes())
    (out / "README.md").write_text(README.format(study=study, add=add))
    return [student["trial"] for student in students]


def brought_back(file: Path, snapshot: Snapshot) -> Sequence[tuple[Candidate, Measured]]:
    """The timings in a file that `time_students.py` printed, each with its student.

    Raises InputError where the file is another, another study's, or of students that the study does not have.
    """
    try:
        returned = json.loads(file.read_text())
        study, fields = returned["study"], Measured.model_fields
        timings = [
            (row["weights_sha256"], Measured.model_validate({name: row[name] for name in fields if name in row}))
            for row in returned["timings"]
        ]
    except OSError as error:
        raise InputError(f"`{file}` cannot be read ({error.strerror}): check the path given to --add.") from error
    except (ValueError, KeyError, TypeError) as error:
        why = explain(error).splitlines()[0] if isinstance(error, ValidationError) else type(error).__name__
        raise InputError(f"`{file}` is not what `{SCRIPT}` prints ({why}): run it on the device again.") from error
    if study != snapshot.study:
        raise InputError(f"`{file}` has timings of `{study}`, not of `{snapshot.study}`: name that study instead.")
    known = {c.outcome.weights_sha256: c for c in snapshot.candidates if c.outcome is not None}
    unknown = [weights for weights, _ in timings if weights not in known]
    if unknown or not timings:
        what = f"{len(unknown)} student(s) that `{study}` does not have" if unknown else "no timing"
        raise InputError(f"`{file}` has {what}: export the students of this storage again with --export.")
    return [(known[weights], timing) for weights, timing in timings]
