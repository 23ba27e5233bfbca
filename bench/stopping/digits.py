"""Whole studies of real trainings, with students stopped early and without, at equal epochs.

    python -m bench.stopping [--seeds 10] [--students 30] [--study digits] [--data DIR]

For each seed one search trains so many students to their end, and another one stops students early until it has
trained as many epochs, both stages counted. One process, one thread, one student at a time; the teacher and its tables
are trained once, before. The hypervolume is the share of the box between chance, the space's most expensive student
within the limits and its cheapest one, costs on their logarithms; a student counts once it is trained to its end.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import moocore
import numpy as np
import optuna
import torch
from optuna.trial import TrialState

from bench.hardware import table, versions
from fitnets.config import Recipe
from fitnets.disk.store import Store
from fitnets.nets.cost import cost
from search.driver.forecast import draws
from search.driver.loop import DIRECTIONS, Search
from search.space import Frame, extreme
from search.study import Stopping, Study, find_study
from search.workers.facts import Facts
from search.workers.inline import InlineWorkers
from search.workers.protocol import EpochDone, Event

MOST = 1000  # students; the epochs are spent long before


class Spent(Exception):
    """The epochs are spent."""


class Opened(NamedTuple):
    """A study's images, teacher and tables, in this process."""

    workers: InlineWorkers
    facts: Facts
    hints: int

    def frame(self, study: Study) -> Frame:
        """The frame of a study of these images."""
        return study.frame(self.facts.shape, len(self.facts.classes), self.hints, self.facts.native)


def opened(study: Study, data: Path, store: Path) -> Opened:
    """Open a study's images, and train its teacher."""
    workers = InlineWorkers()
    facts = workers.open(study.data, data, store)
    taught = workers.teach(study.resolved_teacher(facts.shape, len(facts.classes), facts.native), lambda report: None)
    return Opened(workers, facts, len(taught.hint_shapes))


def searched(
    study: Study,
    frame: Frame,
    workers: InlineWorkers,
    store: Path,
    epochs: int | None = None,
    first: Sequence[tuple[str, Recipe]] | None = None,
) -> tuple[Search, int]:
    """A search until its students are trained, or it has trained so many epochs; and how many it has trained.

    `first`: names and recipes of students to begin with.
    """
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name=study.name, storage=storage, directions=DIRECTIONS)
    search, trained = Search(study, frame, storage, workers, Store(store), first), 0

    def count(search: Search, event: Event | None) -> None:
        nonlocal trained
        trained += isinstance(event, EpochDone)
        if epochs is not None and trained > epochs:
            raise Spent

    with suppress(Spent):
        search.run(study.trials if epochs is None else MOST, count)
    for number in search.live:  # the epochs were spent in the middle of a training
        workers.stop(number)
    while not workers.free():
        workers.wait(1.0)
    return search, trained


def values_of(search: Search) -> list[list[float]]:
    """Accuracy, log10 parameters and log10 multiply-adds of the students that were trained to their end."""
    return [trial.values for trial in search.ledger.trials if trial.state == TrialState.COMPLETE]


def hypervolume(values: list[list[float]], study: Study, frame: Frame, chance: float) -> float:
    """The share of the box that these students (accuracy, log10 parameters, log10 multiply-adds) dominate."""
    prices = [cost(recipe.student) for recipe in draws(study, frame)]
    fitting = [p for p in prices if study.allows(p)]
    cheapest = cost(extreme(study.space, frame, 0).student)
    low = np.array([0.0, math.log10(cheapest.params), math.log10(cheapest.macs)])
    high = np.array([1 - chance, *(math.log10(max(getattr(p, n) for p in fitting)) for n in ("params", "macs"))])
    losses = np.array([[1 - accuracy, params, macs] for accuracy, params, macs in values])
    return float(moocore.hypervolume((losses - low) / (high - low), ref=np.ones(3)))


def main() -> None:
    """Print a line for each seed as it ends, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--study", default="digits")
    parser.add_argument("--data", type=Path, default=Path("data"))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    rows, differences = [], []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        chosen = find_study(options.study).changed(trials=options.students, stopping=None)
        images = opened(chosen, options.data, store)
        for seed in range(options.first, options.first + options.seeds):
            began, study = time.monotonic(), chosen.changed(seed=seed)
            frame, workers = images.frame(study), images.workers
            whole, epochs = searched(study, frame, workers, store)
            early, spent = searched(study.changed(stopping=Stopping()), frame, workers, store, epochs)
            found = [values_of(search) for search in (whole, early)]
            chance = 1 / frame.classes
            volumes = [hypervolume(values, study, frame, chance) for values in found]
            best = [max(row[0] for row in values) for values in found]
            differences.append(volumes[1] - volumes[0])
            rows.append([str(seed), f"{epochs:,} / {spent:,}", f"{whole.trained()} / {early.trained()}"])
            rows[-1].append(str(len(found[1])))
            rows[-1] += [f"{volumes[0]:.4f}", f"{volumes[1]:.4f}", f"{best[0]:.2%}", f"{best[1]:.2%}"]
            print(" | ".join(rows[-1]), f"({time.monotonic() - began:.0f} s)", flush=True)
    heads = ["seed", "epochs", "students begun", "trained to the end", "without", "with stopping", "best", "best"]
    print(versions("torch", "optuna"))
    print(table(heads, rows))
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    print(f"with minus without: {mean:+.4f} +- {error:.4f} (mean and standard error, n = {len(differences)})")
