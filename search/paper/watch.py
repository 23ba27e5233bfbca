"""The terminal display while an experiment trains: a line for every run that ends, and the time left."""

import time

from rich.console import Console

from fitnets.config import Report
from search.driver.display import Display
from search.paper.experiments import Experiment
from search.paper.forecast import Forecast
from search.units import format_duration
from search.workers.protocol import EndedEarly, EpochDone, Event, Failed, Finished, Notice, WorkerLost


class Watch(Display):
    """Shows the teacher's epochs and the runs' events. Use it as a context manager."""

    def __init__(self, console: Console, experiment: Experiment, forecast: Forecast, missing: list[int], slots: int):
        super().__init__(console, len(forecast.runs))
        self.runs, self.forecast, self.slots = experiment.runs(), forecast, slots
        self.missing = set(missing)
        self.reports: dict[int, Report] = {}
        self._actual_seconds = 0.0
        self._forecast_seconds = 0.0
        self._began = time.monotonic()

    def on_event(self, event: Event | None) -> None:
        """Show an event of a run; None after a second without one."""
        if isinstance(event, EpochDone):
            self.reports[event.number] = event.report
        elif isinstance(event, Notice):
            self.console.print(event.text, markup=False, soft_wrap=True)
        elif event is not None and not isinstance(event, EndedEarly):  # no run is
            self.reports.pop(event.number, None)
            self.console.print(self._ended(event), markup=False, soft_wrap=True)
        if self.live is not None:
            self.live.update("\n".join([self._summary(), *map(self._running, sorted(self.reports))]))

    def _ended(self, event: Finished | Failed | WorkerLost) -> str:
        name = self._name(event.number)
        if isinstance(event, WorkerLost):
            return f"{name} lost its worker: {event.reason}"
        self.missing.discard(event.number)
        if isinstance(event, Failed):
            return f"{name} failed: {event.kind}: {event.message}"
        outcome = event.result.outcome
        self._actual_seconds += outcome.seconds
        self._forecast_seconds += self.forecast.runs[event.number]
        hint = f", hint R2 {outcome.hint_r2:.2f}" if outcome.hint_r2 is not None else ""
        error = 100 * (1 - outcome.val_accuracy)
        return f"{name}: validation error {error:.2f}%{hint}, {format_duration(outcome.seconds)}   [{self._summary()}]"

    def _name(self, number: int) -> str:
        arm, seed, _ = self.runs[number]
        return f"{arm.name} by {arm.method} ({arm.family} recipe, seed {seed})"

    def _running(self, number: int) -> str:
        report = self.reports[number]
        line = f"{report.stage} {report.epoch}/{report.epochs}, loss {report.loss:.3f}"
        if report.hint_r2 is not None:
            line += f", hint R2 {report.hint_r2:.2f}"
        if report.val_accuracy is not None:
            line += f", validation error {100 * (1 - report.val_accuracy):.2f}%"
        return f"  {self._name(number)}: {line}"

    def _summary(self) -> str:
        """The forecast for the missing runs, scaled by how long the finished ones took compared with theirs."""
        factor = self._actual_seconds / self._forecast_seconds if self._forecast_seconds else 1.0
        left = factor * sum(self.forecast.runs[number] for number in self.missing) / self.slots
        done = len(self.runs) - len(self.missing)
        passed = time.monotonic() - self._began
        return f"{done}/{len(self.runs)}, {format_duration(left)} left, {format_duration(passed)} so far"
