"""One slot in this process: the same protocol as Ray's workers, for tests and debuggers."""

from collections.abc import Callable, Generator
from pathlib import Path

from fitnets.config import Brought, Data, Recipe, Report, Result, Trained
from search.facts import Facts, TeacherFacts
from search.loop import Done, Failed, Lost, News
from search.trainer import Trainer


class InlineWorkers:
    """Trains one trial at a time, an epoch for each `wait`."""

    slots = 1

    def __init__(self) -> None:
        self.trainer: Trainer | None = None
        self._running: tuple[int, Generator[Report, None, Result]] | None = None

    def open(self, data: Data, data_dir: Path, store_dir: Path) -> Facts:
        """Read the images."""
        self.trainer = Trainer(data, str(data_dir), str(store_dir), "cpu", 1)
        return self.trainer.facts()

    def teach(self, teacher: Trained | Brought, on_report: Callable[[Report], None]) -> TeacherFacts:
        """Train the teacher, or find it trained."""
        assert self.trainer is not None
        for report in self.trainer.train_teacher(teacher):
            on_report(report)
        return self.trainer.open_teacher(teacher, None)

    def free(self) -> int:
        """1 when no trial is running."""
        return 0 if self._running else 1

    def submit(self, number: int, recipe: Recipe) -> None:
        """Start a trial."""
        assert self.trainer is not None
        self._running = (number, self.trainer.train(recipe))

    def wait(self, seconds: float) -> list[News | Done | Failed | Lost]:
        """Train one epoch."""
        if self._running is None:
            return []
        number, stream = self._running
        try:
            return [News(number, next(stream))]
        except StopIteration as stop:
            self._running = None
            return [Done(number, stop.value)]
        except Exception as error:
            self._running = None
            return [Failed(number, type(error).__name__, str(error))]
