"""The only use of the test images: the accuracies of teacher and students, and how long a pass over the images takes.

Needs torch. Runs after the workers have ended, so that they do not distort the timings.
"""

import json
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from fitnets.config import Trained
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.export import restored
from fitnets.images.images import Images, accuracy, load, load_test
from fitnets.teacher import opening, train
from fitnets.values.base import sha256
from fitnets.values.net import Net
from search.paper.experiments import Experiment
from search.paper.table import Measured, Seed
from search.ship import test_reads

PASSES = 3
PASS_SECONDS = 20.0  # a pass that takes longer is not repeated


def device_here(device: str) -> str:
    """The workers' device if this machine has it: a cluster's head may have no GPU, and tests on its CPU."""
    return device if device == "cpu" or torch.cuda.is_available() else "cpu"


class TestImages:
    """An experiment's test images; each net measured on them is logged. Uses one thread where there is no GPU."""

    __test__ = False  # pytest would take it for a test by its name

    def __init__(self, experiment: Experiment, data_dir: Path, runs: Path, store: Store, device: str):
        if device == "cpu":
            torch.set_num_threads(1)
        self.experiment, self.runs, self.store = experiment, runs, store
        self.images: Images = load(experiment.data, data_dir, store, torch.device(device))
        self.split = load_test(experiment.data, data_dir, self.images, store)
        self._seconds: dict[Net, float] = {}

    def teacher(self, teacher: Trained) -> Seed:
        """The trained teacher, measured. Raises InputError when it is not in the store."""
        if not train.is_trained(teacher, self.images, self.store):
            raise InputError(
                f"the trained teacher is not in `{self.store.root}`: let --runs name a folder that every worker sees."
            )
        loaded = opening.load(teacher, self.images, self.store)
        measured = self._measured(loaded.network, teacher.net, loaded.digest, "teacher")
        about = json.loads(train.files(teacher, self.images, self.store)["about.json"])
        return Seed(test=measured, val_accuracy=loaded.val_accuracy, train_seconds=about["seconds"])

    def student(self, net: Net, weights: bytes, name: str) -> Measured:
        """A student, measured, from its safetensors file."""
        return self._measured(restored(net, weights), net, sha256(weights), name)

    def _measured(self, network: nn.Module, net: Net, digest: str, name: str) -> Measured:
        network = network.to(self.images.device).to(memory_format=torch.channels_last)
        study = f"paper-{self.experiment.system}-{self.experiment.scale}"
        test_reads.begin(self.runs, study, digest, trial=name)
        test_accuracy = accuracy(network, self.images, self.split)
        test_reads.finish(self.runs, study, digest, test_accuracy, trial=name)
        if net not in self._seconds:
            self._seconds[net] = self._pass_seconds(network)
        return Measured(test_accuracy=test_accuracy, seconds=self._seconds[net])

    @torch.no_grad()
    def _pass_seconds(self, network: nn.Module) -> float:
        """Seconds of the forward passes over all test images, the median of up to `PASSES` repetitions."""
        times: list[float] = []
        for _ in range(PASSES):
            seconds = 0.0
            for x_BCHW, _ in self.images.batches(self.split):
                self._wait()
                start = time.perf_counter()
                network(x_BCHW)
                self._wait()
                seconds += time.perf_counter() - start
            times.append(seconds)
            if seconds > PASS_SECONDS:
                break
        return statistics.median(times)

    def _wait(self) -> None:
        if self.images.device.type == "cuda":
            torch.cuda.synchronize()
