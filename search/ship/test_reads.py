"""The log of test reads: every student whose accuracy on the test images was measured. No torch.

A test read is recorded before the test images are opened, so that none is missing from the count, and again with its
accuracy once that is known.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fitnets.errors import InputError
from search.ship.json_lines import REMEDY, append, locked, records, rows

READINGS = "test_reads.jsonl"


def begin(runs: Path, study: str, weights_sha256: str, **about: Any) -> int:
    """Record that a student is about to be tested, unless it was before. Returns how many of the study were so far."""
    log = runs / READINGS
    with locked(log):
        known = {row.get("weights_sha256") for row in rows(log) if row.get("study") == study}
        if weights_sha256 not in known:
            append(log, _row(study, weights_sha256, about))
    return len(known | {weights_sha256})


def finish(runs: Path, study: str, weights_sha256: str, accuracy: float, **about: Any) -> None:
    """Record the accuracy of a test read that was begun, unless it is recorded already."""
    log = runs / READINGS
    result = {"study": study, "weights_sha256": weights_sha256, "accuracy": accuracy}
    with locked(log):
        if not any(result.items() <= row.items() for row in rows(log)):
            append(log, _row(study, weights_sha256, {**about, "accuracy": accuracy}))


def readings(runs: Path, study: str) -> dict[str, dict[str, Any]]:
    """The students of a study that were tested, by their weights' SHA-256.

    A student whose test read was begun but never finished has no `accuracy`.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in records(runs / READINGS, study):
        if "weights_sha256" in row:
            found.setdefault(row["weights_sha256"], {}).update(row)
    return found


def check(runs: Path) -> None:
    """Raises InputError when test reads cannot be recorded: then the test images must not be opened."""
    log = runs / READINGS
    if not os.access(log if log.exists() else runs, os.R_OK | os.W_OK):
        raise InputError(
            f"`{log}` cannot be written, and the test images are not read without a record of it: {REMEDY}."
        )
    with locked(log):
        pass


def _row(study: str, weights_sha256: str, about: dict[str, Any]) -> dict[str, Any]:
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"study": study, "weights_sha256": weights_sha256, **about, "date": date}
