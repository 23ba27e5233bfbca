"""A running trial: its reports so far, and the count of its starts, which survives the driver."""

import time
from dataclasses import dataclass, field
from typing import Any, Self

from fitnets.config import Recipe, Report

ATTEMPTS = 3  # a trial fails after this many starts in a row that died without getting an epoch further
SAVE_SECONDS = 2.0  # at least, between two writes of a running trial's reports
OFTEN = 50  # running trials, at most, whose reports are written so often; of more, less often (docs/scale.md)


@dataclass
class RunningTrial:
    """A trial that is running or waits for a slot."""

    number: int
    recipe: Recipe
    attempt: int = 1
    """The number of this start, from 1; starts by earlier drivers count."""
    fruitless: int = 0
    """How many starts in a row died without getting further than the one before."""
    left_at: int = 0
    """How many epochs the last start that died had reached."""
    stored: int = 0
    """How many epochs' reports the storage has."""
    reports: list[Report] = field(default_factory=list)
    saved: float = float("-inf")
    """When the reports were last written, by the monotonic clock."""

    @classmethod
    def left_behind(cls, number: int, attributes: dict[str, Any], *, driver_died: bool) -> Self:
        """The next start of a trial that an earlier driver left running, with these attributes.

        If that driver died, the trial may be the cause: its last start then counts as one that died.
        """
        trial = cls(
            number,
            Recipe.model_validate(attributes["recipe"]),
            attributes.get("attempts", 1) + 1,
            attributes.get("fruitless", 0),
            attributes.get("left_at", 0),
            len(attributes.get("reports", [])),
        )
        if driver_died:
            trial.died(trial.stored)
        return trial

    def reached(self) -> int:
        """How many epochs this start has reached.

        One that goes on from a checkpoint, or that dies before its first epoch, is where the start before it was.
        """
        from_the_beginning = bool(self.reports) and not self.reports[0].replayed
        return len(self.reports) if from_the_beginning else max(len(self.reports), self.left_at)

    def died(self, epochs: int) -> None:
        """Count a start that died when it had reached `epochs` epochs."""
        self.fruitless = 1 if epochs > self.left_at else self.fruitless + 1
        self.left_at = epochs

    def starts(self) -> dict[str, Any]:
        """The counts as attributes. They are written before each start, which may kill the driver itself."""
        counts = {"fruitless": self.fruitless, "left_at": self.left_at}
        return counts | ({"attempts": self.attempt} if self.attempt > 1 else {})

    def report(self, report: Report, running: int = 1) -> bool:
        """Add an epoch's report. Returns whether the reports are to be written now, one of `running` trials.

        They are written every SAVE_SECONDS (less often where more than OFTEN trials run), and at once for the first
        epoch that the start before did not reach: that one decides whether this start is fruitless. Replayed epochs
        never shorten what is stored.
        """
        self.reports.append(report)
        if report.replayed and len(self.reports) <= self.stored:
            return False
        now = time.monotonic()
        is_due = now - self.saved > SAVE_SECONDS * max(1.0, running / OFTEN)
        return len(self.reports) == self.left_at + 1 or is_due

    def written(self) -> list[dict[str, Any]]:
        """The reports as an attribute, which the caller writes."""
        self.saved, self.stored = time.monotonic(), len(self.reports)
        return compact(self.reports)


def compact(reports: list[Report]) -> list[dict[str, Any]]:
    """Reports as attributes: without empty fields and without `replayed`, rounded to what a curve needs."""
    rows = (report.model_dump(mode="json", exclude_none=True, exclude={"replayed"}) for report in reports)
    return [{name: round(v, 6) if isinstance(v, float) else v for name, v in row.items()} for row in rows]
