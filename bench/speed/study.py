"""A whole small study: the same recipes the usual way and ours, on the same cores, in wall-clock time.

    python -m bench.speed.study --data DIR [--set cifar10|mnist] [--trials 12] [--images 4000] [--quick]

Ours is the search itself: Ray's actors start, read the images, load the teacher, fill the tables and train what
Optuna proposes, with results in SQLite. The same recipes are then trained the usual way (`bench.speed.reference`), in
one process for each core, which is faster than one script for each trial: images and teacher are loaded once. The
teacher has the geometry of the paper's for CIFAR-10 (732 million multiply-adds there, 535 on MNIST), is trained
beforehand, and is not counted on either side. Then ours trains the recipes once more with other seeds, untimed, to show
how much accuracies vary anyway.
"""

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from bench.hardware import table, versions
from bench.speed import reference
from bench.speed.nets import TEACHER_NET
from fitnets.config import Data, Outcome, Recipe, Report, Trained, Training
from fitnets.disk.store import Store
from fitnets.distill.regressor import Target
from fitnets.distill.run import distill, result_of
from fitnets.images.images import Images, load
from fitnets.nets.network import Network, initialise
from fitnets.teacher import opening, train
from fitnets.teacher.hints import Hints
from fitnets.teacher.teacher import Teacher
from fitnets.values.base import seed_of
from search.space import Space
from search.study import Study

ONE_CYCLE = Training(epochs=3, lr=1e-3, batch=64, schedule="one-cycle")


def study_of(name: str, images: int, trials: int) -> Study:
    """Small students of that teacher on a part of CIFAR-10 or MNIST."""
    shape = (3, 32, 32) if name == "cifar10" else (1, 28, 28)
    training = Training(epochs=5, lr=3e-4, batch=64, schedule="one-cycle")
    return Study(
        name="bench",
        data=Data(name=name, shift=4 if name == "cifar10" else 2, flip=name == "cifar10", limit=images),
        teacher=Trained(net=TEACHER_NET.changed(input=shape), training=training, precision="bf16"),
        space=Space(
            stages=3, depth=(1, 3), base_width=(8, 24), multiplier=(1.0, 3.0), lr1=(2e-3, 6e-3), lr2=(2e-3, 6e-3)
        ),
        stage1=ONE_CYCLE.changed(epochs=1),
        stage2=ONE_CYCLE,
        trials=trials,
    )


def opened(study: Study, data_dir: str, store_dir: str) -> tuple[Images, Teacher, Store]:
    """Images, teacher (trained if it is not in the store yet) and store, in this process, on one thread."""
    torch.set_num_threads(1)
    store = Store(Path(store_dir))
    images = load(study.data, Path(data_dir), store)
    assert isinstance(study.teacher, Trained)
    for report in train.trained(study.teacher, images, store):
        print(f"teacher epoch {report.epoch}/{report.epochs}: accuracy {report.val_accuracy:.2%}", flush=True)
    return images, opening.load(study.teacher, images, store), store


def searched(study: Study, data_dir: Path, runs: Path) -> tuple[float, list[tuple[Recipe, Outcome]]]:
    """Wall-clock seconds of the search, and what it trained."""
    import optuna

    from search.driver.loop import DIRECTIONS, Search
    from search.storage.writer import open_storage
    from search.workers.crew import RayWorkers
    from search.workers.protocol import EpochDone

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    began = time.perf_counter()
    crew = RayWorkers(None, os.cpu_count(), study.gpu_fraction)
    facts = crew.open(study.data, data_dir, runs / "store")
    taught = crew.teach(study.resolved_teacher(facts.shape, len(facts.classes), facts.native), lambda report: None)
    started = time.perf_counter() - began
    storage = open_storage(f"sqlite:///{runs}/studies.db")
    optuna.create_study(study_name=study.name, storage=storage, directions=DIRECTIONS)
    frame = study.frame(facts.shape, len(facts.classes), len(taught.hint_shapes), facts.native)
    search = Search(study, frame, storage, crew, Store(runs / "store"))
    reports: list[Report] = []
    search.run(study.trials, lambda _, event: reports.append(event.report) if isinstance(event, EpochDone) else None)
    seconds = time.perf_counter() - began
    crew.close()
    epoch_seconds = [report.seconds for report in reports]
    print(f"ours: {started:.0f} s until the workers held images and teacher; epochs' seconds, tables within them:")
    print(
        " ".join(f"{seconds:.1f}" for seconds in epoch_seconds),
        f"= {sum(epoch_seconds):.0f} on {crew.slots} slots",
        flush=True,
    )
    done = [trial.user_attrs for trial in search.ledger.trials if "outcome" in trial.user_attrs]
    return seconds, [(Recipe.model_validate(a["recipe"]), Outcome.model_validate(a["outcome"])) for a in done]


_loaded: tuple[Images, Teacher, Store] | None = None  # in a process of the pool, for all its trials


def _load(study: Study, data_dir: str, store_dir: str) -> None:
    global _loaded
    _loaded = opened(study, data_dir, store_dir)


def _usual(recipe: Recipe) -> float:
    """One trial the usual way: its validation accuracy."""
    assert _loaded is not None
    images, teacher, _ = _loaded
    hint, stage1 = recipe.hint, recipe.stage1
    assert hint is not None
    assert stage1 is not None
    torch.manual_seed(recipe.seed)
    network = Network(recipe.student)
    initialise(network, recipe.init, recipe.init_range, seed_of("student", recipe.seed))
    student, plain = reference.PlainNetwork(network), reference.plain_teacher(teacher)
    regressor = reference.regressor_of(hint, recipe.student, teacher)
    initialise(regressor, recipe.init, 0.05, seed_of("regressor", recipe.seed))
    target = Target()
    hints = Hints(teacher, hint.hint, regressor.out, images, "float32", None)
    target.measure(hints.unaugmented(images.train, "calibration"), centre=True)
    scale = target.mean_C11, target.deviation_C11
    optimizer = reference.optimizer_of(stage1, student.layers[: hint.guided], regressor)
    for epoch in range(1, stage1.epochs + 1):
        reference.hint_epoch(student, regressor, plain, recipe, images, optimizer, epoch, scale)
    optimizer = reference.optimizer_of(recipe.stage2, student)
    accuracy = 0.0
    for epoch in range(1, recipe.stage2.epochs + 1):
        reference.kd_epoch(student, plain, recipe, images, optimizer, epoch)
        accuracy = reference.accuracy(student, images, images.val)
    return accuracy


def _ours(recipe: Recipe) -> float:
    """One trial our way, in the pool: its validation accuracy."""
    assert _loaded is not None
    stages = distill(recipe, *_loaded)
    return result_of(stages).outcome.val_accuracy


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=("cifar10", "mnist"), default="cifar10")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--quick", action="store_true", help="4 trials on 1,000 images")
    arguments = parser.parse_args()
    trials, images = (4, 1000) if arguments.quick else (arguments.trials, arguments.images)
    study = study_of(arguments.set, images, trials)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        shared = (study, str(arguments.data), str(runs / "store"))
        spawn = get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as alone:
            alone.submit(opened, *shared).exception()
        ours_seconds, trained = searched(study, arguments.data, runs)
        print(f"ours: {ours_seconds:.0f} s", flush=True)
        began = time.perf_counter()
        with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn, initializer=_load, initargs=shared) as pool:
            usual = list(pool.map(_usual, [recipe for recipe, _ in trained]))
        usual_seconds = time.perf_counter() - began
        with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn, initializer=_load, initargs=shared) as pool:
            again = list(pool.map(_ours, [recipe.changed(seed=recipe.seed + 1) for recipe, _ in trained]))
    ours = [outcome.val_accuracy for _, outcome in trained]
    ways = [a - b for a, b in zip(ours, usual, strict=True)]
    seeds = [a - b for a, b in zip(ours, again, strict=True)]
    rows = [
        ["usual", f"{usual_seconds:.0f}", "1.0", mean_of(usual), _spread(ways)],
        ["ours", f"{ours_seconds:.0f}", f"{usual_seconds / ours_seconds:.1f}", mean_of(ours), ""],
        ["ours, other seeds", "", "", mean_of(again), _spread(seeds)],
    ]
    print(versions("torch", "ray", "optuna"), f"{len(trained)} trials, {images} images of {arguments.set}, n=1")
    print(table(["way", "seconds", "ratio", "mean accuracy", "trial by trial: ours less this, mean ± deviation"], rows))


def mean_of(accuracies: list[float]) -> str:
    """The mean accuracy, as a percentage."""
    return f"{statistics.fmean(accuracies):.2%}"


def _spread(differences: list[float]) -> str:
    return f"{statistics.fmean(differences):+.2%} ± {statistics.stdev(differences):.2%}"


if __name__ == "__main__":
    main()
