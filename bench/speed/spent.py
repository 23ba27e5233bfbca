"""Where a study's training seconds went: by stage, and whether the student was trained to its end, stopped or failed.

    python -m bench.speed.spent STUDY [--runs runs]

From the epochs' reports in the storage: seconds of a worker, validation included, and the teacher's passes of those who
were first to need a table. Beside other work they grow. The teacher's own training and the driver are not in them.
"""

import argparse
from collections import Counter, defaultdict
from pathlib import Path

from bench.hardware import table
from search.read.candidates import Snapshot, State
from search.read.reader import read
from search.storage.address import storage_url

STATES: dict[State, str] = {
    "complete": "trained to the end",
    "pruned": "stopped early",
    "failed": "failed",
    "running": "running",
}


def spent_table(snapshot: Snapshot) -> str:
    """In Markdown: students and seconds, with shares of all seconds."""
    spent = defaultdict[tuple[State, str], float](float)
    for candidate in snapshot.candidates:
        for report in candidate.reports:
            spent[candidate.state, report.stage] += report.seconds
    whole = sum(spent.values()) or 1
    students = Counter(candidate.state for candidate in snapshot.candidates)
    rows = []
    for state, name in STATES.items():
        if students[state]:
            parts = [spent[state, stage] for stage in ("stage 1", "stage 2")]
            rows.append([name, str(students[state]), *(f"{part:,.0f} s ({part / whole:.0%})" for part in parts)])
    return table(["students", "number", "stage 1", "stage 2"], rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    given = parser.parse_args()
    print(spent_table(read(storage_url(given.runs, None), given.study)))


if __name__ == "__main__":
    main()
