"""Choosing among students, against brute force."""

import random
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitnets.nets.cost import cost
from search.read import tradeoffs
from search.read.budget import Budget, finished
from search.read.candidates import Candidate, Snapshot, Timing
from search.read.reader import read
from search.read.tradeoffs import AXES, Axis, accuracy, on_axis
from search.ship import latencies
from tests.app import synthetic


@cache
def snapshot() -> Snapshot:
    with tempfile.TemporaryDirectory() as folder:
        read_back = read(synthetic.study(Path(folder) / "studies.db", 200), "digits")
    trained = finished(read_back.candidates)
    return latencies.attached(read_back, {c.outcome.weights_sha256: _timing(c) for c in trained[::2] if c.outcome})


def _timing(c: Candidate) -> Timing:
    """Any time that is no function of the other costs."""
    milliseconds = 0.1 + (c.cost.params * 7919 + c.trial) % 997 / 100
    return Timing(p50_ms=milliseconds, p90_ms=milliseconds, threads=1, device="", date="", load=0.0)


@pytest.fixture
def rows() -> list[Candidate]:
    return finished(snapshot().candidates)


@pytest.mark.parametrize("axis", AXES)
def test_front_along_an_axis_is_brute_force(rows: list[Candidate], axis: Axis) -> None:
    rows = tradeoffs.measured(rows, axis)
    assert len(rows) > 50

    def beaten(c: Candidate) -> bool:
        mine = (on_axis(c, axis), -accuracy(c))
        theirs = [(on_axis(o, axis), -accuracy(o)) for o in rows]
        return any(x <= mine[0] and y <= mine[1] and (x, y) != mine for x, y in theirs)

    found = tradeoffs.front_on(rows, axis)
    assert {c.trial for c in found} == {c.trial for c in rows if not beaten(c)}
    costs = [on_axis(c, axis) for c in found]
    assert costs == sorted(costs)


@given(
    st.one_of(st.none(), st.integers(1, 60_000)),
    st.one_of(st.none(), st.integers(1, 3_000_000)),
    st.one_of(st.none(), st.floats(0, 1)),
)
def test_best_is_brute_force(params: int | None, macs: int | None, least: float | None) -> None:
    rows = finished(snapshot().candidates)
    budget = Budget(max_params=params, max_macs=macs, min_accuracy=least)
    inside = [
        c
        for c in rows
        if (params is None or c.cost.params <= params)
        and (macs is None or c.cost.macs <= macs)
        and (least is None or accuracy(c) >= least)
    ]
    found = tradeoffs.best(snapshot().candidates, budget, 5)
    assert [accuracy(c) for c in found] == sorted(map(accuracy, inside), reverse=True)[:5]
    miss = tradeoffs.nearest_miss(snapshot().candidates, budget)
    assert miss is not None
    worst = max((b.distance for b in miss[1]), default=0.0)
    assert worst == min(max((b.distance for b in tradeoffs.verdict(c, budget)), default=0.0) for c in rows)
    assert (worst == 0) == bool(inside)


def test_size_is_that_of_the_float32_weights(rows: list[Candidate]) -> None:
    c = rows[0]
    kb = c.cost.weight_bytes / 1000
    assert tradeoffs.verdict(c, Budget(max_size_kb=kb)) == []
    assert [b.limit for b in tradeoffs.verdict(c, Budget(max_size_kb=kb * 0.99))] == ["max_size_kb"]


def test_steps_are_the_neighbours_on_the_front(rows: list[Candidate]) -> None:
    front = tradeoffs.front_on(rows, "parameters")
    for i, c in enumerate(front):
        down, up = tradeoffs.steps(c, front, "parameters")
        assert (down.to if down else None) == (front[i - 1].trial if i else None)
        assert (up.to if up else None) == (front[i + 1].trial if i + 1 < len(front) else None)
        if up:
            assert up.gain == pytest.approx(accuracy(front[i + 1]) - accuracy(c)) and up.gain > 0
            assert up.factor == pytest.approx(front[i + 1].cost.params / c.cost.params) and up.factor > 1


def test_knee_is_on_the_front_and_inside_it(rows: list[Candidate]) -> None:
    front = tradeoffs.front_on(rows, "multiply-adds")
    knee = tradeoffs.knee_of(front, "multiply-adds")
    assert knee is not None and knee in front[1:-1]


def test_a_sample_keeps_the_front_its_neighbours_and_the_chosen(rows: list[Candidate]) -> None:
    worst = rows[-1]
    drawn = tradeoffs.sampled(rows, [worst], "parameters", limit=60)
    names = {c.trial for c in drawn}
    assert {c.trial for c in tradeoffs.front_on(rows, "parameters")} <= names
    assert {c.trial for c in tradeoffs.near_front(rows, "parameters", tradeoffs.NEAR)} <= names
    assert worst.trial in names
    assert len(drawn) == len(names) <= max(60, len(names))
    assert drawn == tradeoffs.sampled(rows, [worst], "parameters", limit=60)
    assert tradeoffs.sampled(rows, [], "parameters", limit=9999) == rows


def test_replicates_differ_in_the_seed_alone(tmp_path: Path) -> None:
    rng = random.Random(1)
    recipe = synthetic.recipe(rng)
    other = recipe.changed(student=synthetic.recipe(rng).student, hint=None, stage1=None)
    path = tmp_path / "studies.db"
    url = synthetic.empty(path)
    recipes = [recipe, recipe.changed(seed=recipe.seed + 1), recipe.without_hints(), other]
    synthetic.fill(path, [("COMPLETE", synthetic.trained(i, rng, r)) for i, r in enumerate(recipes)])
    found = read(url, "digits").candidates
    assert [c.trial for c in tradeoffs.replicates(found[0], found)] == [0, 1]
    assert {c.trial for c in tradeoffs.relatives(found[0], found)} == {0, 1, 2}
    assert found[0].cost == cost(recipe.student)
