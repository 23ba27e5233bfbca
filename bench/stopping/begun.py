"""What stopping costs and gains where a study begins the same number of students, and at equal epochs.

    python -m bench.stopping.begun [--students 30] [--seeds 20] [--sampler ours]

The tables of `bench.quality`, one worker, stage 1 a third of stage 2's epochs; about a minute with `--sampler random`,
some ten with the project's own choice of students. It prints the mean hypervolume of the students trained to their end,
for both ways with stopping as the difference from none, paired by seed (± one standard error); the epochs in full
trainings; and the share of the students at each rung that stopped there, on which the forecast before the first rung
rests.
"""

import argparse
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import optuna

from bench.hardware import table, versions
from bench.quality.samplers import SAMPLERS, Sampler
from bench.quality.simulator import STAGE1
from bench.quality.tables import FOLDER, SOURCES, Table, load
from search.driver.stopping import Peer, Rungs, Stopping


class Study(NamedTuple):
    """One simulated study."""

    volume: float
    trainings: float
    """Epochs spent, in full trainings."""
    ended: int
    """Students trained to their end."""
    reached: Counter[int]
    """Students at each rung, by its place."""
    stopped: Counter[int]


def study(known: Table, seed: int, students: int, stopping: Stopping | None, sampler: Sampler) -> Study:
    """So many students, one after the other."""
    rungs = Rungs(stopping or Stopping(), seed)
    epochs = rungs.stopping.rung_epochs(known.epochs) if stopping else ()
    finished: list[tuple[int, float]] = []
    reached, stopped, spent = Counter[int](), Counter[int](), 0.0
    for number in range(students):
        drawn = sampler.draw(number)
        student, end = known.students[drawn], known.epochs
        at_rungs: dict[int, float] = {}
        for place, epoch in enumerate(epochs):
            reached[place] += 1
            accuracy = at_rungs[epoch] = float(student.curves[0][epoch - 1])
            peer = Peer(number=number, accuracy=accuracy, params=student.params, macs=student.macs)
            if not rungs.arrive(epoch, peer).goes_on:
                stopped[place] += 1
                end = epoch
                break
        spent += STAGE1 * known.epochs + end
        if end < known.epochs:
            sampler.end(number, None, at_rungs)
            continue
        accuracy = float(student.curves[0][-1])
        sampler.end(number, [accuracy, math.log10(student.params), math.log10(student.macs)], at_rungs)
        finished.append((drawn, accuracy))
    trainings = spent / (known.epochs * (1 + STAGE1))
    return Study(known.hypervolume(finished), trainings, len(finished), reached, stopped)


def studies(known: Table, sampler: str, seeds: int, students: int, stopping: Stopping | None) -> list[Study]:
    """One study for each seed."""
    return [study(known, seed, students, stopping, SAMPLERS[sampler](known, seed)) for seed in range(seeds)]


def minus(some: Sequence[Study], others: Sequence[Study]) -> str:
    """The mean difference of the hypervolumes, and its standard error."""
    gaps = [one.volume - other.volume for one, other in zip(some, others, strict=True)]
    error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
    return f"{statistics.fmean(gaps):+.3f} ± {error:.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sampler", choices=SAMPLERS, default="ours")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    for name in SOURCES:
        run = partial(studies, load(FOLDER, name), options.sampler, options.seeds)
        whole, same = run(options.students, None), run(options.students, Stopping())
        cost = statistics.fmean(one.trainings for one in same) / options.students
        more = run(round(options.students / cost), Stopping())
        shares = [sum(one.stopped[place] for one in same) / sum(one.reached[place] for one in same) for place in (0, 1)]
        ended = statistics.fmean(one.ended for one in same)
        rows.append([name, f"{statistics.fmean(one.volume for one in whole):.3f}", minus(same, whole)])
        rows[-1] += [minus(more, whole), f"{cost:.0%}", f"{ended:.1f}", *(f"{share:.0%}" for share in shares)]
        print(" | ".join(rows[-1]), flush=True)
    heads = ["table", "no stopping", "as many begun", "equal epochs", "epochs of as many", "trained to the end"]
    print(versions("numpy"))
    print(table([*heads, "stopped at rung 1", "at rung 2"], rows))


if __name__ == "__main__":
    main()
