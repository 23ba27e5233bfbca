"""Many one-epoch trials on a cluster of three nodes, where again and again a node is killed and another one joins.

    python -m bench.scale.cluster [--trials 2000] [--every 20]

The nodes are processes of this machine, started and killed (SIGKILL to all processes of a node) by a separate process.
The trials are stubs (`bench.scale.stub`): the search, its workers and its memory are measured. Every hundred trials it
prints the driver's resident memory and its growth for each trial since the first hundred. At the end it prints the
memory of a new process that only opens the finished study, as a driver that continues it does. Exits with 1 unless
every trial was finished exactly once.
"""

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna

from bench.hardware import table, versions
from bench.scale.stub import stub
from fitnets.disk.store import Store
from search.driver.ledger import Ledger
from search.driver.loop import DIRECTIONS, Search
from search.storage.address import storage_url
from search.storage.writer import open_storage
from search.study import Study, find_study
from search.workers.protocol import Event, Finished, WorkerLost

NODES, SLOTS = 3, 2
EPOCH_SECONDS = 1.0
STEP = 100  # trials between two readings of the memory
STUDY: Study = find_study("digits").changed(name="cluster", first=(), max_params=None, max_macs=None, stopping=None)


def resident() -> int:
    """The resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def nodes_of(every: float, pipe: Any) -> None:
    """Hold the cluster here; kill a node and add another every `every` seconds until `pipe` has a message."""
    from search.workers.cluster import ray

    ray()
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": SLOTS, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0})
    for _ in range(NODES):
        cluster.add_node(**node)
    pipe.send(cluster.address)
    draw, killed = random.Random(0), 0
    while not pipe.poll(every):
        cluster.remove_node(draw.choice(sorted(cluster.worker_nodes, key=lambda n: n.node_id)), allow_graceful=False)
        killed += 1
        cluster.add_node(**node)
    pipe.send(killed)
    cluster.shutdown()


def searched(folder: Path, address: str, trials: int, record: Callable[[int, int], None]) -> tuple[Counter[int], int]:
    """Run the search; returns how often each trial was finished, and how many trials lost their worker.

    `record` is called with the number of finished trials and this process's memory in bytes.
    """
    from search.workers.crew import RayWorkers

    crew = RayWorkers(address, None, STUDY.gpu_fraction, stub(EPOCH_SECONDS))
    facts = crew.open(STUDY.data, folder, folder / "store", folder / "logs")
    taught = crew.teach(STUDY.resolved_teacher(facts.shape, len(facts.classes)), lambda report: None)
    study = STUDY.changed(stage2=STUDY.stage2.changed(epochs=1))
    frame = study.frame(facts.shape, len(facts.classes), len(taught.hint_shapes))
    storage = open_storage(storage_url(folder, None))
    optuna.create_study(study_name=study.name, storage=storage, directions=DIRECTIONS)
    done: Counter[int] = Counter()
    lost = 0

    def hear(search: Search, event: Event | None) -> None:
        nonlocal lost
        lost += isinstance(event, WorkerLost)
        if isinstance(event, Finished):
            done[event.number] += 1
            if done.total() % STEP == 0:
                record(done.total(), resident())

    Search(study, frame, storage, crew, Store(folder / "store")).run(trials, hear)
    crew.close()
    return done, lost


def opened(folder: Path) -> int:
    """The bytes of memory that a process needs to open the finished study for a search."""
    storage = open_storage(storage_url(folder, None))
    study = optuna.load_study(study_name=STUDY.name, storage=storage)
    before = resident()
    ledger = Ledger(study, storage)
    assert ledger.trials
    return resident() - before


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two kills")
    parser.add_argument("--opened", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if arguments.opened:
        print(json.dumps(opened(arguments.opened)))
        return
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    holder = multiprocessing.get_context("spawn").Process(target=nodes_of, args=(arguments.every, theirs))
    holder.start()
    rows: list[list[str]] = []
    readings: list[tuple[int, int]] = []

    def record(number: int, memory: int) -> None:
        readings.append((number, memory))
        first = readings[0]
        growth = (memory - first[1]) / (number - first[0]) / 1e3 if number > first[0] else 0.0
        rows.append([str(number), f"{memory / 1e6:.0f}", f"{growth:.1f}"])
        print(f"{number} trials, driver {memory / 1e6:.0f} MB, {growth:.1f} kB a trial", flush=True)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        address = ours.recv()
        began = time.monotonic()
        done, lost = searched(folder, address, arguments.trials, record)
        seconds = time.monotonic() - began
        ours.send("end")
        killed = ours.recv()
        holder.join(60)
        command = [sys.executable, "-m", "bench.scale.cluster", "--opened", str(folder)]
        itself = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        stored = optuna.load_study(study_name=STUDY.name, storage=storage_url(folder, None)).get_trials(deepcopy=False)
        states = Counter(trial.state.name for trial in stored)
        database = sum(file.stat().st_size for file in folder.glob("studies.db*"))
    once = sum(times == 1 for times in done.values())
    print(versions("ray", "optuna"))
    print(table(["trials", "driver, MB", "kB a trial since the first hundred"], rows))
    print(
        f"{arguments.trials} trials in {seconds:.0f} s; {killed} nodes killed, {lost} trials lost their worker; "
        f"finished once: {once}, more than once: {len(done) - once}; states: {dict(states)}"
    )
    print(
        f"the study itself: {itself / arguments.trials / 1e3:.1f} kB a trial in a process that opens it, "
        f"{database / arguments.trials / 1e3:.1f} kB in its storage"
    )
    if not once == len(done) == states["COMPLETE"] == len(stored) == arguments.trials:
        sys.exit(1)


if __name__ == "__main__":
    main()
