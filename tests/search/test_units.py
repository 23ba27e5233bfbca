"""search/units.py: what is shown is rounded so that, typed as a limit, it admits the student it was shown of."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitnets.errors import InputError
from search.read.budget import Broken
from search.units import (
    format_accuracy,
    format_bytes,
    format_count,
    format_duration,
    format_number,
    parse_accuracy,
    parse_bytes,
    parse_count,
    parse_number,
    rounded_down,
    rounded_up,
    typed_bytes,
    typed_count,
)

AMOUNTS = st.floats(1e-9, 1e15, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (762, "762"),
        (999, "999"),
        (1_000, "1k"),
        (1_001, "1.01k"),
        (7_391, "7.4k"),
        (20_802, "20.9k"),
        (999_000, "999k"),
        (999_001, "1M"),
        (30_100_000, "30.1M"),
        (999_999_999, "1G"),
        (1_234_000_000_000, "1.24T"),
    ],
)
def test_counts(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (999_999, "1 MB"), (35_000_000, "35 MB"), (2.5e12, "2.5 TB")],
)
def test_sizes(size: float, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.31, "0.31"), (0.31201, "0.313"), (1.1, "1.1"), (12, "12"), (1234.5, "1240"), (2e-7, "0.0000002")],
)
def test_numbers(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.57, "57.00%"), (0.92618, "92.61%"), (0.99999, "99.99%"), (1, "100.00%")]
)
def test_accuracies(share: float, text: str) -> None:
    assert format_accuracy(share) == text


def test_what_is_not_known_is_shown_too() -> None:
    assert format_duration(math.inf) == format_duration(math.nan) == "?"
    for value in (math.inf, math.nan):
        for text in (format_count(value), format_bytes(value), format_number(value), format_accuracy(value)):
            assert text.startswith(str(value))


# round trips: any value is within the limit that it is shown as, and no further from it than the last digit shown


@given(st.integers(1, 10**15))
def test_a_count_is_within_the_limit_that_it_is_shown_as(count: int) -> None:
    limit = parse_count(format_count(count), "--max-params")
    assert limit is not None and count <= limit < count + 10 ** max(0, len(str(count)) - 3) + 1


@given(AMOUNTS)
def test_a_latency_or_a_size_is_within_the_limit_that_it_is_shown_as(value: float) -> None:
    limit = parse_number(f"{format_number(value)} ms", "--max-latency-ms", "ms")
    assert limit is not None and value <= limit <= value + 1.01 * 10.0 ** (math.floor(math.log10(value)) - 2)


@given(st.integers(1, 10**12))
def test_a_file_is_within_the_limit_that_its_size_is_shown_as(size: int) -> None:
    limit = parse_number(f"{format_number(size / 1000)} kB", "--max-size-kb", "kB")
    assert limit is not None and size / 1000 <= limit <= 1.01 * size / 1000 + 1e-9


@given(st.floats(0.01, 1))
def test_an_accuracy_keeps_the_limit_that_it_is_shown_as(share: float) -> None:
    limit = parse_accuracy(format_accuracy(share), "--min-accuracy")
    assert limit is not None and share - 1e-4 - 1e-12 < limit <= share


@given(AMOUNTS, st.integers(0, 6))
def test_rounding_to_places_has_a_direction(value: float, places: int) -> None:
    assert rounded_down(value, places) <= value <= rounded_up(value, places)


@given(AMOUNTS, AMOUNTS)
def test_a_broken_limit_never_looks_kept(value: float, allowed: float) -> None:
    for limit in ("max_params", "max_latency_ms", "max_size_kb"):
        high, low = max(value, allowed), min(value, allowed)
        if high > low:
            text = Broken(limit=limit, value=high, allowed=low).text()
            shown = text.split("allows ")[1].split(" (")[0].replace(",", "").split(" it has ")
            assert float(shown[1]) >= high and float(shown[0]) < float(shown[1]), text


@given(st.integers(1, 10**15))
def test_what_is_shown_to_be_typed_is_exact(number: int) -> None:
    assert parse_count(typed_count(number), "--max-params") == number
    assert parse_bytes(typed_bytes(number), "--max-memory") == number


@given(st.integers(1, 10**5))
def test_a_size_of_three_digits_loses_no_byte(number: int) -> None:
    """As a float, 8.03kB is 8,029.99 bytes."""
    assert parse_bytes(f"{number / 100:.2f}kB", "--max-memory") == 10 * number


# what is typed


def check_refused(parse: Callable[[str, str], object], option: str, text: str, rule: str, meant: str) -> None:
    """The error names the option, the text and the rule, and what may be meant where that can be said."""
    with pytest.raises(InputError) as caught:
        parse(text, option)
    ending = f": did you mean {meant}?" if meant else "."
    assert str(caught.value) == f"`{option}` is `{text}`, but {rule}{ending}"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("20.8", "20.8k or 20.8M"),
        ("20,8k", "20.8k"),
        ("250K", "250k"),
        ("250 k", "250k"),
        ("250m", "250M"),
        ("1.0005k", ""),
        ("-250k", ""),
        ("1e6", ""),
    ],
)
def test_a_count_that_is_none_says_what_may_be_meant(text: str, meant: str) -> None:
    check_refused(parse_count, "--max-macs", text, "a count is written as 250k, 0.25M, 30M or 250000", meant)


@pytest.mark.parametrize(
    ("text", "share"),
    [("0.97", 0.97), ("97%", 0.97), ("97.5 %", 0.975), ("0", 0.0), ("1", 1.0), (".5", 0.5), ("1%", 0.01)],
)
def test_an_accuracy_is_a_fraction_or_a_percentage(text: str, share: float) -> None:
    assert parse_accuracy(text, "--min-accuracy") == share


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("97", "0.97"),
        ("0,97", "0.97"),
        ("97,5%", "0.975"),
        ("0.97%", "0.97"),
        ("100", "1"),
        ("1.5", ""),
        ("150%", ""),
        ("-0.9", ""),
        ("-5%", ""),
        ("nan", ""),
        ("", ""),
    ],
)
def test_an_accuracy_that_is_none_says_what_may_be_meant(text: str, meant: str) -> None:
    check_refused(parse_accuracy, "--min-accuracy", text, "an accuracy is written as 0.97 or 97%", meant)


@pytest.mark.parametrize("text", ["5,2", "-1", "0", "0.0", "nan", "inf", "fast", "5 kB", "1e400"])
def test_a_number_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match=f"`--max-latency-ms` is `{text}`, but it is a number of ms above 0, as 12.5"):
        parse_number(text, "--max-latency-ms", "ms")
