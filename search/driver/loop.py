"""The search loop: ask, price, submit, report, stop or go on, tell. The driver is the storage's only writer. No ray.

Optuna's objectives are the validation accuracy and the logarithms of parameters and multiply-adds, so that equal ratios
of cost are equal steps; the plain numbers are in the trial's user attributes.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from fitnets.config import Outcome, Recipe, Report, Result
from fitnets.disk.store import Store
from fitnets.errors import DiskError
from fitnets.nets.cost import cost
from search.driver.checks import check_limits
from search.driver.disk_limit import DiskLimit
from search.driver.flight import ATTEMPTS, RunningTrial, compact
from search.driver.ledger import STOPPED_AT, WHY, Ledger
from search.driver.rungs import Verdicts, with_arrival
from search.driver.sampling.draw import Proposal
from search.driver.sampling.proposals import Proposals
from search.driver.stopping import Arrival
from search.driver.twins import REASON_CHARACTERS, Twins
from search.read.candidates import ENDED
from search.space import Frame
from search.study import Study
from search.workers.faults import DRIVER_DIED, NODE_DIED, without_numbers, worker_died
from search.workers.protocol import EndedEarly, EpochDone, Event, Failed, Finished, Notice, Stopped, WorkerLost, Workers

DIRECTIONS: list[Literal["minimize", "maximize"]] = ["maximize", "minimize", "minimize"]
METRICS = ["val_accuracy", "log10_params", "log10_macs"]
SAME_FAILURES = 5  # this many equal failures in a row stop the search


class Search:
    """One study's search over the given workers."""

    def __init__(
        self,
        study: Study,
        frame: Frame,
        storage: optuna.storages.BaseStorage,
        workers: Workers,
        store: Store,
        first: Sequence[tuple[str, Recipe]] | None = None,
    ):
        """`first`: names and recipes of the students to train before the sampler's; None: the study's named ones."""
        self.study, self.frame, self.workers, self.store = study, frame, workers, store
        known = optuna.load_study(study_name=study.name, storage=storage)
        self._driver_died = known.user_attrs.get(ENDED) is None  # while these trials were RUNNING
        self.ledger = Ledger(known, storage)
        self.proposals = Proposals(study, frame)
        self.verdicts = Verdicts(study, self.ledger)
        self.disk_limit = DiskLimit(store, study.max_disk, self.ledger)
        self.live: dict[int, RunningTrial] = {}
        self._ending: dict[int, Recipe] = {}  # stopped trials whose worker has not ended them yet
        self.failures: deque[str] = deque(maxlen=SAME_FAILURES)
        self.twins = Twins(self.ledger)
        named = ((each.name, study.named_recipe(each, frame)) for each in study.first)
        self._first = list(named if first is None else first)
        self._named_students: list[tuple[str, Recipe]] = []
        self._waiting_for_slot: list[RunningTrial] = []  # lost their worker, or left RUNNING

    def run(self, trials: int, on_event: Callable[["Search", Event | None], None]) -> None:
        """Train students until the study has `trials` trained ones; `on_event` is called with every event.

        What a stopped trial still reports is no event.
        Raises Stopped when the search cannot go on, InputError when its limits leave no student.
        """
        check_limits(self.study, self.frame)
        self._recover()
        self.disk_limit.tidy()
        while True:
            while self.workers.free() and (self._waiting_for_slot or self.trained() + self._unfinished() < trials):
                if self._waiting_for_slot:
                    self._submit(self._waiting_for_slot.pop(0))
                else:
                    self._next_trial()
            idle = not (self.live or self._waiting_for_slot or self._ending)
            if idle and self.trained() >= trials:  # fewer where a dead worker's slot is not free again yet
                self.disk_limit.tidy()
                self.disk_limit.enforce(now=True)
                return
            self.workers.need(max(len(self.live) + len(self._waiting_for_slot), trials - self.trained()))
            events = self.workers.wait(1.0)
            for event in events:
                if self._handle(event):
                    on_event(self, event)
            if not events:
                on_event(self, None)
            self.disk_limit.enforce()

    def trained(self) -> int:
        """How many students were trained: to the end, or until they were stopped or failed."""
        return self.ledger.counts[TrialState.COMPLETE] + self.ledger.counts[TrialState.FAIL] + self.ledger.stopped

    def _unfinished(self) -> int:
        return len(self.live) + len(self._waiting_for_slot) + self.twins.waiting()

    def attributes(self, number: int) -> dict[str, Any]:
        """The user attributes of trial `number`; the reports of a finished one are in the storage only."""
        return self.ledger.trials[number].user_attrs

    def _recover(self) -> None:
        """Finish or continue the trials that an earlier driver left running, in order of their numbers."""
        trials = self.ledger.trials
        for frozen in trials:
            attributes, digest = frozen.user_attrs, frozen.user_attrs.get("digest", "")
            running = frozen.state == TrialState.RUNNING and not self._finish_from_storage(frozen.number, attributes)
            original = self.twins.originals.get(digest)
            started = "fruitless" in attributes or original is None
            failed = original is not None and trials[original].state == TrialState.FAIL != frozen.state
            if digest and started and (original is None or failed):
                self.twins.originals[digest] = frozen.number
            if running and started:
                self._continue(RunningTrial.left_behind(frozen.number, attributes, driver_died=self._driver_died))
            elif running:
                self._reuse(RunningTrial(frozen.number, Recipe.model_validate(attributes["recipe"])))
        known = {frozen.user_attrs.get("name") for frozen in self.ledger.trials}
        for name, recipe in self._first:
            if name not in known and self.study.allows(cost(recipe.student)):
                self._named_students.append((name, recipe))

    def _continue(self, trial: RunningTrial) -> None:
        """Continue a trial of an earlier driver, or fail it if its last ATTEMPTS starts got no further."""
        if trial.fruitless < ATTEMPTS:
            self._waiting_for_slot.append(trial)
            return
        kind, message = worker_died(trial.fruitless, self.attributes(trial.number).get("lost", DRIVER_DIED))
        self.ledger.note(trial.number, reason=f"{kind}: {message}"[:REASON_CHARACTERS])
        self.ledger.tell(trial.number, TrialState.FAIL)

    def _finish_from_storage(self, number: int, attributes: dict[str, Any]) -> bool:
        """Finish a RUNNING trial whose end an earlier driver wrote: outcome, failure or verdict. Returns whether."""
        if "outcome" in attributes:
            outcome = Outcome.model_validate(attributes["outcome"])
            self._complete(number, Recipe.model_validate(attributes["recipe"]), outcome)
        elif "reason" in attributes:
            self.ledger.tell(number, TrialState.FAIL)
        elif arrival := self.verdicts.stopped_at(number):
            self._tell_stopped(number, arrival)
        else:
            return False
        return True

    def _next_trial(self) -> None:
        """Dispatch the next student. The study's named ones come first, and are trained as designed."""
        if self._named_students:
            name, recipe = self._named_students.pop(0)
            self._dispatch(self.proposals.named(recipe), {"name": name})
            return
        self._dispatch(self.proposals.next(self.ledger.trials), {})

    def _dispatch(self, proposal: Proposal, about: dict[str, Any]) -> None:
        recipe = proposal.recipe
        if self.study.duplicates == "replicate":
            while recipe.digest() in self.twins.originals:
                recipe = recipe.changed(seed=recipe.seed + 1)
        digest = recipe.digest()
        about |= {"cost": proposal.cost.model_dump(mode="json"), "recipe": recipe.model_dump(mode="json")}
        about |= {"digest": digest, "started": time.time()}
        if digest not in self.twins.originals:
            about |= RunningTrial(-1, recipe).starts()
        number = self.ledger.add(proposal, about)
        trial = RunningTrial(number, recipe)
        if self.twins.originals.setdefault(digest, number) == number:
            self._submit(trial)
        else:
            self._reuse(trial)

    def _reuse(self, trial: RunningTrial) -> None:
        """Share the end of the trial with the same recipe, or train this one where there is none to share."""
        if not self.twins.reuse(trial):
            self._waiting_for_slot.append(trial)

    def _take_up_waiting(self, number: int) -> None:
        """Trial `number` has ended: take up those that waited for it."""
        for trial in self.twins.ended(number):
            self._reuse(trial)

    def _submit(self, trial: RunningTrial) -> None:
        self.live[trial.number] = trial
        known = self.attributes(trial.number)
        self.ledger.note(trial.number, **{name: v for name, v in trial.starts().items() if known.get(name) != v})
        self.workers.submit(trial.number, trial.recipe)

    def _handle(self, event: Event) -> bool:
        """Act on an event. Returns False for one of a trial that was stopped: its verdict stands, whatever comes."""
        if isinstance(event, Notice):
            return True
        if event.number in self._ending or isinstance(event, EndedEarly):
            if not isinstance(event, EpochDone):
                self.workers.forget(event.number, self._ending.pop(event.number))
            return False
        if isinstance(event, EpochDone):
            self._report(self.live[event.number], event.report)
            return True
        trial = self.live.pop(event.number)
        if isinstance(event, WorkerLost):
            self._lost(trial, event)
        elif isinstance(event, Finished):
            self._finish(trial, event.result)
        else:
            self._fail(trial, event)
        return True

    def _report(self, trial: RunningTrial, report: Report) -> None:
        """Store an epoch's report when it is time, and at once where it brings a verdict, which is then acted on."""
        is_due = trial.report(report, len(self.live))
        arrival = self.verdicts.take(trial.number, report)
        about = with_arrival(self.attributes(trial.number), arrival) if arrival else {}
        if is_due or about:
            self.ledger.note(trial.number, reports=trial.written(), **about)
        if arrival is not None and not arrival.goes_on:
            self._ending[trial.number] = self.live.pop(trial.number).recipe
            self.workers.stop(trial.number)
            self._tell_stopped(trial.number, arrival)

    def _tell_stopped(self, number: int, arrival: Arrival) -> None:
        """Tell Optuna that a trial, whose verdict is stored, was stopped."""
        seconds = sum(row["seconds"] for row in self.attributes(number).get("reports", ()))
        about = {WHY: f"stopped after epoch {arrival.epoch} of stage 2"}
        self.ledger.note(number, **about, **{STOPPED_AT: {"epoch": arrival.epoch, "seconds": round(seconds, 3)}})
        self.ledger.tell(number, TrialState.PRUNED)
        self.failures.clear()
        self._take_up_waiting(number)

    def _lost(self, trial: RunningTrial, event: WorkerLost) -> None:
        """Requeue a trial whose worker died, unless ATTEMPTS starts in a row got no epoch further.

        A start that ended with its node does not count.
        """
        if event.began:
            reached = trial.reached()
            if event.reason != NODE_DIED:
                trial.died(reached)
            trial.left_at = reached
            about: dict[str, Any] = {"reports": trial.written()} if reached == len(trial.reports) > 0 else {}
            self.ledger.note(trial.number, **about, lost=event.reason)
            if trial.fruitless >= ATTEMPTS:
                self._fail(trial, Failed(trial.number, *worker_died(trial.fruitless, event.reason)))
                return
            trial.attempt += 1
        trial.reports = []
        self._waiting_for_slot.insert(0, trial)

    def _finish(self, trial: RunningTrial, result: Result) -> None:
        outcome = result.outcome
        not_stored: DiskError | None = None
        try:
            self.store.put("student", outcome.weights_sha256, {"student.safetensors": result.weights})
        except DiskError as error:  # the outcome is worth more than the weights, which can be trained again
            not_stored = error
        about: dict[str, Any] = {"reports": compact(trial.reports)}
        if result.classes is not None:
            about["classes"] = result.classes.model_dump(mode="json")
        if result.right is not None:
            about["right"] = result.right.model_dump(mode="json")
        about["outcome"] = outcome.model_dump(mode="json")  # last: where it is there, all is
        self.ledger.note(trial.number, **about)
        self._complete(trial.number, trial.recipe, outcome)
        self.failures.clear()
        if not_stored is not None:
            raise not_stored
        self.workers.forget(trial.number, trial.recipe)

    def _complete(self, number: int, recipe: Recipe, outcome: Outcome) -> None:
        price = cost(recipe.student)
        self.ledger.tell(
            number, TrialState.COMPLETE, [outcome.val_accuracy, math.log10(price.params), math.log10(price.macs)]
        )
        self._take_up_waiting(number)

    def _fail(self, trial: RunningTrial, event: Failed) -> None:
        reason = f"{event.kind}: {event.message}"[:REASON_CHARACTERS]
        self.ledger.note(trial.number, reports=compact(trial.reports), log=event.log, reason=reason)
        self.ledger.tell(trial.number, TrialState.FAIL)
        self._take_up_waiting(trial.number)
        self.workers.forget(trial.number, trial.recipe)
        self.failures.append(reason)
        if len(self.failures) == SAME_FAILURES and len({without_numbers(failure) for failure in self.failures}) == 1:
            same = f"{SAME_FAILURES} trials in a row failed in the same way, which the next would too: {reason}"
            raise Stopped(same, repeats=True)
