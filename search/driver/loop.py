"""The search itself: ask -> price -> submit -> report -> tell. The driver is the storage's one writer. No ray.

Told to Optuna: validation accuracy, and the logarithms of parameters and multiply-adds, in which the trade-off is
even; the plain numbers are in the trial's user attributes.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from fitnets.config import Outcome, Recipe, Report, Result
from fitnets.disk.store import Store
from fitnets.errors import DiskError, InputError
from fitnets.nets.cost import cost
from search.driver.disk_limit import Room
from search.driver.ledger import Ledger
from search.space import Frame, extreme, params_of, recipe_of, suggest
from search.study import Study
from search.workers.faults import NODE_DIED, alike, worker_died
from search.workers.protocol import Done, Event, Failed, Lost, News, Note, Stopped, Workers

DIRECTIONS: list[Literal["minimize", "maximize"]] = ["maximize", "minimize", "minimize"]
METRICS = ["val_accuracy", "log10_params", "log10_macs"]
ATTEMPTS = 3  # so many workers that die in a row, no epoch further, are the trial's own fault
SAME_FAILURES = 5  # so many equal failures in a row stop the search
REJECTS = 200  # so many draws over the limits in a row stop the search
REASON_CHARACTERS = 2000
SAVE_SECONDS = 2.0  # a running trial's reports are written at most so often


@dataclass
class Trial:
    """A trial in flight."""

    number: int
    recipe: Recipe
    attempt: int = 1
    """How often it was started, by earlier drivers too."""
    fruitless: int = 0
    """How many of its workers in a row died and left it no further than the one before."""
    left_at: int = 0
    """How many epochs the last lost worker had finished."""
    reports: list[Report] = field(default_factory=list)
    saved: float = 0.0


class Search:
    """One study's search over the given workers. `run` returns when so many students were trained."""

    def __init__(
        self, study: Study, frame: Frame, storage: optuna.storages.BaseStorage, workers: Workers, store: Store
    ):
        self.study, self.frame, self.workers, self.store = study, frame, workers, store
        self.ledger = Ledger(optuna.load_study(study_name=study.name, storage=storage), storage, study.seed)
        self.room = Room(store, study.max_disk, self.ledger)
        self.live: dict[int, Trial] = {}
        self.failures: deque[str] = deque(maxlen=SAME_FAILURES)
        self._digests: dict[str, int] = {}
        self._named: list[tuple[str, Recipe]] = []
        self._left: list[Trial] = []  # waiting for a slot: what lost its worker, or the last driver left running

    def run(self, trials: int, on_event: Callable[["Search", Event | None], None]) -> None:
        """Train students until `trials` of the study have been; `on_event` hears everything that happens.

        Raises Stopped when the search cannot go on, InputError when its limits leave no student.
        """
        self._check_limits()
        self._recover()
        self.room.tidy()
        while True:
            while self.workers.free() and self._left:
                self._submit(self._left.pop(0))
            while self.workers.free() and self.trained() + len(self.live) + len(self._left) < trials:
                self._next_trial()
            if not self.live and not self._left:
                self.room.tidy()
                self.room.keep(now=True)
                return
            events = self.workers.wait(1.0)
            for event in events:
                self._handle(event)
                on_event(self, event)
            if not events:
                on_event(self, None)
            self.room.keep()

    def trained(self) -> int:
        """How many students were trained, to the end or until they failed."""
        return self.ledger.counts[TrialState.COMPLETE] + self.ledger.counts[TrialState.FAIL]

    def attributes(self, number: int) -> dict[str, Any]:
        """What is known of trial `number` beside its parameters and values; its reports are in the storage only."""
        return self.ledger.trials[number].user_attrs

    def _check_limits(self) -> None:
        smallest = cost(extreme(self.study.space, self.frame, 0).student)
        for name, excess in self.study.over_budget(smallest.params, smallest.macs).items():
            if excess > 0:
                value = smallest.params if name == "max_params" else smallest.macs
                raise InputError(
                    f"`{name}` is {getattr(self.study, name):,}, but the space's smallest student has {value:,}: "
                    "raise the limit, or lower `depth` or `base_width` in the study's space."
                )

    def _recover(self) -> None:
        """Take up what a driver that died left behind: what was running goes on, what only was not told is told."""
        for frozen in self.ledger.trials:
            attributes = frozen.user_attrs
            if "digest" in attributes:
                self._digests.setdefault(attributes["digest"], frozen.number)
            if frozen.state == TrialState.RUNNING and not self._told(frozen.number, attributes):
                recipe = Recipe.model_validate(attributes["recipe"])
                self._left.append(Trial(frozen.number, recipe, attempt=attributes.get("attempts", 1) + 1))
        known = {frozen.user_attrs.get("name") for frozen in self.ledger.trials}
        for named in self.study.first:
            recipe = self.study.named_recipe(named, self.frame)
            if named.name not in known and not self._over(recipe):
                self._named.append((named.name, recipe))

    def _told(self, number: int, attributes: dict[str, Any]) -> bool:
        """Tell what a driver that died had written of a trial's end; False where it had not come to it."""
        if "outcome" in attributes:
            outcome = Outcome.model_validate(attributes["outcome"])
            self._complete(number, Recipe.model_validate(attributes["recipe"]), outcome)
        elif "reason" in attributes:
            self.ledger.tell(number, TrialState.FAIL)
        return "outcome" in attributes or "reason" in attributes

    def _over(self, recipe: Recipe) -> bool:
        price = cost(recipe.student)
        return max(self.study.over_budget(price.params, price.macs).values(), default=0.0) > 0

    def _next_trial(self) -> None:
        """Ask until a student fits the limits, and dispatch it. Those that do not are told, and cost no training.

        The students that somebody else designed come first: exact for training, the nearest draw for the sampler.
        """
        for _ in range(REJECTS):
            name, exact = self._named.pop(0) if self._named else (None, None)
            draw = self.ledger.draw(params_of(exact, self.study.space, self.frame) if exact else None)
            params = suggest(draw, self.study.space)
            recipe = exact or recipe_of(params, self.study.space, self.frame)
            price = cost(recipe.student)
            excess = self.study.over_budget(price.params, price.macs)
            about: dict[str, Any] = {"cost": price.model_dump(mode="json")} | ({"name": name} if name else {})
            if max(excess.values(), default=0.0) <= 0:
                self._dispatch(draw, recipe, excess, about)
                return
            about |= {"recipe": recipe.model_dump(mode="json"), "infeasible": True}
            self.ledger.add(draw, TrialState.PRUNED, excess, about)
        raise Stopped(
            f"{REJECTS} draws in a row were over the limits: raise `max_params` or `max_macs`, or lower `base_width`, "
            "`multiplier` or `depth` in the study's space."
        )

    def _dispatch(self, draw: optuna.Trial, recipe: Recipe, excess: dict[str, float], about: dict[str, Any]) -> None:
        if self.study.duplicates == "replicate":
            while recipe.digest() in self._digests:
                recipe = recipe.changed(seed=recipe.seed + 1)
        digest = recipe.digest()
        about |= {"recipe": recipe.model_dump(mode="json"), "digest": digest, "started": time.time()}
        number = self.ledger.add(draw, TrialState.RUNNING, excess, about)
        twin = self._digests.setdefault(digest, number)
        if twin == number:
            self._submit(Trial(number, recipe))
        else:
            self._reuse(number, twin)

    def _reuse(self, number: int, twin: int) -> None:
        """The same recipe was trained before: its outcome is this trial's too."""
        known = self.ledger.trials[twin]
        if known.state != TrialState.COMPLETE:
            became = "has failed" if known.state.is_finished() else "has not finished"
            self.ledger.note(number, reason=f"the same recipe as trial {twin}, which {became}")
            self.ledger.tell(number, TrialState.FAIL)
            return
        stored, shared = self.ledger.stored(twin), ("reports", "classes", "outcome")
        self.ledger.note(number, same_as=twin, **{name: stored[name] for name in shared if name in stored})
        self.ledger.tell(number, TrialState.COMPLETE, known.values)

    def _submit(self, trial: Trial) -> None:
        self.live[trial.number] = trial
        if trial.attempt > 1:
            self.ledger.note(trial.number, attempts=trial.attempt)
        self.workers.submit(trial.number, trial.recipe)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Note):
            return
        if isinstance(event, News):
            self._report(self.live[event.number], event.report)
            return
        trial = self.live.pop(event.number)
        if isinstance(event, Lost):
            self._lost(trial, event)
        elif isinstance(event, Done):
            self._finish(trial, event.result)
        else:
            self._fail(trial, event)

    def _report(self, trial: Trial, report: Report) -> None:
        trial.reports.append(report)
        if time.monotonic() - trial.saved > SAVE_SECONDS:
            trial.saved = time.monotonic()
            self.ledger.note(trial.number, reports=_compact(trial.reports))

    def _lost(self, trial: Trial, event: Lost) -> None:
        """Have the trial go on elsewhere, unless worker after worker dies of it at the same place.

        A node that died is no fault of the trial's, however often.
        """
        if event.began:
            if event.reason != NODE_DIED:
                trial.fruitless = 1 if len(trial.reports) > trial.left_at else trial.fruitless + 1
            trial.left_at = len(trial.reports)
            self.ledger.note(trial.number, lost=event.reason)
            if trial.fruitless >= ATTEMPTS:
                self._fail(trial, Failed(trial.number, *worker_died(trial.fruitless, event.reason)))
                return
            trial.attempt += 1
        trial.reports = []
        self._left.insert(0, trial)

    def _finish(self, trial: Trial, result: Result) -> None:
        outcome = result.outcome
        refused: DiskError | None = None
        try:
            self.store.put("student", outcome.weights_sha256, {"student.safetensors": result.weights})
        except DiskError as error:  # the outcome is worth more than the weights, which can be trained again
            refused = error
        about: dict[str, Any] = {"reports": _compact(trial.reports)}
        if result.classes is not None:
            about["classes"] = result.classes.model_dump(mode="json")
        about["outcome"] = outcome.model_dump(mode="json")  # last: it says that all is there
        self.ledger.note(trial.number, **about)
        self._complete(trial.number, trial.recipe, outcome)
        self.failures.clear()
        if refused is not None:
            raise refused
        self.workers.forget(trial.number, trial.recipe)

    def _complete(self, number: int, recipe: Recipe, outcome: Outcome) -> None:
        price = cost(recipe.student)
        self.ledger.tell(
            number, TrialState.COMPLETE, [outcome.val_accuracy, math.log10(price.params), math.log10(price.macs)]
        )

    def _fail(self, trial: Trial, event: Failed) -> None:
        reason = f"{event.kind}: {event.message}"[:REASON_CHARACTERS]
        self.ledger.note(trial.number, reports=_compact(trial.reports), log=event.log, reason=reason)
        self.ledger.tell(trial.number, TrialState.FAIL)
        self.workers.forget(trial.number, trial.recipe)
        self.failures.append(reason)
        if len(self.failures) == SAME_FAILURES and len({alike(failure) for failure in self.failures}) == 1:
            raise Stopped(f"{SAME_FAILURES} trials in a row failed in the same way: {reason}")


def _compact(reports: list[Report]) -> list[dict[str, Any]]:
    """Reports without what is empty, rounded to what a curve needs; trained now or told again is all one."""
    rows = (report.model_dump(mode="json", exclude_none=True, exclude={"replayed"}) for report in reports)
    return [{name: round(v, 6) if isinstance(v, float) else v for name, v in row.items()} for row in rows]
