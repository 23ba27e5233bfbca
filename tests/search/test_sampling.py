"""The sampler: Optuna's own proposals, a bounded history, draws that depend on nothing but seed and history."""

import random
import statistics
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from fitnets.values.base import seed_of
from search.driver.ledger import Ledger
from search.driver.loop import DIRECTIONS
from search.driver.sampling import FRONT, RECENT, History, draw
from search.space import Space, suggest
from search.storage.writer import open_storage

SPACE = Space(regressors=("linear", "normalised"))


def values_of(params: dict[str, Any]) -> list[float]:
    size = params["base_width"] * params["multiplier2"] + params["depth1"]
    return [1 - 1 / size - 0.1 * abs(params["guided"] - 0.6) - 0.01 * params["tau"], size, size * params["depth2"]]


def in_memory() -> tuple[optuna.Study, optuna.storages.BaseStorage]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage()
    return optuna.create_study(study_name="s", storage=storage, directions=DIRECTIONS), storage


def stock_draws(trials: int, flight: int) -> list[dict[str, Any]]:
    """Parameters that Optuna's own ask gives, several trials in flight, some of them over a limit."""
    study, _ = in_memory()
    asked: list[optuna.Trial] = []
    params = []
    for number in range(trials):
        study.sampler = TPESampler(seed=seed_of("draw", 7, number) % 2**32)
        trial = study.ask()
        params.append(suggest(trial, SPACE))
        over = params[-1]["base_width"] > 24
        trial.set_constraint("max_params", 0.5 if over else -0.5)
        if over:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            asked.append(trial)
        if len(asked) > flight:
            first = asked.pop(0)
            study.tell(first, values_of(first.params))
    return params


def our_draws(ledger: Ledger, trials: int, flight: int) -> list[dict[str, Any]]:
    asked, params = [t.number for t in ledger.trials if t.state == TrialState.RUNNING], []
    for _ in range(trials):
        drawn = ledger.draw()
        params.append(suggest(drawn, SPACE))
        over = params[-1]["base_width"] > 24
        state = TrialState.PRUNED if over else TrialState.RUNNING
        number = ledger.add(drawn, state, {"max_params": 0.5 if over else -0.5}, {})
        if not over:
            asked.append(number)
        if len(asked) > flight:
            first = asked.pop(0)
            ledger.tell(first, TrialState.COMPLETE, values_of(ledger.trials[first].params))
    return params


def test_proposals_are_those_of_one_stock_study() -> None:
    """Over the same trials, some in flight, some over a limit: a study of its own for each draw changes none."""
    study, storage = in_memory()
    assert our_draws(Ledger(study, storage, 7), 60, 3) == stock_draws(60, 3)


def test_a_draw_leaves_nothing_in_the_storage() -> None:
    study, storage = in_memory()
    ledger = Ledger(study, storage, 7)
    our_draws(ledger, 12, 2)
    suggest(ledger.draw(), SPACE)
    suggest(ledger.draw({"tau": 2.5}), SPACE)
    assert len(study.trials) == 12
    assert optuna.get_all_study_names(storage) == ["s"]


def test_a_limit_that_was_broken_steers_the_draws() -> None:
    """Trials over a limit are told as constraints: the sampler leaves where they lie."""
    over = {}
    for steered in (False, True):
        study, storage = in_memory()
        ledger, wide = Ledger(study, storage, 7), 0
        for number in range(60):
            drawn = ledger.draw()
            params = suggest(drawn, SPACE)
            broken = params["base_width"] > 16
            wide += broken and number >= 20
            state = TrialState.PRUNED if broken and steered else TrialState.RUNNING
            excess = {"max_params": params["base_width"] / 16 - 1} if steered else {}
            told = ledger.add(drawn, state, excess, {})
            if state == TrialState.RUNNING:
                ledger.tell(told, TrialState.COMPLETE, values_of(params))
        over[steered] = wide
    assert over[True] < 0.5 * over[False]


def test_draws_find_better_students_than_chance() -> None:
    """Hypervolume of the values up to a fixed point, the median of three seeds, after 60 trials."""

    def covered(seed: int, *, sampled: bool) -> float:
        study, storage = in_memory()
        ledger, losses = Ledger(study, storage, seed), []
        for number in range(60):
            drawn = ledger.draw()
            chance = draw(study.directions, (), seed, number)
            params = suggest(drawn if sampled else chance, SPACE)
            told = ledger.add(drawn if sampled else chance, TrialState.RUNNING, {}, {})
            ledger.tell(told, TrialState.COMPLETE, values_of(params))
            accuracy, size, work = values_of(params)
            losses.append([-accuracy, size, work])
        return float(moocore.hypervolume(np.array(losses), ref=np.array([0.0, 150.0, 500.0])))

    pairs = [(covered(seed, sampled=True), covered(seed, sampled=False)) for seed in range(3)]
    assert statistics.median(ours for ours, _ in pairs) > statistics.median(theirs for _, theirs in pairs)


def test_a_continued_study_draws_as_an_uninterrupted_one(tmp_path: Path) -> None:
    study, storage = in_memory()
    whole = our_draws(Ledger(study, storage, 7), 40, 1)
    parts = []
    for trials in (17, 23):
        kept = open_storage(f"sqlite:///{tmp_path}/studies.db")
        again = optuna.create_study(study_name="s", storage=kept, directions=DIRECTIONS, load_if_exists=True)
        parts += our_draws(Ledger(again, kept, 7), trials, 1)
    assert parts == whole


def test_the_ledger_is_what_the_storage_holds(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/studies.db")
    study = optuna.create_study(study_name="s", storage=storage, directions=DIRECTIONS)
    ledger = Ledger(study, storage, 7)
    our_draws(ledger, 12, 2)
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
        assert mine.constraints == theirs.constraints
    assert ledger.counts == {state: sum(t.state == state for t in stored) for state in ledger.counts}


def test_given_parameters_are_taken_and_single_values_need_no_sampler() -> None:
    study, storage = in_memory()
    drawn = Ledger(study, storage, 7).draw({"tau": 2.5, "depth1": 3})
    params = suggest(drawn, SPACE.changed(lr1=(1e-3, 1e-3)))
    assert (params["tau"], params["depth1"], params["lr1"]) == (2.5, 3, 1e-3)
    assert drawn.params == params
    assert drawn.distributions.keys() == params.keys()


def finished(number: int, chance: random.Random) -> FrozenTrial:
    kind = chance.choice([TrialState.COMPLETE] * 8 + [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING])
    a, b = chance.random(), round(chance.random(), 1)
    values = [a, b, round(a * b + 0.3 * chance.random(), 2)] if kind == TrialState.COMPLETE else None
    trial = create_trial(state=kind, values=values)
    trial.number = number
    return trial


def dominates(one: FrozenTrial, other: FrozenTrial) -> bool:
    better = [(x - y) * sign for x, y, sign in zip(one.values, other.values, (1, -1, -1), strict=True)]
    return bool(min(better) >= 0 and max(better) > 0)


def test_a_history_depends_on_its_trials_and_not_on_their_order() -> None:
    chance = random.Random(0)
    trials = [finished(number, chance) for number in range(1200)]
    directions = in_memory()[0].directions
    history = History(directions, trials)
    shuffled = trials.copy()
    chance.shuffle(shuffled)
    assert [t.number for t in History(directions, shuffled).recalled()] == [t.number for t in history.recalled()]
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    front = {t.number for t in complete if not any(dominates(other, t) for other in complete)}
    assert {t.number for t in history.front} == front
    recalled = {t.number for t in history.recalled()}
    running = {t.number for t in trials if t.state == TrialState.RUNNING}
    assert running <= recalled
    assert len(recalled) <= 2 * RECENT + FRONT + len(running)
    assert {t.number for t in complete[-RECENT:]} <= recalled
    assert len(front & recalled) >= min(len(front), FRONT)
    assert [t.number for t in History(directions, trials[:200]).recalled()] == [
        t.number for t in trials[:200] if t.state != TrialState.FAIL
    ]


def trial(number: int, state: TrialState, **constraints: float) -> FrozenTrial:
    made = create_trial(
        state=state, values=[0.5, 1.0, 1.0] if state == TrialState.COMPLETE else None, constraints=constraints
    )
    made.number = number
    return made


def recalled(trials: list[FrozenTrial], **most: int) -> list[int]:
    history = History(in_memory()[0].directions, random.Random(0).sample(trials, len(trials)))
    return [t.number for t in history.recalled(**most)]


def test_stopped_trials_are_recalled_unless_they_crowd_out_the_trained_ones() -> None:
    """Of 30 stopped ones, the oldest 12 are left out beside 2 trained ones; those over the limits stay as they were."""
    stopped = [trial(number, TrialState.PRUNED, max_params=-0.5) for number in range(0, 60, 2)]
    over = [trial(number, TrialState.PRUNED, max_params=0.5, max_macs=-0.5) for number in range(1, 61, 2)]
    done = [trial(number, TrialState.COMPLETE) for number in (100, 101)]
    assert recalled([*stopped, *done]) == [*range(24, 60, 2), 100, 101]
    assert recalled([*stopped, *over, *done]) == sorted([*range(24, 60, 2), *range(1, 61, 2), 100, 101])
    assert recalled([*over, *done]) == [*range(1, 61, 2), 100, 101]
    assert recalled(stopped) == []
    enough = [trial(number, TrialState.COMPLETE) for number in range(100, 104)]
    assert recalled([*stopped, *enough]) == [*range(0, 60, 2), *range(100, 104)]
    assert recalled([*stopped, *over, *enough], recent=5) == [50, 51, 52, 53, 54, 55, 56, 57, 58, 59, *range(100, 104)]


def test_a_stopped_trial_is_no_good_one_and_still_tells_the_sampler_something() -> None:
    """The draws differ from those of a study that has never seen it, and from those where it failed."""

    def draws_after(kind: TrialState | None) -> dict[str, Any]:
        study, storage = in_memory()
        ledger = Ledger(study, storage, 7)
        our_draws(ledger, 30, 0)
        for _ in range(0 if kind is None else 5):
            drawn = ledger.draw()
            suggest(drawn, SPACE)
            ledger.tell(ledger.add(drawn, TrialState.RUNNING, {"max_params": -0.5}, {}), kind or TrialState.FAIL)
        return suggest(draw(study.directions, ledger._history.recalled(), 7, 99), SPACE)

    assert draws_after(TrialState.PRUNED) != draws_after(None) == draws_after(TrialState.FAIL)
