"""The budget's fields: what they show, typed again, admits the students that it admitted before."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.widgets.panel import UNITS, entered, in_unit
from search.read.budget import FOOTPRINT, Budget, fitting
from search.read.reader import read
from search.read.tradeoffs import verdict
from tests.app import synthetic
from tests.app.pages import Opened

WHOLE = ("max_params", "max_macs", *FOOTPRINT)


@pytest.mark.parametrize("digits", [3, 6])
@given(value=st.floats(1e-4, 1e12))
def test_what_a_field_shows_is_no_tighter_than_its_limit(digits: int, value: float) -> None:
    for name in UNITS:
        if name == "min_accuracy":
            share = value / 1e12
            assert share - 1.01e-4 < entered(name, in_unit(name, share)) <= share
            continue
        limit = max(1, int(value)) if name in WHOLE else value
        assert limit <= entered(name, in_unit(name, limit, digits)) <= 1 + limit * (1 + 1.01 * 10.0 ** (1 - digits))


@pytest.mark.parametrize(("share", "shown"), [(0.57, 57.0), (0.92618, 92.61), (1.0, 100.0), (0.9999, 99.99)])
def test_an_accuracy_is_shown_in_percent_rounded_down(share: float, shown: float) -> None:
    assert in_unit("min_accuracy", share) == shown


def test_the_ranges_in_the_empty_fields_admit_their_own_students(path: Path, opened: Opened) -> None:
    url = synthetic.study(path, 60)
    at = opened()
    rows = fitting(read(url, "digits").candidates, Budget())
    for field in at.number_input:
        assert field.key is not None and field.placeholder is not None
        name = field.key.removeprefix("w_")
        low, high = (float(word) for word in field.placeholder.removeprefix("found ").split(" to "))
        admitted = {
            end: [c for c in rows if not verdict(c, Budget.model_validate({name: entered(name, end)}))]
            for end in (low, high)
        }
        easy, hard = (low, high) if name == "min_accuracy" else (high, low)
        assert len(admitted[easy]) == len(rows) and admitted[hard], (name, field.placeholder)
