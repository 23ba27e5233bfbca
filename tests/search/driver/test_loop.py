"""The search: what is drawn, dispatched, told and kept, whatever happens to the trials. No Ray, mostly no training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial

from fitnets.config import Hint, Outcome, Recipe, Report, Result
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.nets.cost import cost
from fitnets.values.base import sha256
from search.driver.flight import ATTEMPTS
from search.driver.ledger import Ledger
from search.driver.loop import DIRECTIONS, SAME_FAILURES, Search
from search.driver.registration import recording_the_end
from search.space import Frame, Space, recipe_of
from search.storage.address import storage_url
from search.storage.writer import open_storage
from search.study import Named, Study
from search.workers.faults import NODE_DIED
from search.workers.inline import InlineWorkers
from search.workers.protocol import EndedEarly, EpochDone, Event, Failed, Finished, Stopped, WorkerLost, Workers
from tests.helpers import STUDY

FRAME = STUDY.frame((1, 8, 8), 10, 2)
ONE = Space(
    stages=2,
    depth=(1, 1),
    base_width=(4, 4),
    multiplier=(1.0, 1.0),
    tau=(2.0, 2.0),
    lambda_start=(1.0, 1.0),
    lambda_ratio=(0.5, 0.5),
    lr1=(1e-3, 1e-3),
    lr2=(1e-3, 1e-3),
)  # with one hint layer there is one student only


def result(recipe: Recipe) -> Result:
    """An outcome that depends on the recipe alone."""
    weights = recipe.digest().encode()
    accuracy = int(recipe.digest()[:4], 16) / 2**16
    return Result(
        Outcome(
            val_accuracy=accuracy,
            best_val_accuracy=accuracy,
            hint_r2=0.5,
            seconds=1.0,
            weights_sha256=sha256(weights),
            teacher="t",
            data="d",
            versions={},
        ),
        weights,
    )


def report(epoch: int) -> Report:
    """News of an epoch."""
    return Report(stage="stage 2", epoch=epoch, epochs=2, loss=1 / 3, val_accuracy=0.5, lam=1.0, seconds=0.1)


def well(number: int, recipe: Recipe, attempt: int) -> list[Event]:
    """A trial that goes well."""
    return [EpochDone(number, report(1)), EpochDone(number, report(2)), Finished(number, result(recipe))]


class Crash(Exception):
    """The driver dies."""


class Scripted:
    """Workers that do what a test says, one event of one trial for each wait."""

    def __init__(self, behave: Callable[[int, Recipe, int], list[Event]] = well, slots: int = 1):
        self.behave, self.slots = behave, slots
        self.submitted: list[tuple[int, Recipe]] = []
        self.forgotten: list[int] = []
        self.stopped: list[int] = []
        self.late = 0
        """How many more epochs a stopped trial reports."""
        self.most = 0
        self._queues: dict[int, list[Event]] = {}

    def free(self) -> int:
        return self.slots - len(self._queues)

    def submit(self, number: int, recipe: Recipe) -> None:
        assert self.free() > 0, "a trial was submitted without a free slot"
        attempt = 1 + sum(n == number for n, _ in self.submitted)
        self.submitted.append((number, recipe))
        self._queues[number] = self.behave(number, recipe, attempt)
        self.most = max(self.most, len(self._queues))

    def stop(self, number: int) -> None:
        """What the trial still reports comes before its end."""
        self.stopped.append(number)
        if number in self._queues:
            left = [event for event in self._queues[number] if isinstance(event, EpochDone)]
            self._queues[number] = [*left[: self.late], EndedEarly(number)]

    def wait(self, seconds: float) -> list[Event]:
        number = next(iter(self._queues))
        event = self._queues[number].pop(0)
        self._queues = dict([*list(self._queues.items())[1:], (number, self._queues[number])])
        if not isinstance(event, EpochDone):
            del self._queues[number]
        return [event]

    def need(self, slots: int) -> None:
        """There are as many as there are."""

    def forget(self, number: int, recipe: Recipe) -> None:
        assert (number, recipe) in self.submitted
        assert number not in self._queues, "it is still running"
        self.forgotten.append(number)


def search(
    tmp_path: Path, workers: Workers, study: Study = STUDY, frame: Frame = FRAME, trials: int | None = None
) -> Search:
    """Run a search of a study over these workers, or continue it."""
    storage = open_storage(storage_url(tmp_path, None))
    optuna.create_study(study_name=study.name, storage=storage, directions=DIRECTIONS, load_if_exists=True)
    found = Search(study, frame, storage, workers, Store(tmp_path / "store"))
    found.run(trials or study.trials, lambda search, event: None)
    return found


def stored(tmp_path: Path, study: Study = STUDY) -> list[FrozenTrial]:
    """The trials as another process reads them."""
    return optuna.load_study(study_name=study.name, storage=open_storage(storage_url(tmp_path, None))).trials


def states(trials: list[FrozenTrial]) -> list[str]:
    """Their states' names."""
    return [trial.state.name for trial in trials]


def test_a_finished_trial_is_stored_whole(tmp_path: Path) -> None:
    workers = Scripted()
    found = search(tmp_path, workers)
    trials = stored(tmp_path)
    assert states(trials) == ["COMPLETE"] * 3
    assert found.trained() == 3
    for trial, (number, recipe) in zip(trials, workers.submitted, strict=True):
        attributes = trial.user_attrs
        assert trial.number == number
        assert Recipe.model_validate(attributes["recipe"]) == recipe
        assert attributes["digest"] == recipe.digest()
        assert recipe_of(trial.params, STUDY.space, FRAME) == recipe
        price, outcome = cost(recipe.student), result(recipe).outcome
        assert attributes["cost"] == price.model_dump(mode="json")
        assert Outcome.model_validate(attributes["outcome"]) == outcome
        accuracy, log_params, log_macs = trial.values or []
        assert accuracy == outcome.val_accuracy
        assert (round(10**log_params), round(10**log_macs)) == (price.params, price.macs)
        assert [Report.model_validate(row).epoch for row in attributes["reports"]] == [1, 2]
        kept = Store(tmp_path / "store").get("student", outcome.weights_sha256)
        assert kept == {"student.safetensors": recipe.digest().encode()}


def test_every_event_is_heard(tmp_path: Path) -> None:
    heard: list[str] = []
    storage = open_storage(storage_url(tmp_path, None))
    optuna.create_study(study_name="tiny", storage=storage, directions=DIRECTIONS)
    running = Search(STUDY, FRAME, storage, Scripted(), Store(tmp_path / "store"))
    running.run(2, lambda search, event: heard.append(type(event).__name__))
    assert heard == ["EpochDone", "EpochDone", "Finished"] * 2


@pytest.mark.parametrize("at", ["EpochDone", "Finished"])
def test_a_study_that_is_deleted_while_it_runs_stops_the_search(tmp_path: Path, at: str) -> None:
    """By optuna-dashboard's button, or by hand: in the middle of a trial, and between two."""
    storage = open_storage(storage_url(tmp_path, None))
    optuna.create_study(study_name="tiny", storage=storage, directions=DIRECTIONS)
    running = Search(STUDY, FRAME, storage, Scripted(), Store(tmp_path / "store"))
    deleted: list[str] = []

    def delete(search: Search, event: Event | None) -> None:
        if type(event).__name__ == at and not deleted:
            deleted.append("tiny")
            optuna.delete_study(study_name="tiny", storage=storage_url(tmp_path, None))

    with pytest.raises(Stopped, match="study `tiny` was deleted from its storage while it ran: the same command"):
        running.run(2, delete)


def test_slots_are_filled_and_no_more_than_the_trials_asked_for(tmp_path: Path) -> None:
    workers = Scripted(slots=4)
    search(tmp_path, workers, trials=6)
    assert workers.most == 4
    assert len(workers.submitted) == 6
    few = Scripted(slots=4)
    search(tmp_path / "few", few, trials=2)
    assert few.most == 2


def test_students_over_a_limit_are_never_drawn(tmp_path: Path) -> None:
    sizes = sorted(cost(recipe.student).params for _, recipe in _drawn(tmp_path / "free", 12))
    study = STUDY.changed(max_params=sizes[3], max_macs=10_000_000)
    workers = Scripted()
    search(tmp_path, workers, study, trials=8)
    trials = stored(tmp_path, study)
    assert len(workers.submitted) == len(trials) == 8
    assert all(cost(recipe.student).params <= sizes[3] for _, recipe in workers.submitted)
    for trial in trials:
        params = trial.user_attrs["cost"]["params"]
        assert trial.constraints["max_params"] == pytest.approx(params / sizes[3] - 1)
        assert trial.constraints["max_macs"] < 0


def _drawn(tmp_path: Path, trials: int) -> list[tuple[int, Recipe]]:
    workers = Scripted()
    search(tmp_path, workers, trials=trials)
    return workers.submitted


def test_limits_below_the_smallest_student_are_the_users_to_change(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`max_macs` is 10, but the space's smallest student has .* raise the limit"):
        search(tmp_path, Scripted(), STUDY.changed(max_macs=10))
    assert stored(tmp_path) == []


def test_limits_that_next_to_nothing_fits_stop_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.driver.sampling.proposals.REJECTS", 5)
    wide = STUDY.changed(space=STUDY.space.changed(depth=(1, 9)), max_params=cost(_smallest()).params)
    workers = Scripted()
    with pytest.raises(Stopped, match="5 draws in a row were over the limits: raise `max_params`"):
        search(tmp_path, workers, wide)
    assert workers.submitted == []


def _smallest() -> Any:
    return STUDY.named_recipe(Named(name="x", stages=((4,), (4,)), hint=Hint(hint=1, guided=1)), FRAME).student


@pytest.mark.parametrize("duplicates", ["replicate", "reuse"])
def test_the_same_recipe_again(tmp_path: Path, duplicates: str) -> None:
    study = STUDY.changed(space=ONE, duplicates=duplicates)
    workers = Scripted()
    search(tmp_path, workers, study, FRAME.changed(hints=1), trials=2)
    search(tmp_path, workers, study, FRAME.changed(hints=1), trials=4)  # another driver knows what was trained
    trials = stored(tmp_path, study)
    assert states(trials) == ["COMPLETE"] * 4
    seeds = [trial.user_attrs["recipe"]["seed"] for trial in trials]
    if duplicates == "replicate":
        assert seeds == [0, 1, 2, 3]
        assert len({recipe.digest() for _, recipe in workers.submitted}) == 4
    else:
        assert seeds == [0, 0, 0, 0]
        assert [number for number, _ in workers.submitted] == [0]
        assert [trial.user_attrs.get("same_as") for trial in trials] == [None, 0, 0, 0]
        assert len({tuple(trial.values or []) for trial in trials}) == 1
        assert all(trial.user_attrs["outcome"] == trials[0].user_attrs["outcome"] for trial in trials)


REUSING = STUDY.changed(space=ONE, duplicates="reuse")


def test_the_same_recipe_waits_while_its_twin_runs(tmp_path: Path) -> None:
    workers = Scripted(slots=3)
    search(tmp_path, workers, REUSING, FRAME.changed(hints=1), trials=3)
    trials = stored(tmp_path, REUSING)
    assert states(trials) == ["COMPLETE"] * 3
    assert [number for number, _ in workers.submitted] == [0]
    assert [trial.user_attrs.get("same_as") for trial in trials] == [None, 0, 0]
    assert len({tuple(trial.values or []) for trial in trials}) == 1


def test_slots_go_on_while_a_trial_waits_for_its_twin(tmp_path: Path) -> None:
    two = REUSING.changed(space=ONE.changed(base_width=(4, 8)))
    workers = Scripted(slots=2)
    search(tmp_path, workers, two, FRAME.changed(hints=1), trials=12)
    assert states(stored(tmp_path, two)) == ["COMPLETE"] * 12
    assert (workers.most, len(workers.submitted)) == (2, 2)


@pytest.mark.parametrize(("kind", "trained"), [("Diverged", [0]), ("InputError", [0]), ("OutOfMemory", [0, 1])])
def test_a_twins_failure_is_shared_where_it_would_come_again(tmp_path: Path, kind: str, trained: list[int]) -> None:
    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        return [Failed(number, kind, "they say")] if number == 0 else well(number, recipe, attempt)

    workers = Scripted(behave, slots=3)
    search(tmp_path, workers, REUSING, FRAME.changed(hints=1), trials=3)
    search(tmp_path, workers, REUSING, FRAME.changed(hints=1), trials=4)  # and where the twin has failed already
    trials = stored(tmp_path, REUSING)
    assert [number for number, _ in workers.submitted] == trained
    if kind == "OutOfMemory":
        assert states(trials) == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
        assert [trial.user_attrs.get("same_as") for trial in trials] == [None, None, 1, 1]
    else:
        assert states(trials) == ["FAIL"] * 4
        assert trials[1].user_attrs["reason"] == f"{kind}: they say (trial 0, which has the same recipe)"


def test_a_trial_that_waits_for_its_twin_survives_the_driver(tmp_path: Path) -> None:
    class Dying(Scripted):
        def wait(self, seconds: float) -> list[Event]:
            raise Crash

    for _ in range(2):
        with pytest.raises(Crash):
            search(tmp_path, Dying(slots=3), REUSING, FRAME.changed(hints=1), trials=3)
        assert states(stored(tmp_path, REUSING)) == ["RUNNING"] * 3
    after = Scripted(slots=3)
    search(tmp_path, after, REUSING, FRAME.changed(hints=1), trials=3)
    trials = stored(tmp_path, REUSING)
    assert states(trials) == ["COMPLETE"] * 3
    assert [number for number, _ in after.submitted] == [0]
    assert [trial.user_attrs.get("same_as") for trial in trials] == [None, 0, 0]


def test_a_failed_trial_is_told_with_its_reason_and_the_search_goes_on(tmp_path: Path) -> None:
    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        if number == 1:
            return [EpochDone(number, report(1)), Failed(number, "Diverged", "the loss became nan")]
        return well(number, recipe, attempt)

    workers = Scripted(behave)
    search(tmp_path, workers)
    trials = stored(tmp_path)
    assert states(trials) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert trials[1].user_attrs["reason"] == "Diverged: the loss became nan"
    assert [row["epoch"] for row in trials[1].user_attrs["reports"]] == [1]
    assert [number for number, _ in workers.submitted] == [0, 1, 2], "a trial's own fault is not tried again"


def test_equal_failures_in_a_row_stop_the_search(tmp_path: Path) -> None:
    workers = Scripted(lambda number, recipe, attempt: [Failed(number, "OutOfMemoryError", "too large")])
    with pytest.raises(
        Stopped, match=rf"{SAME_FAILURES} trials in a row failed in the same way, .*: OutOfMemoryError"
    ) as raised:
        search(tmp_path, workers, trials=50)
    assert raised.value.repeats
    assert states(stored(tmp_path)) == ["FAIL"] * SAME_FAILURES


@pytest.mark.parametrize("kind", ["different", "interrupted"])
def test_failures_that_differ_or_are_interrupted_do_not(tmp_path: Path, kind: str) -> None:
    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        if kind == "interrupted" and number % SAME_FAILURES == SAME_FAILURES - 1:
            return well(number, recipe, attempt)
        return [Failed(number, "RuntimeError", "abcde"[number % 5] if kind == "different" else "same")]

    search(tmp_path, Scripted(behave), trials=3 * SAME_FAILURES)
    assert len(stored(tmp_path)) == 3 * SAME_FAILURES


def test_a_trial_whose_worker_died_is_tried_again_under_its_number(tmp_path: Path) -> None:
    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        if number == 1 and attempt < ATTEMPTS:
            return [EpochDone(number, report(1)), WorkerLost(number, "its process died")]
        return well(number, recipe, attempt)

    workers = Scripted(behave)
    search(tmp_path, workers)
    trials = stored(tmp_path)
    assert states(trials) == ["COMPLETE"] * 3
    assert [number for number, _ in workers.submitted] == [0, 1, 1, 1, 2]
    assert len({recipe.digest() for number, recipe in workers.submitted if number == 1}) == 1
    assert trials[1].user_attrs["attempts"] == ATTEMPTS
    assert [row["epoch"] for row in trials[1].user_attrs["reports"]] == [1, 2], "epochs of the lost attempt are gone"


def test_a_trial_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        return [WorkerLost(number, "its process died")] if number == 0 else well(number, recipe, attempt)

    workers = Scripted(behave)
    search(tmp_path, workers)
    trials = stored(tmp_path)
    assert states(trials) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert sum(number == 0 for number, _ in workers.submitted) == ATTEMPTS == 3
    got = "WorkerDied: 3 workers in a row died over it, none of them an epoch further (its process died): see its log"
    assert trials[0].user_attrs["reason"].startswith(got)


def test_a_trial_that_gets_further_with_each_worker_is_not_given_up(tmp_path: Path) -> None:
    """Workers that die every hour, and a trial of ten: each has a checkpoint to show for itself."""

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        if number == 0 and attempt <= 2 * ATTEMPTS:
            return [*[EpochDone(number, report(1))] * attempt, WorkerLost(number, "its process died")]
        return well(number, recipe, attempt)

    search(tmp_path, Scripted(behave), trials=1)
    (trial,) = stored(tmp_path)
    assert (trial.state.name, trial.user_attrs["attempts"]) == ("COMPLETE", 2 * ATTEMPTS + 1)


def test_nodes_that_die_are_no_fault_of_a_trial_that_begins_again_on_each(tmp_path: Path) -> None:
    """Each node has its own disk, so none has the checkpoint of the one before, and none gets further."""

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        if number == 0 and attempt <= 2 * ATTEMPTS:
            return [EpochDone(number, report(1)), WorkerLost(number, NODE_DIED)]
        return well(number, recipe, attempt)

    search(tmp_path, Scripted(behave), trials=1)
    (trial,) = stored(tmp_path)
    assert (trial.state.name, trial.user_attrs["attempts"]) == ("COMPLETE", 2 * ATTEMPTS + 1)


def test_a_worker_is_held_against_the_one_before_it_and_not_against_the_best(tmp_path: Path) -> None:
    """Five epochs, then one, then two, three ...: each but the second gets further than the one before."""

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        epochs = [5, 1, 2, 3, 4]
        if number == 0 and attempt <= len(epochs):
            return [*[EpochDone(number, report(1))] * epochs[attempt - 1], WorkerLost(number, "its process died")]
        return well(number, recipe, attempt)

    search(tmp_path, Scripted(behave), trials=1)
    (trial,) = stored(tmp_path)
    assert trial.state.name == "COMPLETE"


def test_a_worker_that_was_dead_before_the_trial_came_costs_no_attempt(tmp_path: Path) -> None:
    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        if number == 0 and attempt <= 2 * ATTEMPTS:
            return [WorkerLost(number, "its process died", began=False)]
        return well(number, recipe, attempt)

    search(tmp_path, Scripted(behave), trials=1)
    (trial,) = stored(tmp_path)
    assert trial.state.name == "COMPLETE"
    assert "attempts" not in trial.user_attrs


def test_a_lost_trial_waits_for_a_slot_and_comes_before_new_ones(tmp_path: Path) -> None:
    """Its slot went with its node."""

    class Shrinking(Scripted):
        def wait(self, seconds: float) -> list[Event]:
            if not self._queues:
                self.slots = 1  # another node joins
                return []
            events = super().wait(seconds)
            self.slots = 0 if isinstance(events[0], WorkerLost) else self.slots
            return events

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        return [WorkerLost(number, "its node died")] if (number, attempt) == (1, 1) else well(number, recipe, attempt)

    workers = Shrinking(behave)
    search(tmp_path, workers)
    assert [number for number, _ in workers.submitted] == [0, 1, 1, 2]
    assert states(stored(tmp_path)) == ["COMPLETE"] * 3


def test_a_trials_end_is_forgotten_once_it_is_stored(tmp_path: Path) -> None:
    """Its checkpoint may go: it finished, or it failed."""

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        if number == 1:
            return [Failed(number, "KeyError", "theirs", "Traceback ...")]
        if (number, attempt) == (2, 1):
            return [WorkerLost(number, "its process died")]
        return well(number, recipe, attempt)

    workers = Scripted(behave)
    search(tmp_path, workers)
    assert workers.forgotten == [0, 1, 2]
    assert stored(tmp_path)[1].user_attrs["log"] == "Traceback ..."


@pytest.mark.parametrize("end", ["outcome", "reason"])
def test_an_end_that_was_written_but_not_told_is_told_and_not_trained_again(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        return [Failed(number, "KeyError", "theirs")] if end == "reason" else well(number, recipe, attempt)

    def dies(self: Ledger, *arguments: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "tell", dies)
        with pytest.raises(Crash):
            search(tmp_path, Scripted(behave), trials=1)
    assert states(stored(tmp_path)) == ["RUNNING"]
    after = Scripted()
    search(tmp_path, after, trials=1)
    assert after.submitted == []
    (trial,) = stored(tmp_path)
    assert trial.state.name == ("FAIL" if end == "reason" else "COMPLETE")
    if end == "outcome":
        recipe = Recipe.model_validate(trial.user_attrs["recipe"])
        assert trial.values is not None and trial.values[0] == result(recipe).outcome.val_accuracy


def test_a_trial_that_takes_driver_after_driver_down_is_given_up(tmp_path: Path) -> None:
    for _ in range(ATTEMPTS):
        with pytest.raises(Crash):
            search(tmp_path, Scripted(crashing), trials=1)
    after = Scripted()
    search(tmp_path, after, trials=2)
    given_up, other = stored(tmp_path)
    assert (given_up.state.name, given_up.user_attrs.get("attempts")) == ("FAIL", ATTEMPTS)
    assert given_up.user_attrs["reason"].startswith(f"WorkerDied: {ATTEMPTS} workers in a row died over it, none of")
    assert [number for number, _ in after.submitted] == [other.number], "and the search goes on"


@pytest.mark.parametrize("epochs", [1, 4, 10])
@pytest.mark.parametrize("driver_dies", [True, False])
def test_a_trial_that_dies_after_its_checkpoints_epochs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, driver_dies: bool
) -> None:
    """Every start reports the checkpoint's epochs again, at once, and dies in the next one: no epoch further."""
    starts = 0

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        nonlocal starts
        if number > 0:
            return well(number, recipe, attempt)
        starts += 1
        epoch_done = [EpochDone(number, report(i + 1).changed(replayed=starts > 1)) for i in range(epochs)]
        return [*epoch_done, WorkerLost(number, "its process died")]

    class Driver(Scripted):
        def wait(self, seconds: float) -> list[Event]:
            (event,) = super().wait(seconds)
            if driver_dies and isinstance(event, WorkerLost):
                raise Crash
            return [event]

    monkeypatch.setattr("search.driver.flight.SAVE_SECONDS", -1.0)  # the first start's epochs take long
    for _ in range(ATTEMPTS if driver_dies else 0):
        with pytest.raises(Crash):
            search(tmp_path, Driver(behave), trials=1)
        monkeypatch.setattr("search.driver.flight.SAVE_SECONDS", 60.0)
        assert len(stored(tmp_path)[0].user_attrs["reports"]) == epochs, "replayed epochs do not shorten them"
    search(tmp_path, Driver(behave), trials=2)
    assert states(stored(tmp_path)) == ["FAIL", "COMPLETE"]
    assert starts == ATTEMPTS


def test_a_start_that_dies_before_its_first_epoch_is_where_the_one_before_it_was(tmp_path: Path) -> None:
    """Five epochs, none, five, none ...: never an epoch further than the first start."""

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        replayed = [EpochDone(number, report(i + 1).changed(replayed=attempt > 1)) for i in range(5)]
        return [*(replayed if attempt % 2 else []), WorkerLost(number, "its process died")]

    lost = Scripted(behave)
    search(tmp_path, lost, trials=1)
    assert states(stored(tmp_path)) == ["FAIL"]
    assert len(lost.submitted) == ATTEMPTS


def test_starts_that_die_count_whoever_died_of_them(tmp_path: Path) -> None:
    """A driver, then two workers of the next one: three in a row."""
    with pytest.raises(Crash):
        search(tmp_path, Scripted(crashing), trials=1)
    lost = Scripted(lambda number, recipe, attempt: [WorkerLost(number, "its process died")])
    search(tmp_path, lost, trials=1)
    (trial,) = stored(tmp_path)
    assert (trial.state.name, len(lost.submitted)) == ("FAIL", ATTEMPTS - 1)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Stopped("no worker")])
def test_a_search_that_is_stopped_ten_times_before_its_first_epoch_goes_on(tmp_path: Path, stop: Any) -> None:
    class Stopping(Scripted):
        def wait(self, seconds: float) -> list[Event]:
            raise stop

    search(tmp_path, Scripted(), trials=1)  # makes the study
    storage = open_storage(storage_url(tmp_path, None))
    for _ in range(10):
        running = Search(STUDY, FRAME, storage, Stopping(), Store(tmp_path / "store"))
        with pytest.raises(type(stop) if isinstance(stop, Stopped) else stop), recording_the_end("tiny", storage):
            running.run(2, lambda search, event: None)
    Search(STUDY, FRAME, storage, Scripted(), Store(tmp_path / "store")).run(2, lambda search, event: None)
    assert states(stored(tmp_path)) == ["COMPLETE"] * 2


def test_a_driver_that_an_unforeseen_exception_ends_has_died(tmp_path: Path) -> None:
    search(tmp_path, Scripted(), trials=1)
    storage = open_storage(storage_url(tmp_path, None))
    for _ in range(ATTEMPTS):
        running = Search(STUDY, FRAME, storage, Scripted(crashing), Store(tmp_path / "store"))
        with pytest.raises(Crash), recording_the_end("tiny", storage):
            running.run(2, lambda search, event: None)
    Search(STUDY, FRAME, storage, Scripted(), Store(tmp_path / "store")).run(2, lambda search, event: None)
    assert states(stored(tmp_path)) == ["COMPLETE", "FAIL"]


def test_a_trial_that_gets_further_with_each_driver_is_not_given_up(tmp_path: Path) -> None:
    """Each driver dies an epoch later: of its reports those that decide are stored at once."""

    class Dying(Scripted):
        def __init__(self, epochs: int):
            super().__init__(lambda number, recipe, attempt: [EpochDone(number, report(1))] * (epochs + 1))
            self.left = epochs

        def wait(self, seconds: float) -> list[Event]:
            if not self.left:
                raise Crash
            self.left -= 1
            return super().wait(seconds)

    for epochs in range(1, 2 * ATTEMPTS):
        with pytest.raises(Crash):
            search(tmp_path, Dying(epochs), trials=1)
    search(tmp_path, Scripted(), trials=1)
    assert states(stored(tmp_path)) == ["COMPLETE"]


def crashing(number: int, recipe: Recipe, attempt: int) -> list[Event]:
    """The driver dies as soon as a trial is submitted."""
    raise Crash


@pytest.mark.parametrize("slots", [1, 3])
def test_what_a_dead_driver_left_running_is_taken_up_under_its_number(tmp_path: Path, slots: int) -> None:
    """Also where it had more slots than there are now."""

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        if number == 3:
            raise Crash
        return (
            [*[EpochDone(number, report(1))] * 50, Finished(number, result(recipe))]
            if number
            else well(number, recipe, 1)
        )

    before = Scripted(behave, slots=3)
    with pytest.raises(Crash):
        search(tmp_path, before, trials=6)
    left = stored(tmp_path)
    assert states(left) == ["COMPLETE", "RUNNING", "RUNNING", "RUNNING"]
    after = Scripted(slots=slots)
    search(tmp_path, after, trials=6)
    trials = stored(tmp_path)
    assert states(trials) == ["COMPLETE"] * 6
    assert [number for number, _ in after.submitted] == [1, 2, 3, 4, 5]
    recipes = dict(before.submitted)
    assert [recipe for _, recipe in after.submitted][:3] == [recipes[number] for number in (1, 2, 3)]
    assert len({trial.user_attrs["digest"] for trial in trials}) == 6
    uninterrupted = _drawn(tmp_path / "whole", 6)
    assert [trial.user_attrs["digest"] for trial in trials[:3]] == [r.digest() for _, r in uninterrupted][:3]


def test_no_checkpoint_of_a_finished_trial_is_left(tmp_path: Path) -> None:
    """Neither when the search has ended, nor when a driver that died had no time to have it deleted."""
    store = Store(tmp_path / "store")
    other = f"{'0' * 64}-around-000001"
    store.put("checkpoint", other, {})

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        store.put("checkpoint", f"{recipe.digest()}-around-000001", {})
        if number == 2 and attempt == 1:
            raise Crash
        return well(number, recipe, attempt)

    crew = Scripted(behave)
    with pytest.raises(Crash):
        search(tmp_path, crew)
    left = store.names("checkpoint")
    assert len(left) == 4

    def look(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        assert store.names("checkpoint") == sorted([other, f"{recipe.digest()}-around-000001"])
        return well(number, recipe, attempt)

    search(tmp_path, Scripted(look))
    assert store.names("checkpoint") == [other], "another study's stays"


def test_a_trial_that_took_over_its_failed_twins_recipe_keeps_its_checkpoint(tmp_path: Path) -> None:
    store, name = Store(tmp_path / "store"), ""

    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        nonlocal name
        if number == 0:
            return [Failed(number, "OutOfMemory", "it was the neighbour's fault")]
        name = f"{recipe.digest()}-around-000001"
        store.put("checkpoint", name, {})
        raise Crash

    with pytest.raises(Crash):
        search(tmp_path, Scripted(behave), REUSING, FRAME.changed(hints=1), trials=2)
    assert states(stored(tmp_path, REUSING)) == ["FAIL", "RUNNING"]

    def look(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        assert (number, store.names("checkpoint")) == (1, [name])
        return well(number, recipe, attempt)

    search(tmp_path, Scripted(look), REUSING, FRAME.changed(hints=1), trials=2)
    assert states(stored(tmp_path, REUSING)) == ["FAIL", "COMPLETE"]
    assert store.names("checkpoint") == []


def test_a_finished_search_trains_nothing_more(tmp_path: Path) -> None:
    search(tmp_path, Scripted())
    again = Scripted()
    search(tmp_path, again)
    assert again.submitted == []
    more = Scripted()
    search(tmp_path, more, trials=5)
    assert [number for number, _ in more.submitted] == [3, 4]


def test_students_that_somebody_designed_come_first_and_once(tmp_path: Path) -> None:
    named = [
        Named(name="large", stages=((64, 64), (64,)), hint=Hint(hint=1, guided=1)),
        Named(name="theirs", stages=((6,), (7, 9)), hint=Hint(hint=2, guided=2)),
        Named(name="second", stages=((4,), (4,)), hint=Hint(hint=2, guided=1)),
    ]
    study = STUDY.changed(first=tuple(named), max_params=20_000)
    workers = Scripted()
    search(tmp_path, workers, study, trials=1)
    search(tmp_path, workers, study, trials=4)
    trials = stored(tmp_path, study)
    assert [trial.user_attrs.get("name") for trial in trials] == ["theirs", "second", None, None]
    assert workers.submitted[0][1].student.stages == ((6,), (7, 9)), "exactly as designed"
    for trial in trials:
        assert set(trial.params) == set(trials[-1].params)
        assert trial.distributions == trials[-1].distributions


def test_stopping_and_continuing_draws_what_one_run_draws(tmp_path: Path) -> None:
    """Past the sampler's random start-up trials, so that its own choices count."""
    whole = _drawn(tmp_path / "whole", 24)
    parts = [*_drawn(tmp_path / "parts", 9), *_drawn(tmp_path / "parts", 16), *_drawn(tmp_path / "parts", 24)]
    assert [recipe for _, recipe in parts] == [recipe for _, recipe in whole]
    assert [number for number, _ in parts] == list(range(24))


def test_another_seed_draws_other_students(tmp_path: Path) -> None:
    one, two = Scripted(), Scripted()
    search(tmp_path / "one", one)
    other = STUDY.changed(seed=1)
    search(tmp_path / "two", two, other, other.frame((1, 8, 8), 10, 2))
    assert {r.student.digest() for _, r in one.submitted} != {r.student.digest() for _, r in two.submitted}


def test_reports_are_stored_while_a_trial_runs(tmp_path: Path) -> None:
    seen: list[int] = []
    storage = open_storage(storage_url(tmp_path, None))
    optuna.create_study(study_name="tiny", storage=storage, directions=DIRECTIONS)

    def look(search: Search, event: Event | None) -> None:
        if isinstance(event, EpochDone):
            seen.append(len(stored(tmp_path)[event.number].user_attrs.get("reports", [])))

    Search(STUDY, FRAME, storage, Scripted(), Store(tmp_path / "store")).run(1, look)
    assert seen == [1, 1], "the first at once, further ones at intervals"


def inline(tmp_path: Path, trials: int) -> list[FrozenTrial]:
    """Real training in this process, or its continuation by another driver."""
    workers = InlineWorkers()
    facts = workers.open(STUDY.data, Path("nowhere"), tmp_path / "store")
    taught = workers.teach(STUDY.resolved_teacher(facts.shape, len(facts.classes)), lambda report: None)
    frame = STUDY.frame(facts.shape, len(facts.classes), len(taught.hint_shapes))
    search(tmp_path, workers, STUDY, frame, trials)
    return stored(tmp_path)


def numbers(trials: list[FrozenTrial]) -> list[Any]:
    """Everything of the trials that training decides, times aside."""
    rows = []
    for trial in trials:
        outcome = {k: v for k, v in trial.user_attrs["outcome"].items() if k != "seconds"}
        losses = [(row["stage"], row["epoch"], row["loss"]) for row in trial.user_attrs["reports"]]
        rows.append((trial.number, trial.params, trial.values, outcome, losses))
    return rows


def test_two_runs_of_one_seed_are_equal_and_so_is_one_in_two_parts(tmp_path: Path) -> None:
    whole = numbers(inline(tmp_path / "whole", 4))
    assert numbers(inline(tmp_path / "again", 4)) == whole
    inline(tmp_path / "parts", 2)
    assert numbers(inline(tmp_path / "parts", 4)) == whole
    assert len({row[3]["weights_sha256"] for row in whole}) == 4


def test_inline_workers_tell_a_trials_own_fault(tmp_path: Path) -> None:
    workers = InlineWorkers()
    facts = workers.open(STUDY.data, Path("nowhere"), tmp_path / "store")
    workers.teach(STUDY.resolved_teacher(facts.shape, len(facts.classes)), lambda report: None)
    misfit = STUDY.named_recipe(
        Named(name="x", stages=((4,), (4,)), hint=Hint(hint=1, guided=1)), STUDY.frame((3, 8, 8), 10, 2)
    )
    assert workers.wait(0.0) == []
    workers.submit(7, misfit)
    assert workers.free() == 0
    (event,) = workers.wait(0.0)
    assert isinstance(event, Failed)
    assert (event.number, event.kind) == (7, "InputError")
    assert workers.free() == 1


def test_the_ledger_agrees_with_the_storage(tmp_path: Path) -> None:
    def behave(number: int, recipe: Recipe, attempt: int) -> list[Event]:
        return [Failed(number, "E", str(number))] if number % 3 == 0 else well(number, recipe, attempt)

    found = search(tmp_path, Scripted(behave, slots=2), trials=9)
    storage = open_storage(storage_url(tmp_path, None))
    fresh = Ledger(optuna.load_study(study_name="tiny", storage=storage), storage)
    assert +found.ledger.counts == +fresh.counts
    for kept, read in zip(found.ledger.trials, fresh.trials, strict=True):
        assert (kept.number, kept.state, kept.values, kept.params) == (
            read.number,
            read.state,
            read.values,
            read.params,
        )
        assert kept.user_attrs == read.user_attrs
