"""Whether a study that starts like another reaches its hypervolume sooner: whole studies of real trainings.

    python -m bench.like [--seeds 10] [--students 30] [--study digits] [--max-params 20000] [--data DIR]

For each seed: the study as it is; then the same study with another limit on parameters, once with students of the
first one's front trained first (`search.run --like`) and once without. The hypervolume, as in `bench.stopping`, is that
of the students within the new limit; the line to reach is the first study's. One process, one student at a time.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import optuna
import torch
from optuna.trial import TrialState

from bench.hardware import table, versions
from bench.stopping.digits import hypervolume, opened, searched, values_of
from fitnets.config import Recipe
from search.driver.like import COUNT, Theirs, rebuilt
from search.driver.loop import Search
from search.read import pareto
from search.space import Frame
from search.study import Study, find_study
from search.workers.inline import InlineWorkers

SECOND = 10  # students of the second study, within which the line is to be reached


class Compared(NamedTuple):
    """The hypervolumes of one seed's studies."""

    line: float
    """The first study's, within the new limit."""
    warm: list[float]
    """After each student of the study that began like the first one."""
    cold: list[float]

    def reached(self, volumes: list[float]) -> int | None:
        """After how many students the line was reached; None: not at all."""
        return next((i for i, volume in enumerate(volumes, start=1) if volume >= self.line), None)


def compared(
    study: Study, frame: Frame, workers: InlineWorkers, store: Path, *, max_params: int, students: int = SECOND
) -> Compared:
    """The first study, and both second ones."""
    chance, other = 1 / frame.classes, study.changed(name="second", max_params=max_params, trials=students)
    first, _ = searched(study, frame, workers, store)
    within = [values for values in values_of(first) if 10 ** values[1] <= max_params]

    def volumes(begin: list[tuple[str, Recipe]]) -> list[float]:
        search, _ = searched(other.changed(seed=study.seed + 1), frame, workers, store, first=begin)
        values, found = list[list[float]](), list[float]()
        for trial in search.ledger.trials:
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and not trial.user_attrs.get("infeasible"):
                values += [trial.values] if trial.state == TrialState.COMPLETE else []
                found.append(hypervolume(values, other, frame, chance) if values else 0.0)
        return found

    return Compared(
        hypervolume(within, other, frame, chance) if within else 0.0,
        volumes(rebuilt(_front(first), other, frame, COUNT)),
        volumes([]),
    )


def _front(search: Search) -> list[Theirs]:
    """A search's Pareto front."""
    trials = [trial for trial in search.ledger.trials if trial.state == TrialState.COMPLETE]
    chosen = pareto.front([(-t.values[0], t.values[1], t.values[2]) for t in trials])
    recipes = [Recipe.model_validate(trials[i].user_attrs["recipe"]) for i in chosen]
    return [Theirs(f"like:{trials[i].number}", r, trials[i].values[0]) for i, r in zip(chosen, recipes, strict=True)]


def main() -> None:
    """Print a line for each seed as it ends, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--students", type=int, default=30, help="of the first study")
    parser.add_argument("--study", default="digits")
    parser.add_argument("--max-params", type=int, default=20_000, help="the second study's limit")
    parser.add_argument("--data", type=Path, default=Path("data"))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    rows, reached = [], []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        chosen = find_study(options.study).changed(trials=options.students)
        images = opened(chosen, options.data, store)
        for seed in range(options.first, options.first + options.seeds):
            began, study = time.monotonic(), chosen.changed(seed=seed)
            found = compared(study, images.frame(study), images.workers, store, max_params=options.max_params)
            reached.append([found.reached(volumes) for volumes in (found.warm, found.cold)])
            row = [str(seed), f"{found.line:.4f}", f"{found.warm[-1]:.4f}", f"{found.cold[-1]:.4f}"]
            rows.append([*row, *("never" if after is None else str(after) for after in reached[-1])])
            print(" | ".join(rows[-1]), f"({time.monotonic() - began:.0f} s)", flush=True)
    heads = ["seed", f"first study, {options.students} students", f"like it, {SECOND}", f"from scratch, {SECOND}"]
    print(versions("torch", "optuna"))
    print(table([*heads, "reached after", "from scratch"], rows))
    warm, cold = (sum(row[i] is not None for row in reached) for i in (0, 1))
    print(f"within {SECOND} students, the line was reached in {warm} of {len(rows)} seeds; from scratch in {cold}")


if __name__ == "__main__":
    main()
