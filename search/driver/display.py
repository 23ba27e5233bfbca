"""What a person sees while a search runs: a live panel on a terminal, plain lines elsewhere."""

import math
import statistics
import time
from typing import Self

from optuna.trial import TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from fitnets.config import Report
from search.driver.ledger import STOPPED_AT
from search.driver.loop import Search
from search.units import format_accuracy, format_count, format_duration
from search.workers.protocol import EpochDone, Event, Failed, Finished, Notice, WorkerLost

LINE_SECONDS = 5.0  # at least, between two plain lines of the teacher's training


class Display:
    """Shows the teacher's epochs and the search's events as they come. A context manager."""

    def __init__(self, console: Console, trials: int, forecast: float | None = None):
        """`forecast`: the seconds from now that the whole will take, where something has said so."""
        self.console, self.trials, self._forecast, self._began = console, trials, forecast, time.monotonic()
        self.live: Live | None = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._last_line = 0.0  # when, by the monotonic clock
        self._seconds: list[float] = []
        self._best: dict[int, tuple[float, int, int]] = {}  # decade of parameters -> accuracy, parameters, trial

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live is not None:
            self.live.__exit__(None, None, None)

    def teacher(self, report: Report) -> None:
        """An epoch of the teacher's own training."""
        left = report.seconds * (report.epochs - report.epoch)
        text = f"teacher  epoch {report.epoch}/{report.epochs}  loss {report.loss:.3f}"
        if report.val_accuracy is not None:  # none while it trains on the validation images too
            text += f"  accuracy {format_accuracy(report.val_accuracy)}"
        text += f"  {format_duration(left)} left"
        if self.live is not None:
            self.live.update(text)
        elif report.epoch == report.epochs or time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            self.console.print(text, soft_wrap=True)

    def event(self, search: Search, event: Event | None) -> None:
        """Show an event of the search; None: a second passed without one."""
        if isinstance(event, Finished):
            self._finished(search, event)
        elif isinstance(event, EpochDone) and (stop := search.attributes(event.number).get(STOPPED_AT)):
            self._stopped(search, event, stop["seconds"])
        elif isinstance(event, Failed):
            text = f"trial {event.number}{_name(search, event.number)} failed: {event.kind}: {event.message}"
            self.console.print(text, markup=False, soft_wrap=True)
        elif isinstance(event, WorkerLost):
            self.console.print(
                f"trial {event.number} lost its worker and goes on elsewhere: {event.reason}",
                markup=False,
                soft_wrap=True,
            )
        elif isinstance(event, Notice):
            self.console.print(event.text, markup=False, soft_wrap=True)
        if self.live is not None:
            self.live.update(self._panel(search))

    def _finished(self, search: Search, event: Finished) -> None:
        outcome = event.result.outcome
        params = search.attributes(event.number)["cost"]["params"]
        self._seconds.append(outcome.seconds)
        decade = math.floor(math.log10(params))
        self._best[decade] = max(self._best.get(decade, (0.0, 0, 0)), (outcome.val_accuracy, params, event.number))
        hint = f"  hint R2 {outcome.hint_r2:.2f}" if outcome.hint_r2 is not None else ""
        self._line(search, event.number, outcome.val_accuracy, f"{hint}  {outcome.seconds:.1f} s")

    def _stopped(self, search: Search, event: EpochDone, seconds: float) -> None:
        self._seconds.append(seconds)
        end = f"  stopped after epoch {event.report.epoch} of {event.report.epochs}"
        self._line(search, event.number, event.report.val_accuracy or 0.0, end)

    def _line(self, search: Search, number: int, accuracy: float, end: str) -> None:
        """Where there is no panel, print a line on a student whose training has ended."""
        if self.live is None:
            cost = search.attributes(number)["cost"]
            self.console.print(
                f"trial {number:3d}{_name(search, number)}  accuracy {format_accuracy(accuracy)}  "
                f"{format_count(cost['params'])} params  {format_count(cost['macs'])} multiply-adds{end}   "
                f"[{self._done(search)}]",
                markup=False,
                soft_wrap=True,
            )

    def _done(self, search: Search) -> str:
        """How many students are done, and how long the others will take."""
        stopped = f", {search.ledger.stopped} stopped early" if search.ledger.stopped else ""
        left = f", {format_duration(self._left(search))} left" if self._seconds else ""
        return f"{search.trained()} of {self.trials}{stopped}{left}"

    def _left(self, search: Search) -> float:
        """The estimated seconds until the end: a mean trial's for each that is missing, spread over the slots.

        The first student of each slot is left out: it waits for the teacher's tables, which the others share. While
        there are no others, the forecast is believed, until its time is over.
        """
        missing = max(0, self.trials - search.trained())
        slots = max(1, search.workers.slots)  # none while a cluster waits for a node
        others = self._seconds[slots:]
        left = (self._forecast or 0.0) - (time.monotonic() - self._began)
        if missing and not others and left > 0:
            return left
        return statistics.fmean(others or self._seconds or [0.0]) * missing / slots

    def _panel(self, search: Search) -> Group:
        counts = search.ledger.counts
        bar = Progress(BarColumn(bar_width=None), TextColumn("{task.description}"), expand=True)
        bar.add_task(
            f"{self._done(search)}; {len(search.live)} running, {counts[TrialState.FAIL]} failed",
            total=self.trials,
            completed=search.trained(),
        )
        running = Table(box=None, pad_edge=False)
        for heading in ("trial", "stage", "epoch", "loss", "hint R2 / accuracy"):
            running.add_column(heading, justify="right")
        for live in search.live.values():
            if live.reports:
                last = live.reports[-1]
                score = f"{last.hint_r2:.2f}" if last.hint_r2 is not None else format_accuracy(last.val_accuracy or 0)
                running.add_row(str(live.number), last.stage, f"{last.epoch}/{last.epochs}", f"{last.loss:.3f}", score)
        best = Table(box=None, pad_edge=False)
        for heading in ("best with", "accuracy", "params", "trial"):
            best.add_column(heading, justify="right")
        for decade, (value, params, number) in sorted(self._best.items()):
            below = f"< {format_count(10 ** (decade + 1))}"
            best.add_row(below, format_accuracy(value), format_count(params), str(number))
        return Group(bar, running, best)


def _name(search: Search, number: int) -> str:
    """A trial's name in brackets; empty for a student that the sampler drew."""
    name = search.attributes(number).get("name")
    return f" ({name})" if name else ""
