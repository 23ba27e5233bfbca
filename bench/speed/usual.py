"""What three students of a stored study cost the usual way, and ours, in CPU-seconds.

    python -m bench.speed.usual cifar10 [--runs runs] [--images 2000]

The finished students with the fewest, the middle number and the most multiply-adds. Each is trained for one epoch of
each stage the usual way (`bench.speed.reference`: the whole teacher for every batch, in float32), and to its end our
way, both on so many images; then both are scaled to the study's images. Every trial of ours pays the same share of the
passes that fill the teacher's tables for the whole study. The teacher's training costs both the same, and stopping is
left out. One thread.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from bench.ablation import seconds_of
from bench.hardware import table, versions
from bench.speed import reference
from bench.speed.step import first
from fitnets.config import Recipe, Trained
from fitnets.disk.store import Store
from fitnets.distill.run import distill, result_of
from fitnets.errors import InputError
from fitnets.images.images import Images
from fitnets.nets.network import Network, initialise
from fitnets.teacher.teacher import Teacher
from fitnets.values.base import seed_of
from fitnets.values.net import Net
from search.driver.forecast import hint_work, logit_epochs
from search.read.candidates import Candidate
from search.read.reader import read
from search.storage.address import storage_url
from search.study import Study
from search.units import format_count, format_stages
from search.workers.trainer import Trainer


class Seconds(NamedTuple):
    """CPU-seconds of one student's training."""

    usual: float
    teacher: float
    """Of `usual`: the teacher's forward passes."""
    ours: float
    """With the teacher's tables filled."""


def three(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The cheapest, the middle and the most expensive of the finished students by multiply-adds."""
    ended = sorted((c for c in candidates if c.state == "complete"), key=lambda c: c.cost.macs)
    if len(ended) < 3:
        raise InputError(f"the study has {len(ended)} finished students, and three are compared: train more first.")
    return [ended[0], ended[len(ended) // 2], ended[-1]]


def part_of(images: Images, count: int) -> Images:
    """The first training images, and as many of the validation images as keep the proportion."""
    return first(images, count, max(1, count * len(images.val) // len(images.train)))


def measured(recipe: Recipe, teacher: Teacher, images: Images, store: Store) -> Seconds:
    """One student's training on these images."""
    _, ours = (seconds_of(lambda: result_of(distill(recipe, images, teacher, store)))[1] for _ in range(2))
    return Seconds(*_usual(recipe, teacher, images), ours)


def table_seconds(study: Study, recipes: Sequence[Recipe], net: Net | None, teacher: Teacher, images: Images) -> float:
    """CPU-seconds of all passes over these images that fill the tables of a study with these students.

    `net`: the teacher's, where it is known.
    """
    hints = hint_work(recipes, len(images.train), net, images.data)
    passes = len(logit_epochs(images.data, study.stage2.epochs)) + hints.passes
    return passes * seconds_of(lambda: teacher.logits(images, 1, None, recipes[0].precision))[1]


def _usual(recipe: Recipe, teacher: Teacher, images: Images) -> tuple[float, float]:
    """CPU-seconds of both stages, and of the teacher's passes in them."""
    network, plain = Network(recipe.student), reference.plain_teacher(teacher)
    initialise(network, recipe.init, recipe.init_range, seed_of("student", recipe.seed))
    student = reference.PlainNetwork(network)
    optimizer = reference.optimizer_of(recipe.stage2, student)
    epochs = recipe.stage2.epochs
    seconds = epochs * seconds_of(lambda: reference.kd_epoch(student, plain, recipe, images, optimizer, 1))[1]
    seconds += epochs * seconds_of(lambda: reference.accuracy(student, images, images.val))[1]
    if recipe.hint is not None and recipe.stage1 is not None:
        epochs += recipe.stage1.epochs
        seconds += recipe.stage1.epochs * _usual_hints(recipe, student, teacher, plain, images)
    batches = [x_BCHW for x_BCHW, _ in reference.loader(images, images.train, recipe.stage2.batch, train=True)]
    with torch.no_grad():
        passes = seconds_of(lambda: [plain(x_BCHW) for x_BCHW in batches])[1]
    return seconds, epochs * passes


def _usual_hints(
    recipe: Recipe,
    student: reference.PlainNetwork,
    teacher: Teacher,
    plain: reference.PlainNetwork,
    images: Images,
) -> float:
    """CPU-seconds of an epoch of stage 1."""
    assert recipe.hint is not None
    assert recipe.stage1 is not None
    regressor = reference.regressor_of(recipe.hint, recipe.student, teacher)
    initialise(regressor, recipe.init, recipe.init_range, seed_of("regressor", recipe.seed))
    optimizer = reference.optimizer_of(recipe.stage1, student.layers[: recipe.hint.guided], regressor)
    scale = torch.zeros(1), torch.ones(1)  # of the hints; their values do not change what an epoch costs
    return seconds_of(lambda: reference.hint_epoch(student, regressor, plain, recipe, images, optimizer, 1, scale))[1]


def main() -> None:
    """Print a row for each student, then the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    snapshot = read(storage_url(options.runs, None), options.study)
    study, chosen = Study.model_validate(snapshot.definition), three(snapshot.candidates)
    trainer = Trainer(study.data, snapshot.images["data_dir"], str(options.runs / "store"), "cpu", 1)
    facts = trainer.facts()
    known = study.resolved_teacher(facts.shape, len(facts.classes), facts.native)
    trainer.open_teacher(known, None)
    teacher = trainer.teacher
    assert teacher is not None
    images = part_of(trainer.images, options.images)
    rows, ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        measured(
            chosen[0].recipe, teacher, part_of(images, chosen[0].recipe.stage2.batch), Store(Path(folder))
        )  # imports
        recipes, scale = [c.recipe for c in snapshot.candidates], facts.train / options.images
        net = known.net if isinstance(known, Trained) else None
        share = scale * table_seconds(study, recipes, net, teacher, images) / len(recipes)
        for candidate in chosen:
            found = measured(candidate.recipe, teacher, images, Store(Path(folder)))
            usual, passes, ours = (each * scale for each in found)
            ratios.append(usual / (ours + share))
            rows.append([format_stages(candidate.recipe.student.stages), format_count(candidate.cost.params)])
            rows[-1] += [format_count(candidate.cost.macs), f"{usual:,.0f}", f"{passes / usual:.0%}"]
            rows[-1] += [f"{ours:,.0f}", f"{share:,.0f}", f"{ratios[-1]:.1f}"]
            print(" | ".join(rows[-1]), flush=True)
    heads = ["student", "parameters", "multiply-adds", "usual, CPU s", "of it teacher", "ours, CPU s"]
    print(f"\n{options.images:,} of {facts.train:,} images, {chosen[0].recipe.precision}, one thread", end="; ")
    print(versions("torch", "torchvision"), end="\n\n")
    print(table([*heads, "tables, CPU s", "ratio"], rows))
    print(f"\nmean ratio {statistics.fmean(ratios):.1f}")


if __name__ == "__main__":
    main()
