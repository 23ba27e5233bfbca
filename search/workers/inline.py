"""One slot in this process, with the same protocol as Ray's workers: for tests and debugging."""

from collections.abc import Callable, Iterator
from pathlib import Path

from fitnets.config import Brought, Data, Distill, Ensemble, Precision, Recipe, Report, Result, Trained, Training
from fitnets.values.net import Net
from search.workers.actor import Actor, Fault, Limits
from search.workers.facts import Facts, Speed, TeacherFacts
from search.workers.protocol import EndedEarly, EpochDone, Event, Failed, Finished
from search.workers.trainer import Trainer


def _trainer(data: Data, data_dir: str, store_dir: str, gpu: float) -> Trainer:
    return Trainer(data, data_dir, store_dir, "cpu", 1)


class InlineWorkers:
    """Trains one trial at a time, an epoch for each `wait`. A trial that hangs hangs this process."""

    slots = 1

    def __init__(self) -> None:
        self._actor = Actor()
        self._running: tuple[int, Iterator[Report | Result | Fault | None]] | None = None
        self._is_stopped = False

    @property
    def trainer(self) -> Trainer:
        """The Trainer, once `open` was called."""
        assert isinstance(self._actor.trainer, Trainer), "open comes first"
        return self._actor.trainer

    def open(
        self, data: Data, data_dir: Path, store_dir: Path, logs: Path | None = None, trial_seconds: int | None = None
    ) -> Facts:
        """Read the images."""
        limits = Limits(None if logs is None else str(logs), trial_seconds)
        return self._actor.open(_trainer, data, str(data_dir), str(store_dir), limits, 0.0)

    def teach(self, teacher: Trained | Brought | Ensemble, on_report: Callable[[Report], None]) -> TeacherFacts:
        """Train the teacher unless it is trained, and load it."""
        for report in self.trainer.train_teacher(teacher):
            on_report(report)
        return self.trainer.open_teacher(teacher, None)

    def measure(
        self,
        net: Net,
        training: Training,
        precision: Precision,
        distill: Distill | None = None,
        *,
        whole_node: bool = False,
    ) -> Speed:
        """Time a training of `net` in this process, on one core: it is the whole node."""
        return self.trainer.measure(net, training, precision, distill)

    def free(self) -> int:
        """1 when no trial is running."""
        return 0 if self._running else 1

    def submit(self, number: int, recipe: Recipe) -> None:
        """Start a trial."""
        self._is_stopped = False
        stream = self._actor.train(number, recipe, lambda: self._is_stopped)
        next(stream)  # it has begun
        self._running = (number, stream)

    def stop(self, number: int) -> None:
        """End trial `number`, if it runs, before its next epoch."""
        self._is_stopped = self._running is not None and self._running[0] == number

    def wait(self, seconds: float) -> list[Event]:
        """Train one epoch, or end the trial that was stopped."""
        if self._running is None:
            return []
        number, stream = self._running
        item = next(stream, None)
        if isinstance(item, Report):
            return [EpochDone(number, item)]
        self._running = None
        if item is None:
            return [EndedEarly(number)]
        if isinstance(item, Fault):
            return [Failed(number, item.kind, item.message, item.log)]
        assert isinstance(item, Result)
        return [Finished(number, item)]

    def need(self, slots: int) -> None:
        """There is one slot, whatever is needed."""

    def forget(self, number: int, recipe: Recipe) -> None:
        """Delete the checkpoint of trial `number`, which is finished and stored."""
        self.trainer.forget(recipe)
