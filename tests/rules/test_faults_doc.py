"""docs/faults.md: every test that it names exists, and every row names one."""

import re

from tests.helpers import ROOT

TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
}


def rows() -> list[list[str]]:
    """The table's cells, without its heads."""
    lines = [line for line in (ROOT / "docs" / "faults.md").read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "fault" and not set(row[0]) <= {"-"}]


def test_every_fault_names_tests_that_exist() -> None:
    named = {row[0]: re.findall(r"`(\w+)`", row[-1]) for row in rows()}
    assert len(named) > 20
    assert {fault: tests for fault, tests in named.items() if not tests or not TESTS.issuperset(tests)} == {}


def test_every_row_is_whole() -> None:
    assert [row for row in rows() if len(row) != 4 or not all(row)] == []
