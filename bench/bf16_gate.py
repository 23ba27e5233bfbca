"""Whether bf16 can be the default: validation accuracies of the same recipes in float32 and bf16, over several seeds.

    python -m bench.bf16_gate --data DIR [--seeds 5] [--quick] [--case NAME]

Two students on digits, one each on a part of MNIST and of CIFAR-10, and one of the `cifar10` study's kind; teacher,
tables and both stages use the precision under test. A case passes if the means differ by less than twice the standard
error of their difference, or if bf16's is higher. Runs in as many processes as there are cores.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from bench.hardware import table, versions
from fitnets.config import Data, Hint, Precision, Recipe, Trained, Training
from fitnets.disk.store import Store
from fitnets.distill.run import distill, result_of
from fitnets.images.images import load
from fitnets.teacher import opening, train
from fitnets.values.base import Value
from fitnets.values.net import Net, Shape

ADAMW = Training(epochs=1, lr=3e-3, batch=64, schedule="one-cycle")
FAST = Training(epochs=1, lr=0.1, batch=250, optimizer="muon", schedule="linear")
PRECISIONS: tuple[Precision, Precision] = ("float32", "bf16")


class Case(Value):
    """A student, its teacher and its images."""

    name: str
    data: Data
    teacher: Trained
    recipe: Recipe


def case(
    name: str,
    data: Data,
    shape: Shape,
    teacher: tuple[tuple[int, ...], ...],
    student: tuple[tuple[int, ...], ...],
    pair: Hint,
    epochs: tuple[int, int, int],
    training: Training = ADAMW,
    **net: Any,
) -> Case:
    """A case from the widths of both nets, the hint pair, and the epochs of teacher, stage 1 and stage 2."""
    trainings = [training.changed(epochs=n) for n in epochs]
    nets = [Net.staged(shape, 10, widths, **net) for widths in (teacher, student)]
    return Case(
        name=name,
        data=data,
        teacher=Trained(net=nets[0], training=trainings[0], own_views=training is FAST),
        recipe=Recipe(student=nets[1], hint=pair, stage1=trainings[1], stage2=trainings[2]),
    )


DIGITS = Data(name="digits", shift=1, val_fraction=0.285)
SMALL, TEACHER = (1, 8, 8), ((32,), (48,), (64,))
CASES = (
    case("digits, 4 layers", DIGITS, SMALL, TEACHER, ((8, 8), (16,)), Hint(hint=2, guided=2), (40, 10, 25)),
    case("digits, 9 layers", DIGITS, SMALL, TEACHER, ((8,) * 4, (16,) * 4), Hint(hint=2, guided=5), (40, 10, 25)),
    case(
        "MNIST, 6,000 images", Data(name="mnist", shift=2, limit=6000), (1, 28, 28), ((24,), (32,), (48,)),
        ((8, 8), (16, 16), (16,)), Hint(hint=2, guided=3), (6, 2, 5),
    ),
    case(
        "CIFAR-10, 6,000 images", Data(name="cifar10", shift=4, flip=True, limit=6000), (3, 32, 32),
        ((32,), (64,), (96,)), ((16, 16), (32, 32), (48,)), Hint(hint=2, guided=3), (10, 3, 8),
    ),
    case(
        "CIFAR-10, 10,000 images, Muon", Data(name="cifar10", shift=2, flip=True, limit=10_000), (3, 32, 32),
        ((32,), (64,), (128,), (128,)), ((16,), (32, 32), (64, 64), (64,)), Hint(hint=3, guided=3), (8, 2, 8), FAST,
        pieces=1, norm="batch", shortcuts=True,
    ),
)  # fmt: skip


def accuracy(number: int, precision: Precision, seed: int, data_dir: str, store_dir: str) -> float:
    """One student's validation accuracy after its last epoch; its teacher is trained with the same seed."""
    torch.set_num_threads(1)
    chosen, store = CASES[number], Store(Path(store_dir))
    images = load(chosen.data, Path(data_dir), store)
    trained = chosen.teacher.changed(precision=precision, seed=seed)
    for _ in train.trained(trained, images, store):
        pass
    stages = distill(
        chosen.recipe.changed(precision=precision, seed=seed), images, opening.load(trained, images, store), store
    )
    return result_of(stages).outcome.val_accuracy


def main() -> None:
    """Print the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="digits only")
    parser.add_argument("--case", choices=[each.name for each in CASES], help="this one only")
    arguments = parser.parse_args()
    numbers: Sequence[int] = range(2) if arguments.quick else range(len(CASES))
    if arguments.case:
        numbers = [n for n in numbers if CASES[n].name == arguments.case]
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool,
    ):
        futures = {
            (number, precision, seed): pool.submit(accuracy, number, precision, seed, str(arguments.data), folder)
            for number in numbers
            for seed in range(arguments.seeds)
            for precision in PRECISIONS
        }
        found = {place: future.result() for place, future in futures.items()}
    rows, passed = [], True
    for number in numbers:
        exact, fast = ([found[number, p, seed] for seed in range(arguments.seeds)] for p in PRECISIONS)
        difference = statistics.fmean(fast) - statistics.fmean(exact)
        error = ((statistics.variance(fast) + statistics.variance(exact)) / arguments.seeds) ** 0.5
        passes = difference > -2 * error
        passed = passed and passes
        cells = [f"{statistics.fmean(v):.2%} ± {statistics.stdev(v):.2%}" for v in (exact, fast)]
        rows.append([CASES[number].name, *cells, f"{difference:+.2%} ± {error:.2%}", "pass" if passes else "FAIL"])
    print(versions("torch"), f"n={arguments.seeds}")
    print(table(["case", "float32", "bf16", "difference ± its standard error", "gate"], rows))
    print("bf16 may be the default." if passed else "bf16 may not be the default.")


if __name__ == "__main__":
    main()
