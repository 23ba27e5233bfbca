"""Fronts, knees and hypervolumes against brute force."""

import math
from collections.abc import Sequence
from typing import Any

import moocore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.read import pareto

SMALL = st.integers(0, 6).map(float)


def brute(points: Sequence[Sequence[float]]) -> list[int]:
    """Everything that no other point dominates, pair by pair."""

    def beats(a: Sequence[float], b: Sequence[float]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)

    return [i for i, p in enumerate(points) if not any(beats(q, p) for q in points)]


@given(st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=40))
def test_front_of_three_is_brute_force(points: list[tuple[float, float, float]]) -> None:
    assert pareto.front(points) == brute(points)


@given(st.lists(st.tuples(SMALL, SMALL), max_size=40))
def test_front_of_two_is_brute_force(points: list[tuple[float, float]]) -> None:
    assert pareto.front(points) == brute(points)


def test_a_nan_is_never_on_the_front_and_hides_nobody() -> None:
    assert pareto.front([(math.nan, 0.0), (1.0, 1.0), (0.0, math.nan)]) == [1]
    assert pareto.front([(math.nan, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, math.nan, 0.0)]) == [1]
    assert pareto.front([(math.nan, 0.0)]) == []


def test_front_of_nothing_is_nothing() -> None:
    assert pareto.front([]) == []


@given(st.lists(st.tuples(SMALL, SMALL), max_size=12))
def test_hypervolume_is_the_covered_grid(points: list[tuple[float, float]]) -> None:
    reference = (5.0, 5.0)
    found = list(pareto.hypervolumes(points, reference))
    for n, step in enumerate(found, start=1):
        cells = {(x, y) for x in range(5) for y in range(5) if any(p[0] <= x and p[1] <= y for p in points[:n])}
        assert step.hypervolume == pytest.approx(len(cells))
        mine = points[n - 1]
        assert step.joined == (not any(p[0] <= mine[0] and p[1] <= mine[1] for p in points[: n - 1]))
    areas = [step.hypervolume for step in found]
    assert areas == sorted(areas)


def test_hypervolume_ignores_a_nan() -> None:
    found = pareto.hypervolumes([(1.0, 1.0), (math.nan, 0.0)], (2.0, 2.0))
    assert list(found) == [(True, 1.0), (False, 1.0)]


def test_points_behind_the_front_cost_no_library_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of thousands of students draws its history anew at every refresh; few of them join the front."""
    calls: list[str] = []
    for name in ("hypervolume", "is_nondominated"):
        plain = getattr(moocore, name)

        def counted(*args: Any, plain: Any = plain, name: str = name, **options: Any) -> Any:
            calls.append(name)
            return plain(*args, **options)

        monkeypatch.setattr(moocore, name, counted)
    behind = [(0.5 + i / 1000, 1.5 - i / 1000) for i in range(500)]
    found = list(pareto.hypervolumes([(0.0, 1.0), (0.5, 0.5), *behind, (1.0, 0.0)], (2.0, 2.0)))
    assert [n for n, step in enumerate(found) if step.joined] == [0, 1, len(found) - 1]
    assert len(calls) <= 3 * 2, "the three points that joined"


def test_knee_is_the_bend() -> None:
    front = [(0.0, 10.0), (1.0, 2.0), (4.0, 1.5), (7.0, 1.0), (10.0, 0.0)]
    assert pareto.knee(front) == 1
    assert pareto.knee(front[::-1]) == 3


@pytest.mark.parametrize(
    "front",
    [[], [(0.0, 1.0)], [(0.0, 4.0), (1.0, 3.0), (2.0, 2.0), (3.0, 1.0)], [(float(i), 4.0 - i) for i in range(5)]],
    ids=["none", "one", "four", "a straight line"],
)
def test_no_knee_without_a_bend(front: list[tuple[float, float]]) -> None:
    assert pareto.knee(front) is None
