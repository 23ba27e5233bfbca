"""Stopping in the search: what is written, what is told, and that no death of a driver or worker changes a verdict."""

import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from fitnets.config import Hint, Recipe, Report
from fitnets.disk.store import Store
from search.driver.ledger import STOPPED_AT, Ledger
from search.driver.loop import DIRECTIONS, Search
from search.driver.rungs import ARRIVALS, EXPECTED_STOPPED, arrivals, shares_stopped
from search.driver.stopping import Arrival, Peer, Rungs, Stopping
from search.study import Named, Study
from search.workers.inline import InlineWorkers
from search.workers.protocol import EpochDone, Event, Failed, Finished, WorkerLost
from tests.helpers import STUDY
from tests.search.driver.test_loop import FRAME, ONE, Crash, Scripted, result, search, states, stored

EPOCHS, RUNGS = 6, (2, 4)
UNAUDITED = Stopping(audit=0.0)
STOPPING = STUDY.changed(stopping=UNAUDITED, stage2=STUDY.stage2.changed(epochs=EPOCHS), trials=9)


def report(epoch: int, accuracy: float) -> Report:
    return Report(stage="stage 2", epoch=epoch, epochs=EPOCHS, loss=0.5, val_accuracy=accuracy, lam=1.0, seconds=1.0)


def accuracy_of(recipe: Recipe, epoch: int) -> float:
    """Grows with the epochs, and depends on nothing else but the recipe."""
    return int(recipe.digest()[:4], 16) / 2**16 * epoch / EPOCHS


def whole(number: int, recipe: Recipe, attempt: int) -> list[Event]:
    """A trial that goes well: stage 1, then every epoch of stage 2."""
    first = Report(stage="stage 1", epoch=2, epochs=2, loss=0.5, hint_r2=0.5, seconds=1.0)
    epochs = [EpochDone(number, report(e, accuracy_of(recipe, e))) for e in range(1, EPOCHS + 1)]
    return [EpochDone(number, first), *epochs, Finished(number, result(recipe))]


def found(trials: list[FrozenTrial]) -> list[Any]:
    """What was decided on each trial."""
    return [(t.number, t.state, t.values, t.params, t.user_attrs.get(ARRIVALS)) for t in trials]


def in_order(trials: list[FrozenTrial]) -> list[tuple[FrozenTrial, Arrival]]:
    pairs = [(trial, arrival) for trial in trials for arrival in arrivals(trial.user_attrs)]
    return sorted(pairs, key=lambda pair: pair[1].order)


def peer(trial: FrozenTrial, arrival: Arrival) -> Peer:
    price = trial.user_attrs["cost"]
    return Peer(number=trial.number, accuracy=arrival.accuracy, params=price["params"], macs=price["macs"])


def check(trials: list[FrozenTrial], stopping: Stopping = UNAUDITED) -> None:
    """The verdicts are those of the rule, in the order of arrival; what was told follows from them."""
    ordered, rungs = in_order(trials), Rungs(stopping, STUDY.seed)
    assert [arrival.order for _, arrival in ordered] == list(range(len(ordered)))
    for place, (trial, arrival) in enumerate(ordered):
        mine = peer(trial, arrival)
        assert rungs.arrive(arrival.epoch, mine) == arrival.verdict()
        if not arrival.goes_on:
            earlier = [(t, a) for t, a in ordered[:place] if a.epoch == arrival.epoch and a.goes_on]
            assert any(peer(t, a).dominates(mine) for t, a in earlier), "beaten by one that went on"
    for trial in trials:
        reached = arrivals(trial.user_attrs)
        assert [a.epoch for a in reached] == list(RUNGS[: len(reached)])
        assert all(a.goes_on for a in reached[:-1])
        is_stopped = bool(reached) and not reached[-1].goes_on
        assert is_stopped == (trial.state == TrialState.PRUNED) == (STOPPED_AT in trial.user_attrs)
        if is_stopped:
            assert trial.values is None and "outcome" not in trial.user_attrs and "infeasible" not in trial.user_attrs
            assert trial.user_attrs[STOPPED_AT]["epoch"] == reached[-1].epoch
            assert trial.user_attrs["why"] == f"stopped after epoch {reached[-1].epoch} of stage 2"
        assert trial.state != TrialState.COMPLETE or len(reached) == len(RUNGS)


@pytest.mark.parametrize("slots", [1, 3])
def test_beaten_students_are_stopped_and_all_students_begun_count(tmp_path: Path, slots: int) -> None:
    workers = Scripted(whole, slots)
    done = search(tmp_path, workers, STOPPING)
    trials = stored(tmp_path, STOPPING)
    check(trials)
    kinds = set(states(trials))
    assert kinds == {"COMPLETE", "PRUNED"}, "the test sees both"
    assert [number for number, _ in workers.submitted] == list(range(9))
    stopped = [t.number for t in trials if t.state == TrialState.PRUNED]
    assert sorted(workers.stopped) == stopped
    assert (done.trained(), done.ledger.stopped) == (9, len(stopped))
    assert sorted(workers.forgotten) == list(range(9)), "every checkpoint goes"
    for number in stopped:
        attributes = trials[number].user_attrs
        last = attributes[ARRIVALS][-1]
        assert attributes["reports"][-1]["epoch"] == last["epoch"]
        assert attributes[STOPPED_AT]["seconds"] == len(attributes["reports"])
    again = Scripted(whole)
    assert search(tmp_path, again, STOPPING, trials=10).trained() == 10
    assert len(again.submitted) == 1


@pytest.mark.parametrize("late", [0, 1, 3])
def test_what_comes_after_a_verdict_is_dropped(tmp_path: Path, late: int) -> None:
    """Reports that were on their way, or the whole trial, which the workers had finished before they were told."""

    class Deaf(Scripted):
        def stop(self, number: int) -> None:
            if late:
                super().stop(number)
            else:
                self.stopped.append(number)

    heard: list[tuple[str, int]] = []
    workers = Deaf(whole, slots=2)
    workers.late = late
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="tiny", storage=storage, directions=DIRECTIONS)
    running = Search(STOPPING, FRAME, storage, workers, Store(tmp_path / "store"))

    def hear(search: Search, event: Event | None) -> None:
        if isinstance(event, EpochDone | Finished):
            heard.append((type(event).__name__, event.number))

    running.run(9, hear)
    trials = optuna.load_study(study_name="tiny", storage=storage).trials
    check(trials)
    assert workers.stopped
    for number in workers.stopped:
        epoch = trials[number].user_attrs[STOPPED_AT]["epoch"]
        assert heard.count(("EpochDone", number)) == epoch + 1 == len(trials[number].user_attrs["reports"])
        assert ("Finished", number) not in heard
    assert sorted(workers.forgotten) == list(range(9))


def test_a_worker_that_dies_while_it_stops_a_student_changes_nothing(tmp_path: Path) -> None:
    class Dying(Scripted):
        def stop(self, number: int) -> None:
            super().stop(number)
            self._queues[number] = [WorkerLost(number, "its process died")]

    workers = Dying(whole)
    search(tmp_path, workers, STOPPING)
    trials = stored(tmp_path, STOPPING)
    check(trials)
    search(tmp_path / "whole", Scripted(whole), STOPPING)
    assert found(trials) == found(stored(tmp_path / "whole", STOPPING))
    assert len(workers.submitted) == 9


class OneSlot(Scripted):
    """One slot; where its worker dies, another one has started two waits later."""

    def wait(self, seconds: float) -> list[Event]:
        if not self._queues:
            self.slots = 1
            return []
        events = super().wait(seconds)
        self.slots = 0 if isinstance(events[0], WorkerLost) else self.slots
        return events


@pytest.mark.parametrize("study", [STOPPING, STOPPING.changed(stopping=None)], ids=["stopped", "given up"])
def test_a_search_whose_last_worker_has_died_waits_for_the_next_one(tmp_path: Path, study: Study) -> None:
    """Of a student that was being stopped, or that is given up: nothing runs then, and no slot is free."""

    class Dying(OneSlot):
        def stop(self, number: int) -> None:
            self._queues[number] = [WorkerLost(number, "its process died")]

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        given_up = study.stopping is None and number == 0
        return [WorkerLost(number, "its process died")] if given_up else whole(number, recipe, attempt)

    workers = Dying(behave)
    assert search(tmp_path, workers, study).trained() == 9
    assert {number for number, _ in workers.submitted} == set(range(9))


def test_a_rung_that_is_reported_again_has_its_verdict_already(tmp_path: Path) -> None:
    """After a lost worker the epochs come again, and not always with the same accuracy."""

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        if attempt == 1:
            return [*whole(number, recipe, attempt)[:4], WorkerLost(number, "its process died")]
        again = [EpochDone(number, report(e, 1.0 - accuracy_of(recipe, e))) for e in range(1, RUNGS[1])]
        return [*again, *whole(number, recipe, attempt)[RUNGS[1] :]]

    search(tmp_path, Scripted(behave), STOPPING)
    search(tmp_path / "whole", Scripted(whole), STOPPING)
    assert found(stored(tmp_path, STOPPING)) == found(stored(tmp_path / "whole", STOPPING))


@pytest.mark.parametrize("point", ["before the verdict", "the verdict", "stop", "the rung", "tell", "forget"])
def test_a_driver_that_dies_around_a_verdict_changes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """At each point between the epoch and the end of the stopped student, for each of the first three."""
    search(tmp_path / "whole", Scripted(whole), STOPPING)
    expected = stored(tmp_path / "whole", STOPPING)
    note, tell = Ledger.note, Ledger.tell

    for nth in range(3):
        left = [nth]

        def dies(now: bool, left: list[int] = left) -> None:
            left[0] -= now
            if left[0] < 0 and now:
                left[0] = 10**6
                raise Crash

        def noting(self: Ledger, number: int, **attributes: Any) -> None:
            is_stop = ARRIVALS in attributes and not attributes[ARRIVALS][-1]["goes_on"]
            dies(point == "before the verdict" and is_stop)
            dies(point == "the rung" and STOPPED_AT in attributes)
            note(self, number, **attributes)
            dies(point == "the verdict" and is_stop)

        def telling(self: Ledger, number: int, state: TrialState, *values: Any) -> None:
            dies(point == "tell" and state == TrialState.PRUNED)
            tell(self, number, state, *values)

        class Workers(Scripted):
            def stop(self, number: int) -> None:
                dies(point == "stop")
                super().stop(number)

            def forget(self, number: int, recipe: Recipe) -> None:
                dies(point == "forget" and number in self.stopped)
                super().forget(number, recipe)

        place = tmp_path / f"{nth}"
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "note", noting)
            patch.setattr(Ledger, "tell", telling)
            with pytest.raises(Crash):
                search(place, Workers(whole), STOPPING)
        decided = {t.number for t in stored(place, STOPPING) if any(not a.goes_on for a in arrivals(t.user_attrs))}
        assert len(decided) == nth + (point != "before the verdict")
        after = Scripted(whole)
        search(place, after, STOPPING)
        assert found(stored(place, STOPPING)) == found(expected)
        assert not decided & {number for number, _ in after.submitted}, "nothing more is trained of it"


class Chance(Scripted):
    """Workers of random speed that die at random; the driver too. Accuracies are random, also of repeated epochs."""

    def __init__(self, chance: random.Random, slots: int, faults: float):
        super().__init__(self._random, slots)
        self.chance, self.faults = chance, faults

    def _random(self, number: int, recipe: Recipe, attempt: int) -> list[Event]:
        epochs: list[Event] = [
            EpochDone(number, report(e, self.chance.randrange(5) / 4).changed(replayed=attempt > 1 and e < 4))
            for e in range(1, EPOCHS + 1)
        ]
        if self.chance.random() < self.faults:
            return [*epochs[: self.chance.randrange(EPOCHS)], WorkerLost(number, "its process died")]
        failed = self.chance.random() < self.faults
        return [*epochs, Failed(number, f"E{number}", "") if failed else Finished(number, result(recipe))]

    def stop(self, number: int) -> None:
        self._crash()
        self.late = self.chance.randrange(3)
        super().stop(number)

    def wait(self, seconds: float) -> list[Event]:
        self._crash()
        numbers = list(self._queues)
        self.chance.shuffle(numbers)
        self._queues = {number: self._queues[number] for number in numbers}
        return super().wait(seconds)

    def _crash(self) -> None:
        if self.chance.random() < self.faults / 4:
            raise Crash


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.randoms(use_true_random=False),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from([0.0, 0.3]),
    st.integers(2, 4),
)
def test_the_verdicts_are_the_rules_whatever_dies(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random, slots: int, faults: float, audit: float, eta: int
) -> None:
    stopping = Stopping(eta=eta, audit=audit)
    study = STOPPING.changed(stopping=stopping)
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="tiny", storage=storage, directions=DIRECTIONS)
    store = Store(tmp_path_factory.getbasetemp() / "store")
    seen: list[Any] = []
    while True:
        try:
            running = Search(study, FRAME, storage, Chance(chance, slots, faults), store)
            running.run(9, lambda search, event: None)
            break
        except Crash:
            trials = optuna.load_study(study_name="tiny", storage=storage).trials
            arrived = [(t.number, a) for t, a in in_order(trials)]
            assert arrived[: len(seen)] == seen, "a stored verdict stays"
            seen = arrived
    trials = optuna.load_study(study_name="tiny", storage=storage).trials
    check(trials, stopping)
    assert [(t.number, a) for t, a in in_order(trials)][: len(seen)] == seen
    assert running.trained() == len(trials) == 9


def test_students_that_the_study_names_are_never_stopped(tmp_path: Path) -> None:
    """They are peers of the others all the same."""
    wide = Named(name="wide", stages=((64, 64), (64,)), hint=Hint(hint=1, guided=1))
    named = [wide, wide.changed(name="wider", stages=((96, 96), (96,)))]

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        worst = [EpochDone(number, report(e, 0.01 / (number + 1))) for e in range(1, EPOCHS + 1)]
        return [*worst, Finished(number, result(recipe))] if number < 2 else whole(number, recipe, attempt)

    search(tmp_path, Scripted(behave), STOPPING.changed(first=tuple(named)), trials=4)
    trials = stored(tmp_path)
    assert states(trials)[:2] == ["COMPLETE", "COMPLETE"]
    second = arrivals(trials[1].user_attrs)
    assert [(a.goes_on, a.audited, a.dominators, a.peers) for a in second] == [(True, False, 1, 2)] * 2
    assert arrivals(trials[2].user_attrs)[0].peers == 3


def test_an_audited_student_is_trained_to_its_end(tmp_path: Path) -> None:
    study = STOPPING.changed(stopping=Stopping(audit=1.0))
    workers = Scripted(whole)
    search(tmp_path, workers, study)
    trials = stored(tmp_path, study)
    assert states(trials) == ["COMPLETE"] * 9 and workers.stopped == []
    check(trials, Stopping(audit=1.0))
    assert any(a.audited for t in trials for a in arrivals(t.user_attrs))


def test_a_twin_shares_the_stop_and_is_no_second_peer(tmp_path: Path) -> None:
    """Also one that waited while its twin ran, and one that another driver draws later."""
    study = STOPPING.changed(space=ONE.changed(base_width=(4, 8)), duplicates="reuse")
    frame = FRAME.changed(hints=1)

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        good = recipe.student.convs[0].width == 4
        epochs = [EpochDone(number, report(e, 0.9 if good else 0.1)) for e in range(1, EPOCHS + 1)]
        return [*epochs, Finished(number, result(recipe))]

    search(tmp_path, Scripted(behave, slots=4), study, frame, trials=8)
    search(tmp_path, Scripted(behave), study, frame, trials=12)
    trials = stored(tmp_path, study)
    assert len(trials) == 12
    originals = [t for t in trials if "same_as" not in t.user_attrs]
    assert sorted(states(originals)) == ["COMPLETE", "PRUNED"]
    for trial in trials:
        original = trials[trial.user_attrs.get("same_as", trial.number)]
        assert (trial.state, trial.values) == (original.state, original.values)
        assert trial.user_attrs.get(STOPPED_AT) == original.user_attrs.get(STOPPED_AT)
        assert (ARRIVALS in trial.user_attrs) == (trial is original)
    assert max(a.peers for t in trials for a in arrivals(t.user_attrs)) == 2


def test_a_study_without_stopping_writes_nothing_of_it(tmp_path: Path) -> None:
    study = STOPPING.changed(stopping=None)
    workers = Scripted(whole)
    search(tmp_path, workers, study)
    trials = stored(tmp_path, study)
    assert states(trials) == ["COMPLETE"] * 9 and workers.stopped == []
    assert not any({ARRIVALS, STOPPED_AT} & t.user_attrs.keys() for t in trials)


def test_real_training_is_stopped_between_epochs_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    study = STOPPING.changed(stopping=UNAUDITED.changed(eta=8))
    workers = InlineWorkers()
    facts = workers.open(study.data, Path("nowhere"), tmp_path / "store", tmp_path / "logs")
    taught = workers.teach(study.resolved_teacher(facts.shape, len(facts.classes)), lambda report: None)
    frame = study.frame(facts.shape, len(facts.classes), len(taught.hint_shapes))
    search(tmp_path, workers, study, frame, 6)
    trials = stored(tmp_path, study)
    check(trials, UNAUDITED.changed(eta=8))
    stopped = [t for t in trials if t.state == TrialState.PRUNED]
    assert stopped and workers.free() == 1
    for trial in stopped:
        lines = (tmp_path / "logs" / f"{trial.number}.log").read_text().splitlines()
        assert lines[-1].endswith("Z stopped")
        assert f"stage 2 epoch {trial.user_attrs[STOPPED_AT]['epoch']}/{EPOCHS}" in lines[-2]
    assert Store(tmp_path / "store").names("checkpoint") == []


def test_the_share_that_stops_at_each_rung(tmp_path: Path) -> None:
    assert shares_stopped(STOPPING, []) == EXPECTED_STOPPED
    assert shares_stopped(STOPPING.changed(stopping=None), []) == ()
    search(tmp_path, Scripted(whole), STOPPING)
    trials = stored(tmp_path, STOPPING)
    known = [a for t in trials for a in arrivals(t.user_attrs)]
    expected = [[a.goes_on for a in known if a.epoch == epoch].count(False) for epoch in RUNGS]
    reached = [sum(a.epoch == epoch for a in known) for epoch in RUNGS]
    assert shares_stopped(STOPPING, trials) == pytest.approx([s / r for s, r in zip(expected, reached, strict=True)])
