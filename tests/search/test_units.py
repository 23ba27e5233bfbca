"""search/units.py: three digits and a unit, at the edges between units too."""

import math

import pytest

from search.units import format_bytes, format_count, format_duration


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (762, "762"),
        (999, "999"),
        (1_000, "1k"),
        (7_391, "7.39k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (30_100_000, "30.1M"),
        (999_999_999, "1G"),
        (1_234_000_000_000, "1,234G"),
    ],
)
def test_counts(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (999_999, "1 MB"), (35_000_000, "35 MB"), (2.5e12, "2,500 GB")],
)
def test_sizes(size: float, text: str) -> None:
    assert format_bytes(size) == text


def test_a_duration_that_is_not_known() -> None:
    assert format_duration(math.inf) == format_duration(math.nan) == "?"
