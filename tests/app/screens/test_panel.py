"""The budget's fields: limits as people write them; what a field shows, typed again, is the same limit."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app.widgets.panel import LABELS, entered, typed
from fitnets.errors import InputError
from search.read.budget import FOOTPRINT, Budget, fitting
from search.read.reader import read
from search.read.tradeoffs import verdict
from tests.app import synthetic
from tests.app.pages import Opened, words

WHOLE = ("max_params", "max_macs", *FOOTPRINT)


@given(value=st.floats(1e-4, 1e12))
def test_what_a_field_shows_is_its_limit(value: float) -> None:
    for name in LABELS:
        if name == "min_accuracy":
            share = value / 1e12
            assert entered(name, typed(name, share)) == pytest.approx(share, rel=1e-12)
            continue
        limit = max(1, int(value)) if name in WHOLE else value
        again = entered(name, typed(name, limit))
        assert again is not None
        if name == "max_size_kb":  # of whole bytes
            assert limit <= again <= limit + 0.001 + 1e-9 * limit
        else:
            assert again == limit


@pytest.mark.parametrize(
    ("name", "text", "limit", "shown"),
    [
        ("max_params", "250k", 250_000, "250k"),
        ("max_params", " 250,000 ", 250_000, "250k"),
        ("max_macs", "30M", 30_000_000, "30M"),
        ("max_memory", "64KiB", 65_536, "64KiB"),
        ("max_int8_size", "7391", 7391, "7.391kB"),
        ("max_size_kb", "2.3 MB", 2300.0, "2.3MB"),
        ("max_latency_ms", "0.31", 0.31, "0.31 ms"),
        ("min_accuracy", "97.5%", 0.975, "97.5%"),
        ("min_accuracy", "0.57", 0.57, "57%"),
        ("max_params", "  ", None, ""),
    ],
)
def test_a_limit_is_written_as_for_a_command(name: str, text: str, limit: float | None, shown: str) -> None:
    assert entered(name, text) == limit
    assert limit is None or typed(name, limit) == shown


def test_a_limit_beyond_all_is_refused() -> None:
    with pytest.raises(InputError, match="`Parameters, at most` is `9999T`, but a limit is at most 1000T"):
        entered("max_params", "9999T")


def typed_in(at: AppTest, text: str) -> AppTest:
    """The page after a text was typed into the field of the parameters."""
    next(field for field in at.text_input if field.key == "w_max_params").set_value(text).run()
    assert not at.exception
    return at


def field_and_limit(at: AppTest) -> tuple[str, str | None]:
    """What stands in that field, and the limit in the address."""
    return str(at.text_input(key="w_max_params").value), at.query_params.get("max_params")


def test_a_wrong_text_stays_with_its_error_and_the_last_good_budget_holds(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = typed_in(opened(), "4k")
    assert field_and_limit(at) == ("4k", "4000") and "Within **4k parameters**" in words(at)
    at = typed_in(at, "4 thousand")
    assert field_and_limit(at) == ("4 thousand", "4000"), "nothing is lost"
    assert "Within **4k parameters**" in words(at)
    (got,) = (error.value.replace("\\", "") for error in at.error)
    assert got == (
        "`Parameters, at most` is `4 thousand`, but a count is written as 250k, 0.25M, 30M or 250000. "
        "Until then, 4k still holds."
    )
    at = typed_in(at, "3000")
    assert field_and_limit(at) == ("3000", "3000") and not at.error
    at = typed_in(at, "")
    assert field_and_limit(at) == ("", None) and "Within" not in words(at), "empty: no limit"
    at = typed_in(at, "-1")
    assert "Until then, there is still no limit" in at.error[0].value.replace("\\", "")


@pytest.mark.parametrize("button", ["Clear the budget", "Preset"])
def test_what_fills_the_fields_takes_a_wrong_text_away(path: Path, opened: Opened, button: str) -> None:
    synthetic.study(path, 60)
    at = typed_in(opened(), "no number")
    assert at.error
    if button == "Preset":
        at.selectbox(key="w_preset").select("10 times smaller than the teacher").run()
    else:
        next(b for b in at.button if b.label == button).click().run()
    assert not at.exception and not at.error
    assert field_and_limit(at) == (("8.445k", "8445") if button == "Preset" else ("", None))


def test_a_limit_of_the_address_stands_in_its_field(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened(max_params="7391", max_memory="65536", min_accuracy="0.5")
    shown = {field.key: field.value for field in at.text_input if field.value}
    assert shown == {"w_max_params": "7.391k", "w_max_memory": "64KiB", "w_min_accuracy": "50%"}


def test_the_ranges_in_the_empty_fields_admit_their_own_students(path: Path, opened: Opened) -> None:
    url = synthetic.study(path, 60)
    at = opened()
    rows = fitting(read(url, "digits").candidates, Budget())
    fields = [field for field in at.text_input if field.key != "w_max_latency_ms"]
    assert {field.key for field in fields} == {f"w_{name}" for name in LABELS if name != "max_latency_ms"}
    for field in fields:
        assert field.key is not None and field.placeholder is not None
        name = field.key.removeprefix("w_")
        low, high = field.placeholder.removeprefix("found ").split(" to ")
        admitted = {
            end: [c for c in rows if not verdict(c, Budget.model_validate({name: entered(name, end)}))]
            for end in (low, high)
        }
        easy, hard = (low, high) if name == "min_accuracy" else (high, low)
        assert len(admitted[easy]) == len(rows) and admitted[hard], (name, field.placeholder)
