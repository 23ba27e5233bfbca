"""The choice of the next student: random ones within the limits, ranked by what they promise at their known costs."""

import random
import statistics
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from threadpoolctl import threadpool_info, threadpool_limits

from fitnets.nets.cost import Costs, cost
from search.driver.ledger import STOPPED_AT, Ledger
from search.driver.loop import DIRECTIONS
from search.driver.rungs import with_arrival
from search.driver.sampling import proposals
from search.driver.sampling.draw import Draw, Proposal
from search.driver.sampling.proposals import FIRST, Known, Proposals
from search.driver.sampling.ranking import PENALTIES, Features, expected_gains, predicted
from search.driver.stopping import Arrival
from search.space import Space, params_of, recipe_of, suggest
from search.storage.writer import open_storage
from search.study import Study
from search.workers.protocol import Stopped
from tests.helpers import STUDY as TINY

SPACE = Space(depth=(1, 4), base_width=(8, 32), regressors=("linear", "normalised"))
STUDY = TINY.changed(space=SPACE, seed=7)
FRAME = STUDY.frame((3, 32, 32), 10, 4)
COSTS = [Costs(1_000, 20_000), Costs(100_000, 9_000_000)]


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to see that there is a choice."""
    monkeypatch.setattr(proposals, "CANDIDATES", 8)
    monkeypatch.setattr(proposals, "CROWDED", 4)


def values_of(proposal: Proposal) -> list[float]:
    params, price = proposal.params, proposal.cost
    accuracy = 0.9 - 300 / price.params - 0.1 * abs(params["guided"] - 0.6) - 0.02 * params["tau"]
    return [accuracy, float(np.log10(price.params)), float(np.log10(price.macs))]


def in_memory() -> tuple[optuna.Study, optuna.storages.BaseStorage]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage()
    return optuna.create_study(study_name="s", storage=storage, directions=DIRECTIONS), storage


def searched(ledger: Ledger, trials: int, flight: int, study: Study = STUDY) -> list[Proposal]:
    """The students that a study proposes, several in training at a time; every seventh is stopped at a rung."""
    asked, found = [t.number for t in ledger.trials if t.state == TrialState.RUNNING], list[Proposal]()
    source = Proposals(study, FRAME)
    for _ in range(trials):
        proposal = source.next(ledger.trials)
        found.append(proposal)
        reached = 0.8 * values_of(proposal)[0]
        arrival = Arrival(goes_on=True, dominators=0, better=0, peers=1, epoch=2, order=len(asked), accuracy=reached)
        about = {"cost": proposal.cost.model_dump(mode="json"), "values": values_of(proposal)}
        asked.append(ledger.add(proposal, about | with_arrival({}, arrival)))
        if len(asked) > flight:
            first = asked.pop(0)
            stopped = first % 7 == 6
            if stopped:
                ledger.note(first, **{STOPPED_AT: {"epoch": 2, "seconds": 1.0}})
            state, values = (TrialState.PRUNED, None) if stopped else (TrialState.COMPLETE, about_of(ledger, first))
            ledger.tell(first, state, values)
    return found


def about_of(ledger: Ledger, number: int) -> list[float]:
    values: list[float] = ledger.trials[number].user_attrs["values"]
    return values


def test_a_draw_has_the_distributions_of_an_optuna_trial() -> None:
    drawn, theirs = Draw(random.Random(0)), in_memory()[0].ask()
    ours = suggest(drawn, SPACE)
    assert suggest(theirs, SPACE).keys() == ours.keys()
    assert drawn.distributions == theirs.distributions
    assert drawn.params == ours


def test_draws_spread_as_optunas_random_ones() -> None:
    """Means of 500 draws, against those of Optuna's random sampler."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    theirs = optuna.create_study(sampler=RandomSampler(seed=0))
    chance = random.Random(0)
    both = [[suggest(theirs.ask(), SPACE) for _ in range(500)], [suggest(Draw(chance), SPACE) for _ in range(500)]]
    for name in ("depth1", "base_width", "guided", "tau", "lr1", "lr2", "lambda_start"):
        stock, ours = (np.array([params[name] for params in draws], dtype=float) for draws in both)
        error = (stock.var() / 500 + ours.var() / 500) ** 0.5
        assert abs(stock.mean() - ours.mean()) < 4 * error, name


def test_given_parameters_are_taken_and_single_values_need_no_sampler() -> None:
    drawn = Draw(random.Random(0), {"tau": 2.5, "depth1": 3})
    params = suggest(drawn, SPACE.changed(lr1=(1e-3, 1e-3)))
    assert (params["tau"], params["depth1"], params["lr1"]) == (2.5, 3, 1e-3)
    assert drawn.params == params


def test_a_named_student_is_proposed_as_designed_with_the_nearest_draw() -> None:
    recipe = recipe_of(suggest(Draw(random.Random(3)), SPACE), SPACE, FRAME)
    named = Proposals(STUDY, FRAME).named(recipe)
    assert (named.recipe, named.cost) == (recipe, cost(recipe.student))
    assert named.params == params_of(recipe, SPACE, FRAME)


def test_features_have_mean_0_and_variance_1_over_the_space() -> None:
    drawn = [Draw(random.Random(seed)) for seed in range(2000)]
    for draw in drawn:
        suggest(draw, SPACE)
    features = Features(drawn[0].distributions, *COSTS)
    rows = np.array([features.of(draw.params, COSTS[0]) for draw in drawn])
    assert rows.shape[1] == len(features)
    places = [index for index, name in enumerate(_columns(features)) if name in ("guided", "tau", "lr1", "multiplier2")]
    assert len(places) == 4
    assert np.abs(rows[:, places].mean(0)).max() < 0.1
    assert np.abs(rows[:, places].var(0) - 1).max() < 0.1
    middle = Costs(10_000, round((20_000 * 9_000_000) ** 0.5))
    assert np.allclose(features.of(drawn[0].params, middle)[:5], 0, atol=1e-3)
    assert np.allclose(features.costs(COSTS[0]), 0) and np.allclose(features.costs(COSTS[1]), 1)


def _columns(features: Features) -> list[str]:
    """The parameter of each feature that is one as it is, "" for the others."""
    names = [""] * 5
    for name, kind in features._space.items():
        choices = getattr(kind, "choices", None)
        names += [""] * (len(choices) - 1) if choices else [name, ""]
    return names


@pytest.mark.parametrize(("noise", "penalty"), [(0.1, 1.0), (3.0, 10.0), (30.0, 100.0)])
def test_the_prediction_is_the_ridge_regression_with_least_leave_one_out_error(noise: float, penalty: float) -> None:
    """Against least squares with rows for the penalty, solved once for each student that is left out."""
    chance = np.random.default_rng(0)
    x, new = chance.normal(size=(30, 6)), chance.normal(size=(5, 6))
    y = x @ np.ones(6) + noise * chance.normal(size=30)

    def fitted(rows: list[int], penalty: float) -> Any:
        penalties = np.hstack([np.zeros((6, 1)), penalty**0.5 * np.eye(6)])
        left = np.vstack([np.hstack([np.ones((len(rows), 1)), x[rows]]), penalties])
        return np.linalg.lstsq(left, np.concatenate([y[rows], np.zeros(6)]), rcond=None)[0]

    everyone = list(range(30))
    errors = {}
    for tried in PENALTIES:
        fits = [(i, fitted([j for j in everyone if j != i], tried)) for i in everyone]
        errors[tried] = np.sqrt(np.mean([(y[i] - fit[0] - x[i] @ fit[1:]) ** 2 for i, fit in fits]))
    best = min(PENALTIES, key=errors.__getitem__)
    intercept, *weights = fitted(everyone, best)
    means, spreads = predicted(x, y, new)
    assert best == penalty
    assert means == pytest.approx(intercept + new @ weights)
    least = errors[best]
    assert (spreads >= least * (1 - 1e-9)).all()
    center = x.mean(0)
    assert predicted(x, y, center[None])[1][0] == pytest.approx(least)
    assert predicted(x, y, center[None] + 100)[1][0] > 10 * least


def test_the_expected_gain_is_that_of_many_trainings() -> None:
    chance = np.random.default_rng(1)
    finished, costs = chance.random((12, 3)), chance.random((4, 2)) * 0.8
    means, spreads = chance.random(4) * 0.5, np.full(4, 0.2)
    worst = np.array([1.0, 1.1, 1.1])
    base = moocore.hypervolume(finished, ref=worst)
    for cost_of, mean, spread, found in zip(
        costs, means, spreads, expected_gains(finished, costs, means, spreads), strict=True
    ):
        gains = [
            moocore.hypervolume(np.vstack([finished, [loss, *cost_of]]), ref=worst) - base
            for loss in mean + spread * chance.normal(size=4000)
        ]
        assert found == pytest.approx(np.mean(gains), rel=0.1)


def test_the_most_accurate_student_counts_though_it_costs_most() -> None:
    gain = expected_gains(np.array([[0.2, 0.2, 0.2]]), np.ones((1, 2)), np.array([0.0]), np.array([0.0]))
    assert gain[0] == pytest.approx(0.2 * 0.1 * 0.1)


def test_a_student_that_is_surely_dominated_gains_nothing() -> None:
    finished = np.array([[0.2, 0.2, 0.2]])
    costs = np.array([[0.3, 0.3], [0.1, 0.3]])
    gains = expected_gains(finished, costs, np.array([0.5, 0.5]), np.array([0.0, 0.0]))
    assert gains[0] == 0 < gains[1]


def test_the_order_in_which_students_end_changes_nothing() -> None:
    draws = [Draw(random.Random(seed)) for seed in range(100)]
    for draw in draws:
        suggest(draw, SPACE)
    costs = [Costs(1000 + 997 * i % 90_000, 20_000 + 104_729 * i % 8_000_000) for i in range(100)]
    features = Features(draws[0].distributions, *COSTS)
    order, chosen = list(range(80)), set()
    for seed in range(3):
        random.Random(seed).shuffle(order)
        known = Known(features)
        for i in order:
            accuracy = 0.5 + 0.4 * draws[i].params["guided"]
            stopped = i % 3 == 0
            known.add(i, draws[i].params, costs[i], None if stopped else accuracy, {2: 0.8 * accuracy})
        chosen.add(known.best([(draws[i].params, costs[i]) for i in range(80, 100)]))
    assert len(chosen) == 1


def test_the_first_students_are_random_ones() -> None:
    known = Known(Features({}, *COSTS))
    for number in range(FIRST):
        assert known.best([({}, COSTS[1]), ({}, COSTS[0])]) == 0
        known.add(number, {}, COSTS[1], 0.9 - 0.1 * number, {})
    assert known.best([({}, COSTS[1]), ({}, COSTS[0])]) == 1, "it gains more than another of the same costs"


def test_students_below_the_least_accuracy_gain_nothing() -> None:
    """A cheap student of little accuracy dominates much of the space of log costs; who has no use for it, says so."""
    (cheap, large), middle = COSTS, Costs(20_000, 2_000_000)
    chosen = []
    for least in (None, 0.8, 0.95):
        known = Known(Features({}, *COSTS), least)
        for number, (costs, accuracy) in enumerate([(cheap, 0.3), (large, 0.9), (middle, 0.85), (cheap, 0.32)]):
            known.add(number, {}, costs, accuracy, {})
        chosen.append(known.best([({}, Costs(1_200, 60_000)), ({}, Costs(60_000, 6_000_000))]))
    assert chosen == [0, 1, 0], "a least accuracy that nobody has is no help"


def test_a_stopped_student_counts_with_the_accuracy_it_would_have_reached() -> None:
    """What trained ones gained after its last rung, on average: 0.2 after epoch 2, and 0.1 after epoch 4."""
    chance = random.Random(0)
    draws = [Draw(chance) for _ in range(60)]
    for draw in draws:
        suggest(draw, SPACE)
    students = [(draw.params, Costs(10_000 + 997 * i, 200_000 + 104_729 * i)) for i, draw in enumerate(draws)]
    trained = [(0.5, {2: 0.2, 4: 0.35}), (0.6, {2: 0.5, 4: 0.55}), (0.7, {})]

    def chosen(*others: tuple[float | None, dict[int, float]]) -> int:
        known = Known(Features(draws[0].distributions, *COSTS))
        for number, (accuracy, rungs) in enumerate([*trained, *others]):
            known.add(number, *students[number], accuracy, rungs)
        return known.best(students[20:])

    without, stopped = chosen(), chosen((None, {2: 0.6}), (None, {2: 0.1, 4: 0.2}))
    assert stopped == chosen((0.8, {}), (0.3, {})) != without
    assert chosen((None, {2: 0.6}), (None, {2: 0.1, 4: 0.9})) == chosen((0.8, {}), (1.0, {})) != stopped
    assert chosen((None, {3: 0.9})) == without, "no trained student has passed its rung"


def test_proposals_are_within_the_limits() -> None:
    study, storage = in_memory()
    free = sorted(proposal.cost.params for proposal in searched(Ledger(study, storage), 30, 2))
    limited = STUDY.changed(max_params=free[6])
    study, storage = in_memory()
    assert max(proposal.cost.params for proposal in searched(Ledger(study, storage), 30, 2, limited)) <= free[6]


def test_a_choice_is_made_by_the_costs_of_whole_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate's costs are counted without its recipe; counted from the recipe, they give the same choice."""
    weighed = list[list[tuple[Any, Costs]]]()
    best = Known.best

    def noted(self: Known, candidates: Any) -> int:
        weighed.append(candidates)
        return best(self, candidates)

    monkeypatch.setattr(Known, "best", noted)
    study, storage = in_memory()
    found = searched(Ledger(study, storage), 12, 2, STUDY.changed(max_params=60_000))
    assert len(weighed) == len(found) == 12
    for proposal, candidates in zip(found, weighed, strict=True):
        slow = [(params, cost(recipe_of(params, SPACE, FRAME).student)) for params, _ in candidates]
        assert [costs for _, costs in candidates] == [Costs(price.params, price.macs) for _, price in slow]
        assert (proposal.params, proposal.cost) in slow
        assert proposal.recipe == recipe_of(proposal.params, SPACE, FRAME)


def test_there_is_none_where_nearly_all_are_over_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "REJECTS", 5)
    smallest = cost(recipe_of(suggest(Draw(random.Random(0)), SPACE), SPACE, FRAME).student).params // 1000
    with pytest.raises(Stopped, match="5 draws in a row were over the limits: raise `max_params`"):
        Proposals(STUDY.changed(max_params=smallest), FRAME).next([])


def test_a_crowd_chooses_among_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()
    best = Known.best

    def noted(self: Known, candidates: Any) -> int:
        asked.append(len(candidates))
        return best(self, candidates)

    monkeypatch.setattr(Known, "best", noted)
    monkeypatch.setattr(proposals, "CROWD", 4)
    study, storage = in_memory()
    searched(Ledger(study, storage), 8, 8)
    assert asked == [proposals.CANDIDATES] * 5 + [proposals.CROWDED] * 3


def test_proposals_find_better_students_than_chance() -> None:
    """Hypervolume of the values up to a fixed point, the median of three seeds, after 40 students."""

    def covered(seed: int, *, chosen: bool) -> float:
        study, storage = in_memory()
        ledger, chance = Ledger(study, storage), random.Random(seed)
        seeded = STUDY.changed(seed=seed)
        found = searched(ledger, 40, 2, seeded) if chosen else []
        while len(found) < 40:
            draw = Draw(chance)
            suggest(draw, SPACE)
            found.append(Proposals(seeded, FRAME)._proposal(draw, recipe_of(draw.params, SPACE, FRAME)))
        losses = [[-accuracy, params, macs] for accuracy, params, macs in map(values_of, found)]
        return float(moocore.hypervolume(np.array(losses), ref=np.array([-0.3, 6.0, 9.0])))

    pairs = [(covered(seed, chosen=True), covered(seed, chosen=False)) for seed in range(3)]
    assert statistics.median(ours for ours, _ in pairs) > statistics.median(theirs for _, theirs in pairs)


def test_a_continued_study_draws_as_an_uninterrupted_one(tmp_path: Path) -> None:
    study, storage = in_memory()
    whole = searched(Ledger(study, storage), 40, 1)
    parts = []
    for trials in (17, 23):
        kept = open_storage(f"sqlite:///{tmp_path}/studies.db")
        again = optuna.create_study(study_name="s", storage=kept, directions=DIRECTIONS, load_if_exists=True)
        parts += searched(Ledger(again, kept), trials, 1)
    assert parts == whole


def test_another_seed_gives_other_students() -> None:
    first, again, other = (Proposals(study, FRAME).next([]) for study in (STUDY, STUDY, STUDY.changed(seed=8)))
    assert first == again != other


def test_the_ledger_is_what_the_storage_holds(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/studies.db")
    study = optuna.create_study(study_name="s", storage=storage, directions=DIRECTIONS)
    ledger = Ledger(study, storage)
    searched(ledger, 12, 2, STUDY.changed(max_params=10_000_000))
    ledger.note(next(t.number for t in ledger.trials if t.state == TrialState.RUNNING), reason="none", reports=[1])
    stored = optuna.load_study(study_name="s", storage=storage).get_trials()
    for mine, theirs in zip(ledger.trials, stored, strict=True):
        assert (mine.number, mine.state, mine.values, mine.params) == (
            theirs.number,
            theirs.state,
            theirs.values,
            theirs.params,
        )
        assert (mine.distributions, mine.user_attrs) == (theirs.distributions, theirs.user_attrs)
        assert mine.constraints == theirs.constraints != {}
    assert ledger.counts == {state: sum(t.state == state for t in stored) for state in ledger.counts}


def test_a_choice_computes_on_one_thread_so_that_cores_change_no_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def blas_threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    def watched(*arguments: Any) -> Any:
        used.extend(blas_threads())
        return predicted(*arguments)

    monkeypatch.setattr(proposals, "predicted", watched)
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        searched(Ledger(*in_memory()), FIRST + 2, 0)
        assert blas_threads() == before
    assert used and set(used) == {1}
