"""The log of test readings: every student whose accuracy on the test images was looked at. No torch."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fitnets.errors import InputError
from search.ship.json_lines import append, rows

READINGS = "test_reads.jsonl"


def note(runs: Path, study: str, weights_sha256: str, **about: Any) -> int:
    """Write a reading down, unless it is there already. Returns how many students of the study have been read."""
    reading = {"study": study, "weights_sha256": weights_sha256}
    log = runs / READINGS
    known = rows(log)
    if not any(reading.items() <= row.items() for row in known):
        row = {**reading, **about, "date": datetime.now(UTC).isoformat(timespec="seconds")}
        append(log, row)
        known.append(row)
    return sum(row.get("study") == study for row in known)


def check(runs: Path) -> None:
    """Raises InputError when a reading could not be written down: then nothing may be read."""
    log = runs / READINGS
    if not os.access(log if log.exists() else runs, os.W_OK):
        raise InputError(
            f"`{log}` cannot be written, and the test images are not read without a note of it: make it writable, or "
            "copy the folder and give the copy with --runs."
        )
