"""The overhead of a trial beyond its training, and what a second study computes again, with Ray's workers.

    python -m bench.scale.workers [--trials 30] [--quick]

Trials of one epoch a stage on digits, one slot. Overhead: wall-clock time from `submit` until the driver has the
result, minus the seconds of training and evaluation in the reports. A second crew then opens the same images and
teacher in the same store, as a second study does.
"""

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from bench.hardware import table, versions
from fitnets.config import Recipe
from search.space import extreme
from search.study import Study, find_study
from search.workers.crew import RayWorkers
from search.workers.protocol import Failed, Finished, WorkerLost


def opened(study: Study, runs: Path) -> tuple[RayWorkers, Recipe, list[str], int]:
    """A crew with its teacher, a recipe, the seconds that each step took, and the teacher's epochs trained."""
    times, epochs = [time.perf_counter()], 0
    crew = RayWorkers(None, 1, study.gpu_fraction)
    facts = crew.open(study.data, Path("data"), runs / "store")
    times.append(time.perf_counter())

    def count(report: object) -> None:
        nonlocal epochs
        epochs += 1

    taught = crew.teach(study.resolved_teacher(facts.shape, len(facts.classes), facts.native), count)
    times.append(time.perf_counter())
    frame = study.frame(facts.shape, len(facts.classes), len(taught.hint_shapes), facts.native)
    seconds = [f"{after - before:.1f}" for before, after in pairwise(times)]
    return crew, extreme(study.space, frame, 0), seconds, epochs


def trial(crew: RayWorkers, number: int, recipe: Recipe) -> tuple[float, float]:
    """One trial's overhead and its training time, in seconds."""
    began = time.perf_counter()
    crew.submit(number, recipe)
    while True:
        for event in crew.wait(1.0):
            if isinstance(event, Finished):
                training, lasted = event.result.outcome.seconds, time.perf_counter() - began
                crew.forget(number, recipe)  # as the driver does; else the second study has nothing to train
                return lasted - training, training
            assert not isinstance(event, Failed | WorkerLost), event


def tables_in(runs: Path) -> int:
    """The number of table chunks in the store."""
    kinds = (runs / "store" / kind for kind in ("logits", "hints"))
    return sum(1 for kind in kinds if kind.is_dir() for entry in kind.iterdir() if not entry.name.startswith("."))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="10 trials")
    arguments = parser.parse_args()
    trials = 10 if arguments.quick else arguments.trials
    found = find_study("digits")
    study = found.changed(stage1=found.stage1.changed(epochs=1), stage2=found.stage2.changed(epochs=1))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        runs, overheads, trainings = Path(folder), [], []
        for name in ("first study", "second study"):
            before = tables_in(runs)
            crew, recipe, seconds, epochs = opened(study, runs)
            for number in range(trials + 1):
                overhead, training = trial(crew, number, recipe.changed(seed=number))
                if number:  # the first one fills the tables
                    overheads.append(1e3 * overhead)
                    trainings.append(1e3 * training)
            crew.close()
            rows.append([name, *seconds, str(epochs), str(tables_in(runs) - before)])
    middle = [f"{statistics.median(overheads):.1f}", f"{min(overheads):.1f} to {max(overheads):.1f}"]
    print(versions("torch", "ray"), f"n={len(overheads)}")
    beyond = [*middle, f"{statistics.median(trainings):.0f}"]
    print(table(["ms beyond training, median", "min to max", "training, ms"], [beyond]))
    header = ["", "start and images, s", "teacher, s", "teacher epochs trained", "table chunks filled"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
