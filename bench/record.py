"""A table of two-stage distillation trainings: random students of a study, each with several seeds, none stopped.

    python -m bench.record DIR [--study digits] [--data data] [--students 200] [--seeds 2]

DIR is a runs folder: the trainings are a study there, so the same command goes on after an interruption. The table is
`DIR/STUDY_students.csv`, a line for each training:

| field | meaning |
| --- | --- |
| student, seed | numbers from 0; a student's trainings differ in the seed alone |
| params, weights, macs | its costs; `params` includes biases |
| depth1 ... lr2 | its parameters in the search space (`search.space.suggest`) |
| seconds | of its training, tables of the teacher excluded where another training had made them |
| hint_r2_x10000 | stage 1: R2 of the hint on the validation images after each epoch, in ten-thousandths |
| val_epochs_of_N | stage 2: how many of the N validation images were right after each epoch |
"""

import argparse
import csv
import random
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from fitnets.config import Recipe
from fitnets.disk.store import Store
from fitnets.nets.cost import cost
from fitnets.values.base import seed_of
from search.driver.display import Display
from search.driver.loop import Search
from search.driver.registration import PRECISION, known_study, precision_of, recording_the_end, register
from search.driver.sampling.draw import Draw
from search.read.candidates import Candidate
from search.read.reader import read
from search.space import Frame, recipe_of, suggest
from search.storage.address import storage_url
from search.storage.lock import driving
from search.study import Study, find_study
from search.workers.crew import RayWorkers


def drawn(study: Study, frame: Frame, students: int) -> list[tuple[dict[str, Any], Recipe]]:
    """Different random students within the study's limits, with their parameters: a function of the study's seed."""
    chance = random.Random(study.seed)
    found: dict[str, tuple[dict[str, Any], Recipe]] = {}
    while len(found) < students:
        params = suggest(Draw(chance), study.space)
        recipe = recipe_of(params, study.space, frame)
        if study.allows(cost(recipe.student)):
            found.setdefault(recipe.digest(), (params, recipe))
    return list(found.values())


def trainings(
    study: Study, frame: Frame, students: int, seeds: int
) -> list[tuple[str, int, int, dict[str, Any], Recipe]]:
    """Each training's name, student, seed, parameters and recipe."""
    return [
        (f"student {i}, seed {j}", i, j, params, recipe.changed(seed=seed_of("record", recipe.digest(), j)))
        for i, (params, recipe) in enumerate(drawn(study, frame, students))
        for j in range(seeds)
    ]


def line(student: int, seed: int, params: dict[str, Any], trained: Candidate, val: int) -> dict[str, Any]:
    """A finished training as a line of the table."""
    assert trained.outcome is not None
    r2s = [round(1e4 * r.hint_r2) for r in trained.reports if r.hint_r2 is not None]
    right = [round(val * r.val_accuracy) for r in trained.reports if r.val_accuracy is not None]
    price = trained.cost
    return {
        "student": student,
        "seed": seed,
        "params": price.params,
        "weights": price.weights,
        "macs": price.macs,
        **{name: f"{value:.6g}" if isinstance(value, float) else value for name, value in params.items()},
        "seconds": f"{trained.outcome.seconds:.1f}",
        "hint_r2_x10000": " ".join(map(str, r2s)),
        f"val_epochs_of_{val}": " ".join(map(str, right)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--study", default="digits")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    console, store = Console(highlight=False, soft_wrap=True), options.folder / "store"
    chosen = find_study(options.study)
    total = options.students * options.seeds
    study = chosen.changed(name=f"{chosen.name}_students", first=(), trials=total, stopping=None)
    options.folder.mkdir(parents=True, exist_ok=True)
    url = storage_url(options.folder, None)
    with ExitStack() as opened:
        storage = opened.enter_context(driving(url, study.name))
        known = known_study(study, storage)
        crew = opened.enter_context(closing(RayWorkers(None, options.workers, study.gpu_fraction)))
        facts = crew.open(study.data, options.data, store)
        display = opened.enter_context(Display(console, total))
        precision = precision_of(known, facts.native)
        taught = crew.teach(study.resolved_teacher(facts.shape, len(facts.classes), precision), display.teacher)
        frame = study.frame(facts.shape, len(facts.classes), len(taught.hint_shapes), precision)
        planned = trainings(study, frame, options.students, options.seeds)
        images = facts.model_dump(mode="json") | {"data_dir": str(options.data.resolve())}
        about = {"teacher": taught.model_dump(mode="json"), "images": images, PRECISION: precision}
        register(study, storage, about)
        first = [(name, recipe) for name, _, _, _, recipe in planned]
        search = Search(study, frame, storage, crew, Store(store), first)
        with recording_the_end(study.name, storage):
            search.run(total, display.event)
    done = {c.name: c for c in read(url, study.name).candidates if c.state == "complete"}
    lines = [line(i, j, params, done[name], facts.val) for name, i, j, params, _ in planned if name in done]
    path = options.folder / f"{study.name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    console.print(f"{len(lines)} of {total} trainings in {path} ({path.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
