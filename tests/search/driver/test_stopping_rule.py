"""The rule that stops students, on arbitrary students: what it promises, whatever the peers and their order."""

import itertools
import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from search.driver.stopping import Peer, Rungs, Stopping, Verdict, audited, decide, dominator_counts

UNAUDITED = Stopping(audit=0.0)
LARGEST = 6  # few values, so that ties and equal students are common
LEVEL = st.integers(0, LARGEST)
FEW = st.integers(0, 1)
POINTS = st.one_of(  # most are undominated where costs vary freely, few where they hardly do
    [st.lists(st.tuples(LEVEL, costs, costs), min_size=1, max_size=24) for costs in (LEVEL, FEW, st.just(1))]
)
ETAS = st.integers(2, 5)
RISING = st.lists(st.integers(0, 10**6), min_size=LARGEST + 1, max_size=LARGEST + 1, unique=True).map(sorted)

Point = tuple[int, int, int]
Step = tuple[int, int]  # a student, and which of its rungs (from 0) it reaches


def peer(number: int, point: Point) -> Peer:
    """A student: accuracy in sevenths, parameters, multiply-adds."""
    return Peer(number=number, accuracy=point[0] / (LARGEST + 1), params=point[1], macs=point[2])


def peers_of(points: Iterable[Point]) -> list[Peer]:
    return [peer(number, point) for number, point in enumerate(points)]


def last(peers: list[Peer], eta: int = 3) -> Verdict:
    """The verdict on the one that came last."""
    return decide(UNAUDITED.changed(eta=eta), 0, peers[-1].number, peers)


def beats(one: Point, other: Point) -> bool:
    return one != other and one[0] >= other[0] and one[1] <= other[1] and one[2] <= other[2]


@given(POINTS, ETAS)
def test_the_verdict_is_what_counting_by_hand_gives(points: list[Point], eta: int) -> None:
    counts = [sum(beats(other, point) for other in points) for point in points]
    better = sum(count < counts[-1] for count in counts)
    peers = peers_of(points)
    assert dominator_counts(peers) == counts
    assert [[a.dominates(b) for b in peers] for a in peers] == [[beats(a, b) for b in points] for a in points]
    assert last(peers, eta) == Verdict(
        goes_on=better * eta < len(points), dominators=counts[-1], better=better, peers=len(points)
    )


@given(POINTS, ETAS)
def test_a_student_that_none_beats_goes_on(points: list[Point], eta: int) -> None:
    assume(not any(beats(other, points[-1]) for other in points))
    assert last(peers_of(points), eta).goes_on


@given(POINTS, ETAS)
def test_a_student_better_than_all_goes_on(points: list[Point], eta: int) -> None:
    best = Peer(number=99, accuracy=1.0, params=0, macs=0)
    assert last([peer(n, (a, p + 1, m + 1)) for n, (a, p, m) in enumerate(points)] + [best], eta).goes_on


@given(POINTS, ETAS)
def test_a_student_worse_than_all_stops(points: list[Point], eta: int) -> None:
    """From the second at a rung on; how good the others are beside each other does not matter."""
    worst = Peer(number=99, accuracy=0.0, params=LARGEST + 1, macs=LARGEST + 1)
    others = [Peer(number=n, accuracy=(a + 1) / (LARGEST + 2), params=p, macs=m) for n, (a, p, m) in enumerate(points)]
    verdict = last([*others, worst], eta)
    assert verdict.dominators == len(points)
    assert not verdict.goes_on


@given(POINTS, ETAS, st.randoms(use_true_random=False))
def test_the_order_of_peers_does_not_matter(points: list[Point], eta: int, chance: random.Random) -> None:
    peers = peers_of(points)
    shuffled = peers.copy()
    chance.shuffle(shuffled)
    number = peers[-1].number
    rule = UNAUDITED.changed(eta=eta)
    assert decide(rule, 0, number, shuffled) == decide(rule, 0, number, peers)


@given(POINTS, ETAS, RISING, RISING, RISING)
def test_a_rising_map_of_an_objective_changes_nothing(
    points: list[Point], eta: int, accuracy: list[int], params: list[int], macs: list[int]
) -> None:
    """Whether costs are counted in millions or in logarithms."""
    mapped = [
        Peer(number=n, accuracy=accuracy[a] / 10**6, params=params[p], macs=macs[m])
        for n, (a, p, m) in enumerate(points)
    ]
    assert last(mapped, eta) == last(peers_of(points), eta)


@settings(max_examples=400, deadline=None)
@given(POINTS, ETAS, st.tuples(LEVEL, LEVEL, LEVEL))
def test_more_accuracy_or_less_cost_never_turns_going_on_into_a_stop(
    points: list[Point], eta: int, gain: Point
) -> None:
    accuracy, params, macs = points[-1]
    improved = (min(LARGEST, accuracy + gain[0]), max(0, params - gain[1]), max(0, macs - gain[2]))
    assume(last(peers_of(points), eta).goes_on)
    assert last(peers_of([*points[:-1], improved]), eta).goes_on


@st.composite
def searches(draw: st.DrawFn) -> tuple[list[tuple[int, int, list[int]]], list[int]]:
    """Students, (parameters, multiply-adds, accuracy at each rung), and an order in which they advance."""
    students = draw(st.lists(st.tuples(LEVEL, LEVEL, st.lists(LEVEL, min_size=2, max_size=2)), min_size=1, max_size=20))
    return students, draw(st.permutations([number for number in range(len(students)) for _ in range(2)]))


def run(search: tuple[list[tuple[int, int, list[int]]], list[int]], stopping: Stopping) -> list[tuple[int, Peer]]:
    """Asynchronous arrivals, in order: each student's next rung whenever it is its turn, unless it was stopped."""
    students, turns = search
    rungs, reached, ledger = Rungs(stopping, 7), [0] * len(students), []
    for number in turns:
        params, macs, accuracies = students[number]
        rung = reached[number]
        if rung and not rungs.verdicts[rung - 1, number].goes_on:
            continue
        arrival = (rung, peer(number, (accuracies[rung], params, macs)))
        rungs.arrive(*arrival)
        ledger.append(arrival)
        reached[number] += 1
    return ledger


def verdicts(ledger: list[tuple[int, Peer]], stopping: Stopping) -> dict[tuple[int, int], Verdict]:
    rungs = Rungs(stopping, 7)
    for epoch, arrived in ledger:
        rungs.arrive(epoch, arrived)
    return rungs.verdicts


@settings(deadline=None)
@given(searches(), ETAS, st.sampled_from([0.0, 0.3]))
def test_every_stopped_student_is_beaten_by_one_that_went_on(
    search: tuple[list[tuple[int, int, list[int]]], list[int]], eta: int, audit: float
) -> None:
    """At its own rung, by one that had gone on before it came."""
    stopping = UNAUDITED.changed(eta=eta, audit=audit)
    ledger = run(search, stopping)
    got = verdicts(ledger, stopping)
    for place, (rung, student) in enumerate(ledger):
        if not got[rung, student.number].goes_on:
            earlier = [other for epoch, other in ledger[:place] if epoch == rung]
            assert any(other.dominates(student) and got[rung, other.number].goes_on for other in earlier)


@settings(deadline=None)
@given(searches(), ETAS, st.sampled_from([0.0, 0.3]))
def test_every_stopped_student_is_linked_to_one_that_was_trained_to_its_end(
    search: tuple[list[tuple[int, int, list[int]]], list[int]], eta: int, audit: float
) -> None:
    """Through students that each beat the last one at the rung where it stopped, none of them costlier than the last.

    The one that beats a stopped student may itself be stopped at the next rung: the chain goes on from there. The rule
    promises its end only where every student that goes on reaches the next rung: one that fails on its way breaks it.
    """
    stopping = UNAUDITED.changed(eta=eta, audit=audit)
    ledger = run(search, stopping)
    got = verdicts(ledger, stopping)
    final = max(rung for rung, _ in ledger)
    stops = {
        student.number: (place, rung)
        for place, (rung, student) in enumerate(ledger)
        if not got[rung, student.number].goes_on
    }
    for number, (place, rung) in stops.items():
        chain = [ledger[place][1]]
        while True:
            earlier = [other for epoch, other in ledger[:place] if epoch == rung and got[rung, other.number].goes_on]
            chain.append(next(other for other in earlier if other.dominates(ledger[place][1])))
            if chain[-1].number not in stops:
                break
            assert stops[chain[-1].number][1] > rung, "it had gone on, so it stopped at a later rung"
            place, rung = stops[chain[-1].number]
        assert got[final, chain[-1].number].goes_on, f"student {number}'s chain ends before the end of training"
        assert all(o.params <= s.params and o.macs <= s.macs for s, o in itertools.pairwise(chain))


@settings(deadline=None)
@given(searches(), ETAS, st.integers(0, 60), st.randoms(use_true_random=False))
def test_replaying_the_ledger_gives_the_same_verdicts(
    search: tuple[list[tuple[int, int, list[int]]], list[int]], eta: int, cut: int, chance: random.Random
) -> None:
    """From any place on, and with reports that come again after it, as a lost worker's do."""
    stopping = UNAUDITED.changed(eta=eta, audit=0.3)
    ledger = run(search, stopping)
    once = verdicts(ledger, stopping)
    before = ledger[:cut]
    again = chance.sample(before, len(before) // 2)
    changed = [(epoch, student.changed(accuracy=chance.random())) for epoch, student in again]
    assert verdicts([*before, *changed, *ledger[cut:]], stopping) == once
    assert list(once) == [(epoch, student.number) for epoch, student in ledger]


def test_an_audited_student_goes_on_at_every_rung() -> None:
    stopping = Stopping(audit=0.5)
    good = [peer(number, (LARGEST, 0, 0)) for number in range(4)]
    for number in range(10, 60):
        bad = peer(number, (0, LARGEST, LARGEST))
        verdict = decide(stopping, 3, number, [*good, bad])
        assert verdict.goes_on == verdict.audited == audited(3, number, 0.5)
    assert not decide(stopping, 3, 0, good).audited


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_the_share_that_is_audited(share: float) -> None:
    found = [audited(seed, number, share) for seed in range(4) for number in range(2500)]
    assert sum(found) / len(found) == pytest.approx(share, abs=0.01)
    assert share not in (0.0, 1.0) or set(found) == {bool(share)}
    assert share != 0.05 or found[:2500] != found[2500:5000]


@pytest.mark.parametrize(
    ("rungs", "epochs", "expected"),
    [
        ((1 / 3, 2 / 3), 25, (8, 17)),
        ((1 / 3, 2 / 3), 30, (10, 20)),
        ((1 / 3, 2 / 3), 3, (1, 2)),
        ((1 / 3, 2 / 3), 2, (1,)),
        ((1 / 3, 2 / 3), 1, ()),
        ((0.01, 0.02, 0.5, 0.999), 10, (1, 5)),
    ],
)
def test_rung_epochs(rungs: tuple[float, ...], epochs: int, expected: tuple[int, ...]) -> None:
    assert Stopping(rungs=rungs).rung_epochs(epochs) == expected


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rungs": ()}, ("`rungs` is ()", "write (1/3, 2/3)")),
        ({"rungs": (0.5, 0.5)}, ("`rungs` is (0.5, 0.5)", "larger than the last")),
        ({"rungs": (0.5, 1.0)}, ("`rungs` is (0.5, 1.0)", "between 0 and 1")),
        ({"rungs": (0.0, 0.5)}, ("`rungs` is (0.0, 0.5)", "between 0 and 1")),
        ({"eta": 1}, ("`eta` is 1", "write 2 or more")),
        ({"audit": 1.5}, ("`audit` is 1.5", "write 0 to 1")),
        ({"audit": -0.1}, ("`audit` is -0.1", "write 0 to 1")),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule_and_remedy(fields: dict[str, object], named: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as error:
        Stopping.model_validate(fields)
    assert all(part in str(error.value) for part in named)


@pytest.mark.parametrize("points", [[], [(1, 1, 1)], [(1, 1, 1), (1, 1, 1)]], ids=["none", "another", "twice"])
def test_a_student_is_one_of_its_peers_once(points: list[Point]) -> None:
    peers = [peer(4 if len(points) == 1 else 5, point) for point in points]
    with pytest.raises(ValueError, match=r"trial 5 is compared with trials \[.*\], but .*: pass every one"):
        decide(UNAUDITED, 0, 5, peers)


def test_stopping_and_verdicts_are_values() -> None:
    make: Callable[[], Stopping] = Stopping
    assert Stopping.model_validate_json(make().canonical()) == make()
    verdict = last([peer(0, (1, 1, 1))])
    assert Verdict.model_validate_json(verdict.canonical()) == verdict


def test_counts_that_are_kept_up_over_many_arrivals_are_those_by_hand() -> None:
    chance = random.Random(0)
    points = [(chance.randrange(LARGEST + 1), chance.randrange(9), chance.randrange(9)) for _ in range(150)]
    rungs, peers = Rungs(UNAUDITED, 0), peers_of(points)
    for number, arrived in enumerate(peers):
        seen = points[: number + 1]
        counts = [sum(beats(other, point) for other in seen) for point in seen]
        verdict = rungs.arrive(1, arrived)
        assert (verdict.dominators, verdict.better) == (counts[-1], sum(count < counts[-1] for count in counts))
