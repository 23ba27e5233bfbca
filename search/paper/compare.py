"""Finished runs to the table: every student and the teacher on the test images. Needs torch."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from fitnets.config import Data
from fitnets.disk.store import Store
from search.paper.experiments import Experiment
from search.paper.runner import FinishedRun, FinishedRuns
from search.paper.table import Comparison, Seed, arms_of, row
from search.paper.tested import TestImages
from search.workers.machine import processor

SVHN_TRAIN = 598_388  # pylearn2's split


def compare(
    experiment: Experiment, keys: list[str], kept: FinishedRuns, data_dir: Path, runs: Path, store: Store, device: str
) -> Comparison:
    """Read the test images for every run; `keys` are the runs', in their order."""
    test = TestImages(experiment, data_dir, runs, store, device)
    teacher, own = experiment.teacher, test.teacher(experiment.teacher)
    assert own.test is not None, "it is measured at once"
    seconds = own.test.seconds
    family = experiment.teacher_family
    rows = [row(experiment.teacher_name, "teacher", family, teacher.net, [own], teacher.net, seconds)]
    for arm, numbers in arms_of(experiment):
        finished = [kept.get(keys[number]) for number in numbers]
        seeds = [_seed(one, kept, test, f"{arm.name} by {arm.method}, {arm.family} recipe") for one in finished]
        net = arm.recipe.student
        rows.append(row(arm.name, arm.method, arm.family, net, seeds, teacher.net, seconds))
    return Comparison(
        experiment=experiment,
        rows=tuple(rows),
        differs=(*experiment.differs, *_images(experiment.data, data_dir, len(test.images.train))),
        train_images=len(test.images.train),
        test_images=len(test.split),
        machine=f"{processor()}, {os.cpu_count()} cores" if device == "cpu" else device,
        versions={"python": platform.python_version(), "torch": version("torch")},
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _images(data: Data, root: Path, train: int) -> list[str]:
    """What differs in the images themselves."""
    told = []
    folder = root / data.name / "train"
    if any(path.suffix.lower() in (".jpg", ".jpeg") for path in islice(folder.glob("*/*"), 1)):
        told.append(f"{data.name} from JPEG files: re-coded, where the published images are lossless")
    if data.name == "svhn" and train < SVHN_TRAIN and data.limit is None:
        told.append(f"{train:,} training images; the paper adds SVHN's extra ones: {SVHN_TRAIN:,}")
    return told


def _seed(finished: FinishedRun | None, kept: FinishedRuns, test: TestImages, name: str) -> Seed:
    assert finished is not None, "train() has kept every run, or said why not"
    outcome = finished.outcome
    if outcome is None:
        return Seed(test=None, val_accuracy=None, train_seconds=0.0)
    weights = kept.weights(outcome)
    assert weights is not None, "FinishedRuns.get looked for them"
    measured = test.student(finished.recipe.student, weights, name)
    return Seed(test=measured, val_accuracy=outcome.val_accuracy, train_seconds=outcome.seconds)
