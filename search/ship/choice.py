"""Which of a study's students are considered for a budget, in which order: by confirmed accuracy where there is one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search.read.budget import Budget, fitting
from search.read.candidates import Candidate, Snapshot
from search.read.evidence.statistics import ends
from search.ship.confirmed import Confirmation
from search.ship.sure.confirmed_table import interval
from search.units import format_accuracy, format_count


@dataclass(frozen=True)
class Choice:
    """The students within the limits known before export, the one to choose first."""

    students: list[Candidate]
    found: Confirmation | None
    """What their fresh runs say; None where the order is that of the search's single runs."""
    trained: int
    """How many students the search trained."""
    budget: Budget
    """What the students must still keep; without the accuracy where their means were held against it."""
    one_error: bool = False
    """Choose the cheapest student within one standard error of the best mean."""

    @classmethod
    def of(cls, snapshot: Snapshot, found: Confirmation | None, budget: Budget, *, one_error: bool = False) -> "Choice":
        """Of the confirmed students within the limits; where none is, of the others, by their single runs."""
        if found is not None:
            known = budget.known_before_export()
            least = budget.min_accuracy or 0.0
            means = {each.trial: each.mean for each in found.students if each.mean >= least}
            within = [c for c in fitting(snapshot.candidates, known.changed(min_accuracy=None)) if c.trial in means]
            if within:
                left = budget.changed(min_accuracy=None)
                return cls(_ordered(within, found, one_error), found, _trained(snapshot), left, one_error)
        return cls.of_unconfirmed(snapshot, found, budget)

    @classmethod
    def of_unconfirmed(cls, snapshot: Snapshot, found: Confirmation | None, budget: Budget) -> "Choice":
        """Of the students that were not confirmed, by their single runs."""
        others = [c for c in snapshot.candidates if found is None or found.of(c.trial) is None]
        return cls(fitting(others, budget.known_before_export()), None, _trained(snapshot), budget)

    def by(self) -> str:
        """How the first student was chosen, for the model card."""
        if self.found is None:
            return "the highest validation accuracy within the budget"
        if self.one_error:
            return "the fewest parameters within one standard error of the highest confirmed validation accuracy"
        return "the highest confirmed validation accuracy within the budget"

    def accuracy(self, student: Candidate, confirm: str) -> str:
        """A student's validation accuracy for people; `confirm` is the command that confirms it."""
        assert student.outcome is not None
        single = format_accuracy(student.outcome.val_accuracy)
        known = None if self.found is None else self.found.of(student.trial)
        if self.found is None or known is None:
            best = f", chosen as the best of {self.trained}: optimistic" if self.trained > 1 else ""
            return f"{single} (one run{best}; to confirm it: {confirm})"
        failed = f", {known.failed} failed" if known.failed else ""
        return f"{interval(self.found, known)} ({len(known.accuracies)} fresh seeds{failed}; the search said {single})"

    def cheaper(self, chosen: Candidate) -> str | None:
        """For people: the cheapest student within one standard error of the chosen one, where that is another."""
        if self.found is None or self.one_error:
            return None
        trials = [c.trial for c in self.students]
        cheapest = self.found.cheapest_within_one_error(trials)
        if cheapest is None or cheapest.trial == chosen.trial or cheapest.params >= chosen.cost.params:
            return None
        return (
            f"within one standard error of it, the cheapest is trial {cheapest.trial}: "
            f"{interval(self.found, cheapest)}, {format_count(cheapest.params)} parameters (--one-se takes it)"
        )

    def columns(self, student: Candidate) -> dict[str, Any] | None:
        """A student's fresh runs for the model card; None where it was not confirmed."""
        known = None if self.found is None else self.found.of(student.trial)
        if self.found is None or known is None:
            return None
        return {
            "accuracy": known.mean,
            **ends(self.found.interval(known)),
            "half_width_95": self.found.half_width(known),
            "runs": list(known.accuracies),
            "failed_runs": known.failed,
        }


def _trained(snapshot: Snapshot) -> int:
    return sum(c.state == "complete" for c in snapshot.candidates)


def _ordered(students: Sequence[Candidate], found: Confirmation, one_error: bool) -> list[Candidate]:
    """The highest mean first; with `one_error`, before them the cheapest within one standard error of the best."""
    rank = {each.trial: place for place, each in enumerate(found.students)}
    ordered = sorted(students, key=lambda c: rank[c.trial])
    if not one_error:
        return ordered
    near = {each.trial for each in found.within_one_error([c.trial for c in students])}
    return sorted(ordered, key=lambda c: (0, c.cost.params, c.cost.macs) if c.trial in near else (1, rank[c.trial], 0))
