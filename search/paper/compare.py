"""From finished runs to the table: every student and the teacher on the test images. Needs torch."""

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
from search.paper.tested import TestImages, device_here
from search.workers.machine import processor

SVHN_TRAIN = 598_388  # training images of SVHN with the extra ones, in pylearn2's split


def compare(
    experiment: Experiment,
    keys: list[str],
    finished: FinishedRuns,
    data_dir: Path,
    runs: Path,
    store: Store,
    device: str,
) -> Comparison:
    """Measure every run on the test images; `keys` are those of the experiment's runs, in their order.

    `device` is the workers'; it is used where this machine has it.
    """
    device = device_here(device)
    test = TestImages(experiment, data_dir, runs, store, device)
    teacher, own = experiment.teacher, test.teacher(experiment.teacher)
    assert own.test is not None, "a trained teacher was measured"
    seconds = own.test.seconds
    family = experiment.teacher_family
    rows = [row(experiment.teacher_name, "teacher", family, teacher.net, [own], teacher.net, seconds)]
    for arm, numbers in arms_of(experiment):
        label = f"{arm.name} by {arm.method}, {arm.family} recipe"
        seeds = [_seed(finished.get(keys[number]), finished, test, label) for number in numbers]
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
    """How the images themselves differ from the paper's, for people."""
    found = []
    folder = root / data.name / "train"
    if any(path.suffix.lower() in (".jpg", ".jpeg") for path in islice(folder.glob("*/*"), 1)):
        found.append(f"{data.name} from JPEG files: re-coded, where the published images are lossless")
    if data.name == "svhn" and train < SVHN_TRAIN and data.limit is None:
        found.append(f"{train:,} training images; the paper adds SVHN's extra ones: {SVHN_TRAIN:,}")
    return found


def _seed(run: FinishedRun | None, finished: FinishedRuns, test: TestImages, name: str) -> Seed:
    assert run is not None, "train() stored every run, or raised"
    outcome = run.outcome
    if outcome is None:
        return Seed(test=None, val_accuracy=None, train_seconds=0.0)
    weights = finished.weights(outcome)
    assert weights is not None, "FinishedRuns.get found them"
    measured = test.student(run.recipe.student, weights, name)
    return Seed(test=measured, val_accuracy=outcome.val_accuracy, train_seconds=outcome.seconds)
