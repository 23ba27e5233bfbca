"""The log of test readings: every student whose accuracy on the test images was looked at. No torch."""

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fitnets.errors import InputError
from fitnets.values.base import canonical_json

READINGS = "test_reads.jsonl"


def note(runs: Path, study: str, weights_sha256: str, **about: Any) -> int:
    """Write a reading down, unless it is there already. Returns how many students of the study have been read."""
    reading = {"study": study, "weights_sha256": weights_sha256}
    log = runs / READINGS
    known = rows(log)
    if not any(reading.items() <= row.items() for row in known):
        row = {**reading, **about, "date": datetime.now(UTC).isoformat(timespec="seconds")}
        with log.open("a+b") as lines:
            torn = log.read_bytes()[-1:] not in (b"", b"\n")
            lines.write(b"\n" * torn + canonical_json(row).encode() + b"\n")
        known.append(row)
    return sum(row.get("study") == study for row in known)


def rows(log: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines. A line that a full disk tore is left out; an absent file has none."""
    found = []
    for line in log.read_text(errors="replace").splitlines() if log.is_file() else ():
        with suppress(ValueError):
            found.append(json.loads(line))
    return [row for row in found if isinstance(row, dict)]


def check(runs: Path) -> None:
    """Raises InputError when a reading could not be written down: then nothing may be read."""
    log = runs / READINGS
    if not os.access(log if log.exists() else runs, os.W_OK):
        raise InputError(
            f"`{log}` cannot be written, and the test images are not read without a note of it: make it writable, or "
            "copy the folder and give the copy with --runs."
        )
