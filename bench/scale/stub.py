"""A Trainer that trains nothing, with the real one's methods, to measure workers and nodes. Without torch or ray."""

import functools
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from fitnets.config import Data, Outcome, Recipe, Report, Result
from fitnets.values.base import sha256
from search.workers.actor import Maker
from search.workers.facts import Facts, Speed, TeacherFacts


class Stub:
    """Each of a recipe's epochs takes `seconds`; accuracy and weights depend on the recipe alone."""

    def __init__(self, data: Data, data_dir: str, store_dir: str, gpu: bool, *, seconds: float):
        self.seconds = seconds
        self.device = "stub on a GPU" if gpu else "stub"

    def facts(self) -> Facts:
        """Digits' shape."""
        classes = tuple("0123456789")
        return Facts(
            shape=(1, 8, 8), classes=classes, train=1, val=1, images="0" * 64, device=self.device, native="float32"
        )

    def has(self, teacher: Any) -> bool:
        """There is always a teacher."""
        return True

    def train_teacher(self, teacher: Any, cores: int = 1) -> Iterator[Report]:
        """Nothing to train."""
        yield from ()

    def export_teacher(self, teacher: Any) -> dict[str, bytes]:
        """No files."""
        return {}

    def open_teacher(self, teacher: Any, files: Sequence[dict[str, bytes]] | None) -> TeacherFacts:
        """A teacher with two hint layers."""
        return TeacherFacts(teacher="0" * 64, hint_shapes=((8, 8, 8), (8, 4, 4)), val_accuracy=1.0)

    def measure(self, *arguments: Any) -> Speed:
        """A microsecond for each step."""
        return Speed(train_step=1e-6, forward=1e-6)

    def train(self, recipe: Recipe) -> Generator[Report, None, Result]:
        """The epochs of stage 2, each of which only sleeps."""
        epochs = recipe.stage2.epochs
        for epoch in range(1, epochs + 1):
            time.sleep(self.seconds)
            yield Report(
                stage="stage 2", epoch=epoch, epochs=epochs, loss=1.0, val_accuracy=0.5, lam=1.0, seconds=self.seconds
            )
        weights = recipe.digest().encode()
        accuracy = int(weights[:4], 16) / 2**16
        outcome = Outcome(
            val_accuracy=accuracy,
            best_val_accuracy=accuracy,
            hint_r2=None,
            seconds=epochs * self.seconds,
            weights_sha256=sha256(weights),
            teacher="0" * 64,
            data="0" * 64,
            versions={},
        )
        return Result(outcome, weights)

    def forget(self, recipe: Recipe) -> None:
        """There is no checkpoint."""


def stub(seconds: float) -> Maker:
    """The function that makes such a Trainer in a worker."""
    return functools.partial(Stub, seconds=seconds)
