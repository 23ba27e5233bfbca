"""Whether a bounded history costs the sampler quality: hypervolume on a synthetic problem, over several seeds.

    python -m bench.sampler [--trials 1500] [--seeds 6] [--quick]

Both sides are Optuna's multi-objective TPE. Hypervolume is of (accuracy, log10 parameters, log10 multiply-adds) with
a fixed reference point, without the noise of the formula's accuracy.
"""

import argparse
import statistics
import time

import moocore
import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from bench.hardware import table, versions
from bench.synthetic import FRAME, STUDY, accuracy_of, values_of
from fitnets.nets.cost import cost
from search.driver.loop import DIRECTIONS
from search.driver.sampling import FRONT, RECENT, History, draw
from search.space import recipe_of, suggest

REFERENCE = np.array([-0.3, 6.5, 9.0])  # accuracy 0.3, 3.2M parameters, 1G multiply-adds


def searched(seed: int, trials: int, recent: int, front: int, at: list[int]) -> tuple[list[float], float]:
    """The hypervolume after each number of trials in `at`, and the sampler's seconds."""
    directions = [StudyDirection[direction.upper()] for direction in DIRECTIONS]
    history, losses, found, seconds = History(directions), [], [], 0.0
    for number in range(trials):
        began = time.process_time()
        drawn = draw(directions, history.recalled(recent, front), seed, number)
        params = suggest(drawn, STUDY.space)
        seconds += time.process_time() - began
        recipe = recipe_of(params, STUDY.space, FRAME).changed(seed=seed)
        trial = create_trial(
            state=TrialState.COMPLETE, values=values_of(recipe), params=drawn.params, distributions=drawn.distributions
        )
        trial.number = number
        history.update(trial)
        price = cost(recipe.student)
        losses.append([-accuracy_of(recipe, noise=0.0), np.log10(price.params), np.log10(price.macs)])
        if number + 1 in at:
            found.append(float(moocore.hypervolume(np.array(losses), ref=REFERENCE)))
    return found, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="500 trials, 3 seeds")
    arguments = parser.parse_args()
    trials, seeds = (500, 3) if arguments.quick else (arguments.trials, arguments.seeds)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    at = [trials // 3, 2 * trials // 3, trials]
    kinds = {"stock (whole history)": (10**9, 0), f"ours (newest {RECENT}, {FRONT} of the front)": (RECENT, FRONT)}
    runs: dict[str, list[tuple[list[float], float]]] = {name: [] for name in kinds}
    for seed in range(seeds):
        for name, (recent, front) in kinds.items():
            runs[name].append(searched(seed, trials, recent, front, at))
            print(seed, name, [f"{value:.4f}" for value in runs[name][-1][0]], f"{runs[name][-1][1]:.0f} s", flush=True)
    rows = []
    for name, found in runs.items():
        cells = []
        for place in range(len(at)):
            values = [volumes[place] for volumes, _ in found]
            error = statistics.stdev(values) / len(values) ** 0.5
            cells.append(f"{statistics.fmean(values):.4f} ± {error:.4f}")
        rows.append([name, *cells, f"{statistics.fmean(seconds for _, seconds in found) / trials * 1e3:.0f} ms"])
    print(versions("optuna"), f"n={seeds}")
    print(table(["sampler", *(f"hypervolume at {number}" for number in at), "CPU time per draw"], rows))


if __name__ == "__main__":
    main()
