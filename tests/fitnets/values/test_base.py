"""Values: frozen, closed, with one JSON and one digest."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fitnets.values.base import Value, canonical_json, explain, later, seed_of, sha256


class Point(Value):
    """A small value."""

    x: int
    y: tuple[float, ...] = ()


def test_equal_values_have_equal_digests_and_others_do_not() -> None:
    assert Point(x=1, y=(2,)) == Point.model_validate({"y": [2.0], "x": 1})
    assert Point(x=1, y=(2,)).digest() == Point.model_validate({"y": [2.0], "x": 1}).digest()
    assert len({Point(x=x, y=y).digest() for x in (1, 2) for y in ((), (1.0,), (1.5,))}) == 6


def test_digest_is_the_sha256_of_the_canonical_json() -> None:
    point = Point(x=1, y=(2.5,))
    assert point.canonical() == '{"x":1,"y":[2.5]}'
    assert point.digest() == hashlib.sha256(b'{"x":1,"y":[2.5]}').hexdigest()


def test_a_value_cannot_be_changed_or_extended() -> None:
    point = Point(x=1)
    with pytest.raises(ValidationError, match="frozen"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Point.model_validate({"x": 1, "z": 2})


def test_a_later_field_at_its_default_leaves_the_digest_as_it_was() -> None:
    class Longer(Point):
        z: int = later(7, ge=0)

    assert Longer(x=1).digest() == Longer(x=1, z=7).digest() == Point(x=1).digest()
    assert Longer.model_validate_json(Longer(x=1).canonical()).z == 7
    assert Longer(x=1, z=8).digest() != Longer(x=1).digest()
    assert Longer.model_validate_json(Longer(x=1, z=8).canonical()).z == 8
    assert Longer(x=1).changed(z=9).z == 9
    with pytest.raises(ValidationError):
        Longer(x=1, z=-1)


def test_changed_validates_again() -> None:
    assert Point(x=1).changed(x=5) == Point(x=5)
    with pytest.raises(ValidationError):
        Point(x=1).changed(x="five")
    with pytest.raises(ValidationError):
        Point(x=1).changed(z=5)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.booleans()))
def test_canonical_json_ignores_order_and_loses_nothing(value: dict[str, object]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(backwards)
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_sha256_of_text_is_that_of_its_bytes() -> None:
    assert sha256("abc") == sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_seeds_are_the_same_in_every_process() -> None:
    """A literal: `hash` would differ from run to run."""
    assert seed_of("order", 0, 1) == 5235859805464026190
    assert len({seed_of(name, seed, epoch) for name in "ab" for seed in range(5) for epoch in range(5)}) == 50
    assert all(0 <= seed_of(n) < 2**63 for n in range(200))


def test_explain_names_each_problem_and_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        Point.model_validate({"x": "one", "y": [1, "two"], "z": 0})
    lines = explain(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["x", "y.1", "z"]
    assert all("http" not in line for line in lines)
