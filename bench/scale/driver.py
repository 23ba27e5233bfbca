"""Driver time for one trial (ask, cost, write, tell) in the real driver loop, by the number of finished trials.

    python -m bench.scale.driver [--quick]

The students' training is replaced by a formula (`bench.synthetic`), so that only the driver is measured: each
trial sends 35 epochs' reports and a result, and its parameters, recipe, reports and outcome go to SQLite on disk. The
history is written beforehand by a simple evolution, which gives a front of a few hundred as a long search does. "Stock"
is Optuna's own way with the same storage: `study.ask`, `suggest_*`, a `set_user_attr` for each attribute, `study.tell`.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import optuna

from bench.hardware import table, versions
from bench.synthetic import FRAME, STUDY, Instant, quick_history, result_of, values_of
from fitnets.disk.store import Store
from fitnets.nets.cost import cost
from search.driver.loop import DIRECTIONS, Search
from search.space import recipe_of, suggest
from search.storage.writer import open_storage
from search.workers.protocol import Finished

SLOTS = 8


def history(folder: Path, finished: int) -> Path:
    """A storage with that many finished trials."""
    path = folder / "history.db"
    storage = open_storage(f"sqlite:///{path}")
    study = optuna.create_study(study_name=STUDY.name, storage=storage, directions=DIRECTIONS)
    quick_history(study, storage, finished)
    storage.remove_session()
    storage.engine.dispose()
    return path


def ours(folder: Path, trials: int) -> list[float]:
    """Milliseconds between finished trials of `search.driver.loop` itself, the workers taking no time."""
    storage = open_storage(f"sqlite:///{folder}/studies.db")
    search = Search(STUDY, FRAME, storage, Instant(SLOTS), Store(folder / "store"))
    ends: list[float] = []
    search.run(
        search.trained() + trials + 2 * SLOTS,
        lambda _, event: ends.append(time.perf_counter()) if isinstance(event, Finished) else None,
    )
    return [1e3 * (after - before) for before, after in pairwise(ends)][SLOTS // 2 :][:trials]


def stock(folder: Path, trials: int) -> list[float]:
    """Milliseconds for one ask and tell of Optuna's default multi-objective sampler, one transaction at a time."""
    storage = open_storage(f"sqlite:///{folder}/studies.db")
    study = optuna.load_study(study_name=STUDY.name, storage=storage, sampler=optuna.samplers.TPESampler(seed=0))
    study.get_trials(deepcopy=False)  # the first read of the history is not part of a trial
    times = []
    for _ in range(trials + 1):
        began = time.perf_counter()
        trial = study.ask()
        recipe = recipe_of(suggest(trial, STUDY.space), STUDY.space, FRAME)
        price = cost(recipe.student)
        for name, value in (
            ("recipe", recipe.model_dump(mode="json")),
            ("cost", price.model_dump(mode="json")),
            ("digest", recipe.digest()),
            ("outcome", result_of(recipe).outcome.model_dump(mode="json")),
        ):
            trial.set_user_attr(name, value)
        study.tell(trial, values_of(recipe))
        times.append(1e3 * (time.perf_counter() - began))
    return times[1:]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="stop at 1,000 finished trials")
    quick = parser.parse_args().quick
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    for finished in (100, 1_000) if quick else (100, 1_000, 10_000):
        with tempfile.TemporaryDirectory() as written:
            path = history(Path(written), finished)
            for name, measure, trials in (("ours", ours, 100), ("stock Optuna", stock, 12 if finished < 5_000 else 3)):
                with tempfile.TemporaryDirectory() as folder:
                    shutil.copy(path, Path(folder) / "studies.db")
                    times = measure(Path(folder), trials)
                    middle, low, high = statistics.median(times), min(times), max(times)
                    rows.append([f"{finished:,}", name, f"{middle:.1f}", f"{low:.1f} to {high:.1f}", str(len(times))])
                    print(" | ".join(rows[-1]), flush=True)
    print(versions("optuna", "sqlalchemy"))
    print(table(["finished trials", "driver", "median ms per trial", "min to max", "n"], rows))


if __name__ == "__main__":
    main()
