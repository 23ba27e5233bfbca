"""Whether stopping trials early finds better students: the project's sampler and rule, and others, on tables.

    python -m bench.quality [--tables DIR] [--seeds 20] [--trainings 30 60] [--jobs 1] [--quick]
        [--picture FILE] [--finished DIR]

Searches are simulated on public tables of learning curves (`bench/tables`; see `bench/quality/tables.py` for how a draw
becomes a student): 8 asynchronous workers, a third of stage 2's epochs for stage 1 of every student, rungs at 1/3 and
2/3 of stage 2. Quality is the hypervolume of the fully trained students, as a share of the whole table's, over epochs
and over epochs weighted by multiply-adds, both counted for every started student. Without stopping, workers finish in
step, eight at once; so the hypervolume "at 30 trainings" is the mean from 26 to 34, one such round. A search goes on
to the larger of the budgets. Differences are paired by seed, ± one standard error.

With `--finished`, every search that ended is stored there, and the same command again goes on from them. They are of
the code that ran: empty the folder after a change to it.
"""

import argparse
import itertools
import re
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray

from bench.hardware import table, versions
from bench.quality.picture import draw
from bench.quality.rules import ACCURACY_ONLY, COUNT, NONE, OURS, RULES, Arm
from bench.quality.samplers import SAMPLERS
from bench.quality.simulator import WORKERS, searched
from bench.quality.tables import FOLDER, SOURCES, load

Floats = NDArray[np.float64]
SPENT = {"epochs": "epochs", "macs": "epochs weighted by multiply-adds"}
QUICK = ("resnet39_cifar10", "kd_digits_mlp")


class Compared(NamedTuple):
    """A sampler and a rule."""

    sampler: str
    rule: str

    @property
    def name(self) -> str:
        """Its name in the tables."""
        return f"{self.sampler}: {self.rule}"


PROJECT = Compared("ours", OURS.name)
ARMS: dict[Compared, Arm] = {
    **{Compared("random", rule.name): rule for rule in RULES},
    Compared("NSGA-II", NONE.name): NONE,
    **{Compared(name, rule.name): rule for name in ("MO-TPE", "ours") for rule in (NONE, ACCURACY_ONLY, COUNT, OURS)},
}


SHOWN = (
    Compared("random", NONE.name),
    Compared("random", OURS.name),
    Compared("NSGA-II", NONE.name),
    Compared("MO-TPE", NONE.name),
    Compared("MO-TPE", OURS.name),
    Compared("ours", NONE.name),
    PROJECT,
)
"""In the picture."""


class Job(NamedTuple):
    """One search to simulate."""

    folder: Path
    table: str
    compared: Compared
    seed: int
    grid: tuple[float, ...]
    """The budgets at which quality is measured, in full trainings, ascending."""
    finished: Path | None = None
    """A folder of finished searches."""

    @property
    def file(self) -> str:
        """Its name there: of everything but the code and the tables."""
        words = (self.table, *self.compared, f"seed {self.seed}", f"{self.grid[-1]:g}")
        return re.sub(r"[^\w.]+", "-", "_".join(words)) + ".npz"


class Curves(NamedTuple):
    """The result of one search: its hypervolume over the grid, by kind of budget, and its counts."""

    epochs: Floats
    macs: Floats
    started: int
    stopped: int
    seconds: float
    """Of processor time."""


def simulated(job: Job) -> Curves:
    """Run one search, or read it where it is finished."""
    path = job.finished / job.file if job.finished else None
    if path and path.exists():
        with np.load(path, allow_pickle=False) as stored:
            return Curves(stored["epochs"], stored["macs"], *(stored[name].item() for name in Curves._fields[2:]))
    found = _run(job)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **found._asdict())
        partial.replace(path)
    return found


def _run(job: Job) -> Curves:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    began = time.process_time()
    students = load(job.folder, job.table)
    sampler = SAMPLERS[job.compared.sampler](students, job.seed)
    found = searched(students, sampler, ARMS[job.compared], job.seed, job.grid[-1])
    spent = np.array(job.grid)
    return Curves(
        found.at(spent),
        found.at(spent, by_macs=True),
        found.started,
        found.stopped,
        time.process_time() - began,
    )


class Comparison:
    """All searches: `curves[table, compared]` holds one for each seed."""

    def __init__(self, curves: dict[tuple[str, Compared], list[Curves]], grid: Sequence[float]):
        self.curves, self.grid = curves, np.array(grid)
        self.tables = list(dict.fromkeys(name for name, _ in curves))

    def quality(self, name: str, compared: Compared, spent: str, trainings: int) -> Floats:
        """For each seed, the mean hypervolume within half a round of the workers around `trainings`."""
        near = np.abs(self.grid - trainings) <= WORKERS / 2
        return np.array([getattr(run, spent)[near].mean() for run in self.curves[name, compared]])

    def absolute(self, spent: str, trainings: int) -> str:
        """A table: no stopping as a value, every rule as its difference from no stopping with the same sampler."""
        rows = []
        for compared in ARMS:
            none = Compared(compared.sampler, NONE.name)
            cells = []
            for name in self.tables:
                found = self.quality(name, compared, spent, trainings)
                gain = found - self.quality(name, none, spent, trainings)
                cells.append(_mean(found, "") if compared == none else _mean(gain, "+"))
            rows.append([compared.name, *cells])
        return table([f"at {trainings} trainings, by {SPENT[spent]}", *self.tables], rows)

    def against(self, spent: str, trainings: int) -> str:
        """A table: the project's search minus each other one; bold where it is not above."""
        rows = []
        for compared in ARMS:
            if compared == PROJECT:
                continue
            cells = []
            for name in self.tables:
                others = self.quality(name, compared, spent, trainings)
                gain = self.quality(name, PROJECT, spent, trainings) - others
                cells.append(_mean(gain, "+") if gain.mean() > 0 else f"**{_mean(gain, '+')}**")
            rows.append([compared.name, *cells])
        return table([f"{PROJECT.name}, minus: (at {trainings}, by {SPENT[spent]})", *self.tables], rows)

    def gate(self, trainings: int) -> list[str]:
        """A line for each failure of the gate: by epochs, ours gains and accuracy-only ASHA loses on every table."""
        failures = []
        for sampler, name in itertools.product(("random", "MO-TPE", "ours"), self.tables):
            none = self.quality(name, Compared(sampler, NONE.name), "epochs", trainings)
            for rule, sign in ((OURS, 1), (ACCURACY_ONLY, -1)):
                gain = self.quality(name, Compared(sampler, rule.name), "epochs", trainings) - none
                if sign * gain.mean() <= 0:
                    failures.append(f"{name}, {sampler}: {rule.name} is {_mean(gain, '+')} from no stopping")
        return failures

    def counts(self) -> str:
        """A table: the mean numbers of started and stopped students in a search, and the processor time of all."""
        rows = []
        for compared in ARMS:
            runs = [run for name in self.tables for run in self.curves[name, compared]]
            means = (statistics.fmean(getattr(run, field) for run in runs) for field in ("started", "stopped"))
            rows.append([compared.name, *(f"{mean:.0f}" for mean in means), f"{sum(run.seconds for run in runs):.0f}"])
        return table(["until both budgets are spent", "begun", "stopped", "CPU s in all"], rows)


def _mean(values: Floats, sign: str) -> str:
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{values.mean():{sign}.3f} ± {error:.3f}"


def compare(
    folder: Path, tables: Sequence[str], seeds: int, trainings: int, jobs: int = 1, finished: Path | None = None
) -> Comparison:
    """Every sampler and rule on every table, with seeds 0, 1, ..., up to so many trainings.

    Searches that are in the folder `finished` are read from it, the others are stored there.
    """
    grid = tuple(np.arange(0, trainings + WORKERS / 2 + 0.25, 0.25).tolist())
    work = [Job(folder, name, arm, seed, grid, finished) for name in tables for arm in ARMS for seed in range(seeds)]
    curves: dict[tuple[str, Compared], list[Curves]] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for job, found in zip(work, pool.map(simulated, work, chunksize=seeds), strict=True):
            curves.setdefault((job.table, job.compared), []).append(found)
            if job.seed == seeds - 1:
                print(f"{job.table}, {job.compared.name}", flush=True)
    return Comparison(curves, grid)


def options() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=FOLDER, metavar="DIR", help="the folder of the CSV files")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trainings", type=int, nargs="+", default=[30, 60], help="the budgets, in full trainings")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--quick", action="store_true", help="3 seeds, the two smallest tables")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="save the curves (PNG, SVG or PDF)")
    parser.add_argument("--finished", type=Path, metavar="DIR", help="store finished searches, and go on from them")
    given = parser.parse_args()
    missing = [name for name in SOURCES if not (given.tables / f"{name}.csv").is_file()]
    if missing:
        parser.error(f"{given.tables} has no {missing[0]}.csv: give the folder of the tables with --tables.")
    if min(given.seeds, given.jobs) < 1 or min(given.trainings) <= WORKERS / 2:
        parser.error(f"--seeds and --jobs are at least 1, and --trainings is more than {WORKERS // 2}.")
    return given


def main() -> None:
    """Print the tables."""
    given: Any = options()
    names, seeds = (QUICK, 3) if given.quick else (tuple(SOURCES), given.seeds)
    found = compare(given.tables, names, seeds, max(given.trainings), given.jobs, given.finished)
    print(f"\n{versions('optuna', 'moocore', 'numpy')}, n={seeds}\n")
    for trainings, spent in itertools.product(given.trainings, SPENT):
        print(f"{found.absolute(spent, trainings)}\n\n{found.against(spent, trainings)}\n")
    print(f"{found.counts()}\n")
    for trainings in given.trainings:
        failures = found.gate(trainings) or ["stopping gains, and accuracy-only ASHA loses, on every table"]
        print("\n".join(f"gate at {trainings} trainings: {line}" for line in failures))
    if given.picture:
        lines = {
            (name, spent, arm.name): np.array([getattr(run, spent) for run in found.curves[name, arm]])
            for name in found.tables
            for spent in SPENT
            for arm in SHOWN
        }
        draw(lines, found.grid, SPENT, given.picture)
