"""The time to write one checkpoint, and to read it when a run continues, on one thread.

python -m bench.speed.checkpoint [--rounds 40]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from bench.hardware import table, versions
from bench.speed.nets import FITNET_1, FITNET_4
from fitnets.config import Report, Training
from fitnets.disk.store import Store
from fitnets.nets.network import Network
from fitnets.training.checkpoints import Checkpoints
from fitnets.training.run import Run
from fitnets.values.net import Net

DIGITS = Net.staged((1, 8, 8), 10, ((8, 8), (12,)))


def costs(net: Net, store: Store, rounds: int) -> tuple[list[float], float, float]:
    """Milliseconds of each write, milliseconds of one read, and the checkpoint's megabytes."""
    network = Network(net).to(memory_format=torch.channels_last)
    run = Run(network, Training(epochs=rounds, lr=1e-3))
    network(torch.randn(8, *net.input)).square().mean().backward()
    run.optimizer.step()
    checkpoints, writing = Checkpoints(store, net.digest()), []
    for epoch in range(1, rounds + 1):
        checkpoints.reports.append(Report(stage="stage 2", epoch=epoch, epochs=rounds, loss=1.0, seconds=1.0))
        began = time.perf_counter()
        checkpoints.write(run)
        writing.append(1e3 * (time.perf_counter() - began))
    size = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file()) / 1e6
    began = time.perf_counter()
    Checkpoints(store, net.digest())
    reading = 1e3 * (time.perf_counter() - began)
    checkpoints.remove()
    return writing, reading, size


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, net in (("digits, 3 layers", DIGITS), ("FitNet 1", FITNET_1), ("FitNet 4", FITNET_4)):
            writing, reading, size = costs(net, Store(Path(folder)), rounds)
            spread = f"{min(writing):.1f} to {max(writing):.1f}"
            rows.append([name, f"{size:.2f}", f"{statistics.median(writing):.1f}", spread, f"{reading:.1f}"])
    print(versions("torch", "safetensors"), f"n={rounds}")
    print(table(["student, AdamW", "MB", "to write, ms, median", "min to max", "to read, ms"], rows))


if __name__ == "__main__":
    main()
