"""The log of test readings: every student whose accuracy on the test images was looked at. No torch."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fitnets.value import canonical_json

READINGS = "test_reads.jsonl"


def note(runs: Path, study: str, weights_sha256: str, **about: Any) -> int:
    """Write a reading down, unless it is there already. Returns how many students of the study have been read."""
    reading = {"study": study, "weights_sha256": weights_sha256}
    log = runs / READINGS
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    if not any(reading.items() <= row.items() for row in known):
        row = {**reading, **about, "date": datetime.now(UTC).isoformat(timespec="seconds")}
        with log.open("a") as lines:
            lines.write(canonical_json(row) + "\n")
        known.append(row)
    return sum(row["study"] == study for row in known)
