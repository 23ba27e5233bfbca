"""Peak memory of one CPU worker on all of CIFAR-10: images, teacher, tables, one trial of both stages.

    python -m bench.speed.memory --data DIR

The hint layer is the largest that is still tabled (layer 2 of the paper's teacher: 735 MB for an epoch of 40,000
images, filled with zeros here to save minutes of teacher passes). The student is FitNet 4, the paper's largest, trained
for a few steps of each stage and validated on a few images: memory does not grow with the number of either.
"""

import argparse
import resource
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.hardware import table, versions
from bench.speed.nets import FITNET_4
from bench.speed.step import RECIPE, paper_teacher
from fitnets.config import Data, Hint
from fitnets.images.images import Split
from fitnets.images.views import shuffled
from fitnets.nets.precision import native
from fitnets.teacher import hints, tables, teacher
from fitnets.teacher.tables import Rows, Table
from fitnets.training import loop
from search.workers.trainer import Trainer

STEPS = 4


def peak() -> str:
    """This process's peak memory so far."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


def _zeros(wanted: Sequence[Table], num_images: int, rows: Rows, *arguments: Any) -> Tensor:
    """Tables of the right size through the real code: one real batch, then zeros."""
    some = rows(torch.arange(min(tables.CHUNK, num_images)), wanted)
    shapes = {table: part.shape[1:] for table, part in zip(wanted, some, strict=True)}

    def zeros(index_B: Tensor, asked: Sequence[Table]) -> list[Tensor]:
        return [torch.zeros(len(index_B), *shapes[table]) for table in asked]

    return tables.tabled(wanted, num_images, zeros, *arguments)


def _few(*arguments: Any) -> Iterator[Tensor]:
    return islice(shuffled(*arguments), STEPS)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    rows = [["imports", peak()]]
    with tempfile.TemporaryDirectory() as folder:
        for what in ("50,000 image files decoded by the first worker", "images read from the store"):
            trainer = Trainer(Data(name="cifar10", shift=4, flip=True), str(arguments.data), folder, "cpu", 1)
            rows.append([what, peak()])
        val = trainer.images.val
        trainer.images = replace(trainer.images, val=Split(val.pixels_NHWC[:1024], val.label_N[:1024]))
        trainer.teacher = paper_teacher()
        hints.tabled = teacher.tabled = _zeros  # type: ignore[attr-defined, assignment]
        loop.shuffled = _few  # type: ignore[attr-defined, assignment]
        recipe = RECIPE.changed(student=FITNET_4, hint=Hint(hint=2, guided=11), precision=native(torch.device("cpu")))
        for report in trainer.train(recipe):
            rows.append([f"{report.stage} of FitNet 4", peak()])
    print(versions("torch"))
    print(table(["after", "peak so far"], rows))


if __name__ == "__main__":
    main()
