"""What stopping costs and gains where a study begins the same number of students, and at equal epochs.

    python -m bench.begun [--students 30] [--seeds 20]

The tables of `bench.quality`, random draws, one worker, stage 1 a third of stage 2's epochs: about a minute. It prints
the mean hypervolume of the students trained to their end, the epochs in full trainings, and the share of the students
at each rung that stopped there, on which the forecast before the first rung rests.
"""

import argparse
import statistics
from collections import Counter
from typing import NamedTuple

from bench.hardware import table, versions
from bench.quality_samplers import RandomStudents
from bench.quality_simulator import STAGE1
from bench.quality_tables import FOLDER, SOURCES, Table, load
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


def study(known: Table, seed: int, students: int, stopping: Stopping | None) -> Study:
    """So many students, one after the other."""
    sampler, rungs = RandomStudents(known, seed), Rungs(stopping or Stopping(), seed)
    epochs = rungs.stopping.rung_epochs(known.epochs) if stopping else ()
    finished: list[tuple[int, float]] = []
    reached, stopped, spent = Counter[int](), Counter[int](), 0.0
    for number in range(students):
        drawn = sampler.draw(number)
        student, end = known.students[drawn], known.epochs
        for place, epoch in enumerate(epochs):
            reached[place] += 1
            accuracy = float(student.curves[0][epoch - 1])
            peer = Peer(number=number, accuracy=accuracy, params=student.params, macs=student.macs)
            if not rungs.arrive(epoch, peer).goes_on:
                stopped[place] += 1
                end = epoch
                break
        spent += STAGE1 * known.epochs + end
        if end == known.epochs:
            finished.append((drawn, float(student.curves[0][-1])))
    trainings = spent / (known.epochs * (1 + STAGE1))
    return Study(known.hypervolume(finished), trainings, len(finished), reached, stopped)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    rows = []
    for name in SOURCES:
        known, seeds = load(FOLDER, name), range(options.seeds)
        whole = [study(known, seed, options.students, None) for seed in seeds]
        same = [study(known, seed, options.students, Stopping()) for seed in seeds]
        cost = statistics.fmean(one.trainings for one in same) / options.students
        more = [study(known, seed, round(options.students / cost), Stopping()) for seed in seeds]
        shares = [sum(one.stopped[place] for one in same) / sum(one.reached[place] for one in same) for place in (0, 1)]
        volumes = [statistics.fmean(one.volume for one in arm) for arm in (whole, same, more)]
        ended = statistics.fmean(one.ended for one in same)
        rows.append([name, *(f"{volume:.3f}" for volume in volumes), f"{cost:.0%}", f"{ended:.1f}"])
        rows[-1] += [f"{share:.0%}" for share in shares]
        print(" | ".join(rows[-1]), flush=True)
    heads = ["table", "no stopping", "as many begun", "equal epochs", "epochs of as many", "trained to the end"]
    print(versions("numpy"))
    print(table([*heads, "stopped at rung 1", "at rung 2"], rows))


if __name__ == "__main__":
    main()
