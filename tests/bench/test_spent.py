"""The table of a study's seconds adds up to its reports."""

import re
from pathlib import Path

import pytest

from bench.speed.spent import spent_table
from search.read.reader import read
from tests.app import synthetic


def test_the_seconds_add_up(tmp_path: Path) -> None:
    snapshot = read(synthetic.study(tmp_path / "studies.db", 30), "digits")
    _, _, *rows = spent_table(snapshot).splitlines()
    assert sum(int(row.split("|")[2]) for row in rows) == sum(c.state != "infeasible" for c in snapshot.candidates)
    parts = [int(part.replace(",", "")) for row in rows for part in re.findall(r"([\d,]+) s", row)]
    whole = sum(report.seconds for c in snapshot.candidates for report in c.reports)
    assert whole > len(snapshot.candidates) / 10
    assert sum(parts) == pytest.approx(whole, abs=len(parts))
    shares = [int(share) for row in rows for share in re.findall(r"(\d+)%", row)]
    assert sum(shares) == pytest.approx(100, abs=len(shares))
