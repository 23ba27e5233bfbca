"""A trial in flight: its reports so far, and the count of its starts, which survives the driver."""

import time
from dataclasses import dataclass, field
from typing import Any, Self

from fitnets.config import Recipe, Report

ATTEMPTS = 3  # so many starts in a row that die, no epoch further, are the trial's own fault
SAVE_SECONDS = 2.0  # a running trial's reports are written at most so often


@dataclass
class RunningTrial:
    """A trial that is running, or waits for a slot."""

    number: int
    recipe: Recipe
    attempt: int = 1
    """How often it was started, by earlier drivers too."""
    fruitless: int = 0
    """How many of its starts in a row died and got it no further than the one before."""
    left_at: int = 0
    """How many epochs the last start that died had finished."""
    reports: list[Report] = field(default_factory=list)
    saved: float = float("-inf")

    @classmethod
    def left_behind(cls, number: int, attributes: dict[str, Any], *, driver_died: bool) -> Self:
        """The next start of a trial that an earlier driver left running, with these attributes.

        Where that driver died, the trial may be the cause: the start counts as one that died.
        """
        trial = cls(
            number,
            Recipe.model_validate(attributes["recipe"]),
            attributes.get("attempts", 1) + 1,
            attributes.get("fruitless", 0),
            attributes.get("left_at", 0),
        )
        if driver_died:
            trial.died(len(attributes.get("reports", [])))
        return trial

    def died(self, epochs: int) -> None:
        """Count a start that died after so many epochs."""
        self.fruitless = 1 if epochs > self.left_at else self.fruitless + 1
        self.left_at = epochs

    def starts(self) -> dict[str, Any]:
        """The count of starts as attributes, written before each one: the driver itself may die of it."""
        counted = {"fruitless": self.fruitless, "left_at": self.left_at}
        return counted | ({"attempts": self.attempt} if self.attempt > 1 else {})

    def report(self, report: Report) -> bool:
        """Add an epoch's report; True where the reports are to be written now.

        That is at intervals, and at once for the first epoch that the start before did not reach, which decides
        whether this start was fruitless.
        """
        self.reports.append(report)
        now = time.monotonic()
        if len(self.reports) != self.left_at + 1 and now - self.saved <= SAVE_SECONDS:
            return False
        self.saved = now
        return True


def compact(reports: list[Report]) -> list[dict[str, Any]]:
    """Reports as attributes: without empty fields and whether they were replayed, rounded to what a curve needs."""
    rows = (report.model_dump(mode="json", exclude_none=True, exclude={"replayed"}) for report in reports)
    return [{name: round(v, 6) if isinstance(v, float) else v for name, v in row.items()} for row in rows]
