"""Measured latencies: a file beside the studies, and the students that it tells of. Reads and appends; no torch.

`python -m search.latency STUDY` measures. A latency is a machine's as much as a student's, so only those of the machine
that timed last are used, and none is measured while the search loads it.
"""

import shlex
from pathlib import Path

from pydantic import ValidationError

from fitnets.values.base import canonical_json
from search.read.candidates import Candidate, Snapshot, Timing
from search.ship.student_files import records
from search.storage.address import shown, storage_url
from search.study import study_names

LATENCIES = "latencies.jsonl"


def add(runs: Path, study: str, candidate: Candidate, timing: Timing) -> None:
    """Write down how long a student took."""
    assert candidate.outcome is not None
    about = {"study": study, "trial": candidate.trial, "weights_sha256": candidate.outcome.weights_sha256}
    with (runs / LATENCIES).open("a") as lines:
        lines.write(canonical_json({**about, **timing.model_dump(mode="json")}) + "\n")


def stored(runs: Path, study: str) -> dict[str, Timing]:
    """The newest timing of each student by its weights' SHA-256, all from the machine that timed last."""
    found: dict[str, Timing] = {}
    for row in records(runs / LATENCIES, study):
        try:
            timing = Timing.model_validate({name: row.get(name) for name in Timing.model_fields})
        except ValidationError:
            continue
        if any(other.device != timing.device for other in found.values()):
            found = {}
        found[str(row.get("weights_sha256"))] = timing
    return found


def stamp(runs: Path) -> int | None:
    """Changes whenever something is added; None where nothing was ever timed."""
    try:
        return (runs / LATENCIES).stat().st_mtime_ns
    except OSError:
        return None


def command(study: str, runs: Path, url: str) -> str:
    """The command that measures, for a study by its name in the storage at `url`."""
    words = ["python", "-m", "search.latency", study]
    words += [] if runs == Path("runs").resolve() else ["--runs", str(runs)]
    words += [] if study.removesuffix("-smoke") in study_names() else ["--name", study]
    words += [] if url == storage_url(runs, None) else ["--storage", shown(url)]
    return shlex.join(words)


def attached(snapshot: Snapshot, known: dict[str, Timing]) -> Snapshot:
    """The study with its students' timings."""
    if not known:
        return snapshot
    rows = [
        c.model_copy(update={"timing": known.get(c.outcome.weights_sha256)}) if c.outcome else c
        for c in snapshot.candidates
    ]
    return snapshot.model_copy(update={"candidates": tuple(rows)})
