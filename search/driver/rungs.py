"""The rungs of a running search: every verdict is taken once, and is in the storage before anything follows from it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial
from pydantic import TypeAdapter

from fitnets.config import Report
from search.driver.ledger import Ledger
from search.driver.stopping import Arrival, Peer, Rungs
from search.study import Study

ARRIVALS = "rungs"  # a trial's attribute: its arrivals at rungs, in order
EXPECTED_STOPPED = (0.42, 0.11)  # of the students at a rung, the first and later ones, before any is known: RESULTS.md

_ARRIVALS = TypeAdapter(tuple[Arrival, ...])


class Verdicts:
    """The verdicts on a study's students, those in the storage included: these are never taken again."""

    def __init__(self, study: Study, ledger: Ledger):
        self._ledger = ledger
        self._rungs = Rungs(study.stopping, study.seed) if study.stopping else None
        self._epochs = study.stopping.rung_epochs(study.stage2.epochs) if study.stopping else ()
        self._count = 0
        known = [(arrival, trial) for trial in ledger.trials for arrival in arrivals(trial.user_attrs)]
        for arrival, trial in sorted(known, key=lambda pair: pair[0].order):
            self._count = arrival.order + 1
            if self._rungs is not None:
                self._rungs.restore(arrival.epoch, _peer(trial, arrival.accuracy), arrival.verdict())

    def take(self, number: int, report: Report) -> Arrival | None:
        """The verdict that an epoch of trial `number` asks for, which the caller is to write before acting on it.

        None where that epoch is no rung, or has had its verdict: epochs are reported again after a lost worker.
        Students with a name, which were designed or come from another study, are peers like all others, but go on.
        """
        epoch, accuracy = report.epoch, report.val_accuracy
        if self._rungs is None or report.stage != "stage 2" or epoch not in self._epochs or accuracy is None:
            return None
        if (epoch, number) in self._rungs.verdicts:
            return None
        trial = self._ledger.trials[number]
        verdict = self._rungs.arrive(epoch, _peer(trial, accuracy), exempt="name" in trial.user_attrs)
        self._count += 1
        return Arrival(epoch=epoch, order=self._count - 1, accuracy=accuracy, **dict(verdict))

    def stopped_at(self, number: int) -> Arrival | None:
        """The stored verdict that stops trial `number`; None where there is none."""
        return next((a for a in arrivals(self._ledger.trials[number].user_attrs) if not a.goes_on), None)


def arrivals(attributes: Mapping[str, Any]) -> tuple[Arrival, ...]:
    """A trial's arrivals at rungs, from its attributes."""
    return _ARRIVALS.validate_python(attributes.get(ARRIVALS, ()))


def with_arrival(attributes: Mapping[str, Any], arrival: Arrival) -> dict[str, Any]:
    """The attribute that stores one more arrival of a trial."""
    return {ARRIVALS: [*attributes.get(ARRIVALS, ()), arrival.model_dump(mode="json")]}


def shares_stopped(study: Study, trials: Sequence[FrozenTrial]) -> tuple[float, ...]:
    """For each rung of the study, the share of the students that stopped there of those that reached it.

    One of EXPECTED_STOPPED where none has. Empty where the study stops none.
    """
    return tuple(_shares(study, trials))


def _shares(study: Study, trials: Sequence[FrozenTrial]) -> Iterator[float]:
    known = [arrival for trial in trials for arrival in arrivals(trial.user_attrs)]
    for place, epoch in enumerate(study.stopping.rung_epochs(study.stage2.epochs) if study.stopping else ()):
        reached = [arrival for arrival in known if arrival.epoch == epoch]
        yield sum(not a.goes_on for a in reached) / len(reached) if reached else EXPECTED_STOPPED[min(place, 1)]


def _peer(trial: FrozenTrial, accuracy: float) -> Peer:
    cost = trial.user_attrs["cost"]
    return Peer(number=trial.number, accuracy=accuracy, params=cost["params"], macs=cost["macs"])
