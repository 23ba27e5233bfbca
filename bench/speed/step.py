"""One training step of FitNet 1 with the paper's CIFAR-10 teacher: the usual loop, then ours, one change at a time.

    python -m bench.speed.step --data DIR [--rounds 5] [--quick]

Images per CPU-second of this process on one thread, rounds interleaved, medians and min to max. The first row is
`bench.speed.reference`; the last is `distill` itself, with tables filled beforehand (a table's own cost is the row
"teacher pass", once for each epoch of a *study*). The rows between run `fit` with one more change each. Weights are
random, as speed does not depend on them; images are CIFAR-10's.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from bench.hardware import table, versions
from bench.speed import reference
from bench.speed.nets import FITNET_1, TEACHER_NET
from fitnets.config import Data, Hint, Precision, Recipe, Training
from fitnets.disk.store import Store
from fitnets.distill.losses import kd_loss
from fitnets.distill.run import discard, distill
from fitnets.images.images import Images, Split, load
from fitnets.images.views import Plan
from fitnets.nets.network import Network, initialise
from fitnets.nets.precision import computing, native
from fitnets.teacher.teacher import Frozen, Teacher
from fitnets.training.loop import fit
from fitnets.training.run import Run
from fitnets.values import table_sizes

CPU = torch.device("cpu")
SGD = Training(epochs=1, lr=1e-3, optimizer="sgd", schedule="constant")
RECIPE = Recipe(student=FITNET_1, hint=Hint(hint=2, guided=6, regressor="paper"), stage1=SGD, stage2=SGD)
Rung = Callable[[], int]  # trains one epoch; returns the number of images


def paper_teacher() -> Teacher:
    """The paper's teacher with random weights."""
    network = Network(TEACHER_NET)
    initialise(network, "scaled", 0.0, 0)
    network.to(memory_format=torch.channels_last)
    return Teacher(
        network=Frozen(network),
        digest="random",
        hint_shapes=tuple(after for _, after in TEACHER_NET.maps()),
        hint_pieces=tuple(conv.pieces for conv in TEACHER_NET.convs),
        hint_names=tuple(f"layers.{number}" for number in range(len(TEACHER_NET.convs))),
        val_accuracy=0.1,
    )


def first(images: Images, count: int, val_count: int = 16) -> Images:
    """The first training and validation images; few of the latter, so that little but steps is timed."""
    train, val = images.train, images.val
    return replace(
        images,
        train=Split(train.pixels_NHWC[:count].clone(), train.label_N[:count].clone()),
        val=Split(val.pixels_NHWC[:val_count].clone(), val.label_N[:val_count].clone()),
        digest=f"{images.digest}-{count}-{val_count}",
    )


def usual_kd(teacher: Teacher, images: Images) -> Rung:
    """The usual loop, stage 2."""
    plain = reference.plain_teacher(teacher)
    student = reference.PlainNetwork(Network(FITNET_1))
    optimizer = reference.optimizer_of(SGD, student)
    return lambda: reference.kd_epoch(student, plain, RECIPE, images, optimizer, 1)


def usual_hint(teacher: Teacher, images: Images) -> Rung:
    """The usual loop, stage 1."""
    assert RECIPE.hint is not None
    plain = reference.plain_teacher(teacher)
    student = reference.PlainNetwork(Network(FITNET_1))
    regressor = reference.regressor_of(RECIPE.hint, FITNET_1, teacher)
    optimizer = reference.optimizer_of(SGD, student, regressor)
    scale = torch.zeros(1), torch.ones(1)
    return lambda: reference.hint_epoch(student, regressor, plain, RECIPE, images, optimizer, 1, scale)


def fitted_kd(teacher: Teacher, images: Images, *, rewritten: bool, precision: Precision) -> Rung:
    """`fitnets.training.loop` with a live teacher: gather, no reads in a step, the given changes."""

    def rung() -> int:
        network = Network(FITNET_1)
        student = network.to(memory_format=torch.channels_last) if rewritten else reference.PlainNetwork(network)
        live = teacher.network if rewritten else reference.plain_teacher(teacher)

        def epoch_loss(number: int) -> Callable[[Tensor], Tensor]:
            plan = Plan.draw(len(images.train), number, images.data, CPU)

            def loss(index_B: Tensor) -> Tensor:
                x_BCHW = images.views(plan, index_B)
                with computing(precision, CPU):
                    with torch.no_grad():
                        teacher_BK = live(x_BCHW)
                    logits_BK = student(x_BCHW)
                if not rewritten:
                    teacher_BK, logits_BK = teacher_BK[0], logits_BK[0]
                return kd_loss(logits_BK, teacher_BK, images.train.label_N[index_B], 4.0, RECIPE.distill)

            return loss

        for _ in fit(Run(student, SGD), epoch_loss, num_images=len(images.train), seed=0, device=CPU):
            pass
        return len(images.train)

    return rung


def ours(recipe: Recipe, teacher: Teacher, images: Images, store: Store, *, tables: bool = True) -> Rung:
    """The first epoch of `distill` itself; with `tables=False`, as if the hints' tables were over their limit."""

    def rung() -> int:
        discard(recipe, images, teacher, store)  # else it would continue after the last round, and train nothing
        limit, table_sizes.TABLE_BYTES = table_sizes.TABLE_BYTES, table_sizes.TABLE_BYTES * tables
        report = next(distill(recipe, images, teacher, store))
        table_sizes.TABLE_BYTES = limit
        assert not report.replayed
        return len(images.train)

    return rung


def teacher_pass(teacher: Teacher, images: Images, precision: Precision) -> Rung:
    """What one epoch's table costs."""

    def rung() -> int:
        teacher.logits(images, 1, None, precision)
        return len(images.train)

    return rung


def measured(rungs: dict[str, Rung], rounds: int) -> Iterator[list[str]]:
    """Rows of name, median images per CPU-second, min to max, and the ratio to the first."""
    speeds: dict[str, list[float]] = {name: [] for name in rungs}
    for number in range(rounds + 1):
        for name, rung in rungs.items():
            began = time.process_time()
            images = rung()
            if number:  # the first round warms up, and fills the tables
                speeds[name].append(images / (time.process_time() - began))
    base = statistics.median(next(iter(speeds.values())))
    for name, found in speeds.items():
        middle = statistics.median(found)
        yield [name, f"{middle:.0f}", f"{min(found):.0f} to {max(found):.0f}", f"{middle / base:.1f}"]


def main() -> None:
    """Print the ladders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="3 rounds on fewer images")
    arguments = parser.parse_args()
    rounds, few, many = (3, 256, 1024) if arguments.quick else (arguments.rounds, 512, 2048)
    torch.set_num_threads(1)
    precision = native(CPU)
    with tempfile.TemporaryDirectory() as folder:
        everything = load(Data(name="cifar10", shift=4, flip=True, limit=5000), arguments.data)
        teacher, store = paper_teacher(), Store(Path(folder))
        slow, fast = first(everything, few), first(everything, many)
        best = RECIPE.changed(precision=precision)
        kd = {
            "usual: PIL, float32, live teacher, .item()": usual_kd(teacher, slow),
            "+ gather, no read in a step": fitted_kd(teacher, slow, rewritten=False, precision="float32"),
            "+ maxout rewrite, channels last": fitted_kd(teacher, slow, rewritten=True, precision="float32"),
            f"+ {precision}": fitted_kd(teacher, slow, rewritten=True, precision=precision),
            "+ teacher's logits from the table: ours": ours(best.without_hints(), teacher, fast, store),
            "(ours in float32)": ours(RECIPE.without_hints(), teacher, fast, store),
            f"(teacher pass, {precision})": teacher_pass(teacher, slow, precision),
        }
        hinted = {
            "usual: PIL, float32, both nets whole, .item()": usual_hint(teacher, slow),
            "gather, maxout rewrite, both nets cut at their taps": ours(RECIPE, teacher, slow, store, tables=False),
            f"+ {precision}: ours beyond the tables' limits": ours(best, teacher, slow, store, tables=False),
            "+ hints from the table: ours": ours(best, teacher, fast, store),
        }
        header = ["images per CPU-second", "median", "min to max", "ratio"]
        for title, rungs in (("KD step", kd), ("hint step", hinted)):
            rows = list(measured(rungs, rounds))
            print(f"\n{title}, FitNet 1, the paper's teacher, batch 128, one thread, n={rounds}")
            print(table(header, rows), flush=True)
    print(versions("torch", "torchvision"))


if __name__ == "__main__":
    main()
