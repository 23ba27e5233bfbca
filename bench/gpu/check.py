"""One GPU, measured and checked: are its numbers right, which way is fastest, what does a study take on it.

    python -m bench.gpu DIR [--study cifar10] [--rounds 3] [--seconds 1.0] [--tiny]

Under ten minutes on one card. DIR holds the study's images (`DIR/cifar10`), for the second half. The first half needs
`fitnets/`, `bench/`, PyTorch, NumPy and pydantic, and takes random images; the second, trials on Ray's slots, needs the
whole installation and is left out where Ray or Optuna is missing. Ends with a block in Markdown for bench/RESULTS.md,
and with 1 where a check failed. Without a GPU everything runs on the CPU, where "captured" is the step as it is;
`--tiny` makes that a matter of seconds, to see that it runs (a test does). **It has not been run on a GPU yet.**
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch

from bench.gpu.processes import Processes
from bench.gpu.steps import NETS, Call, Random, Stacked, folded, kd_step, rate, student, usual, wait
from bench.hardware import table, versions
from bench.speed.nets import FITNET_1, TEACHER_NET
from fitnets.config import Precision
from fitnets.nets.cost import cost
from fitnets.nets.network import Network
from fitnets.nets.precision import native, use_ieee_float32
from fitnets.training.step import GraphedStep
from fitnets.values.net import Net

BATCH, STEPS, NUM_IMAGES = 128, 50, 50_000
USUAL = "the usual loop"  # in float32
TOLERANCE = 1e-3  # of a loss, CPU to GPU, after 50 steps in float32: rounding grows from step to step
CPU = torch.device("cpu")
FLOAT32: Precision = "float32"
Change = Callable[[Network], Network]


class Bench:
    """What is measured on one device; every line of the report is kept."""

    def __init__(self, device: torch.device, *, rounds: int, seconds: float, tiny: bool):
        self.device, self.rounds, self.seconds = device, rounds, seconds
        self.batch, self.steps = (8, 6) if tiny else (BATCH, STEPS)
        self.counts = (2,) if tiny else (2, 4, 8, 16)
        self.updates = 1 if tiny else 10  # of each process in one call
        self.teacher = FITNET_1 if tiny else TEACHER_NET
        self.images = Random(device, 64 if tiny else NUM_IMAGES)
        self.lines: list[str] = []
        self.failed: list[str] = []

    def say(self, text: str) -> None:
        """Print a line of the report."""
        self.lines.append(text)
        print(text, flush=True)

    def check(self, what: str, holds: bool) -> None:
        """Report a check; one that fails is what the command ends with."""
        self.say(f"- {what}: {'yes' if holds else '**NO**'}")
        self.failed += [] if holds else [what]

    def captured(self, net: Net, precision: Precision, seed: int = 0, change: Change = lambda network: network) -> Call:
        """A student's step as a CUDA graph; the step as it is without a GPU."""
        step = kd_step(change(student(net, seed, self.device)), self.images, self.batch, precision)
        return GraphedStep(step) if self.device.type == "cuda" else step

    def losses(self, net: Net, device: torch.device, precision: Precision, *, graphed: bool = False) -> list[float]:
        """The losses of the first steps from the same weights, on the same images."""
        images = self.images if device == self.device else Random(device, self.images.num_images)
        step = kd_step(student(net, 0, device), images, self.batch, precision)
        update = GraphedStep(step) if graphed and device.type == "cuda" else step
        reports = []
        for index_B in images.batches(self.steps, self.batch):
            step.index_B.copy_(index_B)
            before = float(step.total)
            update()
            reports.append(float(step.total) - before)
        return reports

    def numbers(self) -> None:
        """Whether the device's numbers are the CPU's, its own again, and the graph's."""
        self.say("\nNumbers:\n")
        for name, net in NETS.items():
            here, there = self.losses(net, CPU, "float32"), self.losses(net, self.device, "float32")
            furthest = max(abs(a - b) / abs(a) for a, b in zip(here, there, strict=True))
            what = f"{name}: {self.steps} losses in float32 as on the CPU (largest relative difference {furthest:.1e})"
            self.check(what, furthest < TOLERANCE)
            precision = native(self.device)
            eager = self.losses(net, self.device, precision)
            graphed = self.losses(net, self.device, precision, graphed=True)
            self.check(f"{name}: captured = eager bit for bit, {self.steps} steps in {precision}", graphed == eager)
            again = self.losses(net, self.device, precision) == eager
            self.say(f"- {name}: the same {self.steps} steps again come to the same bits: {'yes' if again else 'no'}")

    def speeds(self) -> None:
        """Images per second of each way, in interleaved rounds, and the share of the card's peak."""
        precision = native(self.device)
        peaks = {each: self.peak(each) for each in dict.fromkeys((precision, FLOAT32))}
        got = " and ".join(f"{peak / 1e12:,.2f} TFLOP/s in {each}" for each, peak in peaks.items())
        self.say(f"\nSpeed, batch {self.batch}; peak of a large matrix product: {got}:\n")
        rows = []
        for name, net in NETS.items():
            speeds = self.timed(self.ways(net, precision)) | self.apart(name)
            for way, speed in speeds.items():
                its = FLOAT32 if way == USUAL else precision
                share = 6 * cost(net).macs * speed / peaks[its]  # two operations a multiply-add, three passes
                rows.append([name, way, its, f"{speed:,.0f}", f"{100 * share:.1f} %"])
        self.say(table(["student", "way", "precision", "images per second", "of its precision's peak"], rows))

    def ways(self, net: Net, precision: Precision) -> dict[str, Callable[[], tuple[Call, int]]]:
        """Each way, as a function that makes it: its call, and the images of one call."""
        images, batch = self.images, self.batch
        found: dict[str, Callable[[], tuple[Call, int]]] = {
            USUAL: lambda: (usual(net, self.teacher, images, batch), batch),
            "eager": lambda: (kd_step(student(net, 0, self.device), images, batch, precision), batch),
            "captured": lambda: (self.captured(net, precision), batch),
        }
        if net.norm == "none":  # maxout: `folded` is for layers without normalisation
            found["captured, each maxout one folded convolution"] = lambda: (
                self.captured(net, precision, change=folded),
                batch,
            )
        for count in self.counts:
            found[f"{count} captured, each on a stream of its own"] = lambda k=count: (  # type: ignore[misc]
                self.together(net, precision, k),
                k * batch,
            )
            found[f"{count} stacked by vmap (without normalisation)"] = lambda k=count: (  # type: ignore[misc]
                Stacked(net, k, images, batch, precision),
                k * batch,
            )
        return found

    def together(self, net: Net, precision: Precision, count: int) -> Call:
        """`count` students' steps, driven by this one thread."""
        steps = [self.captured(net, precision, seed) for seed in range(count)]
        streams = [torch.cuda.Stream() if self.device.type == "cuda" else None for _ in steps]

        def call() -> None:
            for stream, step in zip(streams, steps, strict=True):
                with torch.cuda.stream(stream):  # nothing where there is none
                    step()

        return call

    def apart(self, name: str) -> dict[str, float]:
        """As `timed`, of K processes: one K after the other, since processes that wait hold memory too."""
        speeds: dict[str, float] = {}
        for count in self.counts:
            with Processes(name, count, self.batch, self.images.num_images, self.updates) as processes:
                way = f"{count} captured, each in a process of its own"
                speeds |= self.timed({way: lambda made=processes: (made, made.images)})  # type: ignore[misc]
        return speeds

    def timed(self, ways: dict[str, Callable[[], tuple[Call, int]]]) -> dict[str, float]:
        """The median of each way; one that fails is reported and left out."""
        made: dict[str, tuple[Call, int]] = {}
        for name, make in ways.items():
            try:
                call, images = make()
                for _ in range(5):  # a graph is recorded in the fourth call
                    call()
                wait(self.device)
                made[name] = call, images
            except Exception as error:  # out of memory, an operator that vmap lacks: the others are still measured
                self.say(f"- {name} failed: {type(error).__name__}: {str(error).splitlines()[0]}")
        speeds: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(self.rounds):
            for name, (call, images) in made.items():
                speeds[name].append(rate(call, images, self.seconds, self.device))
        return {name: statistics.median(found) for name, found in speeds.items()}

    def peak(self, precision: Precision) -> float:
        """Operations per second of a large matrix product in that precision."""
        size = 8192 if self.device.type == "cuda" else 256
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        a = torch.randn(size, size, device=self.device, dtype=dtype)
        return rate(lambda: torch.mm(a, a), 2 * size**3, self.seconds, self.device)  # type: ignore[arg-type]

    def memory(self) -> None:
        """What one worker takes: a new process with images and FitNet 1 in training, as the system counts it."""
        if self.device.type != "cuda":
            self.say("\nMemory of a worker: not measured without a GPU.")
            return
        free, total = torch.cuda.mem_get_info()
        code = (
            "import torch; from bench.gpu import *; b = Bench(torch.device('cuda'), rounds=1, seconds=0.1, tiny=False);"
            "c = b.captured(NETS['FitNet 1'], native(b.device)); [c() for _ in range(9)]; torch.cuda.synchronize();"
            "print(torch.cuda.mem_get_info()[0], torch.cuda.max_memory_allocated(), torch.cuda.memory_reserved())"
        )
        got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        left, allocated, reserved = (int(word) for word in got[-3:])
        context = free - left - reserved
        self.say(
            f"\nMemory of a worker (FitNet 1, {NUM_IMAGES:,} images of 32x32): {(free - left) / 1e9:.2f} GB of "
            f"{total / 1e9:.0f}: {allocated / 1e9:.2f} at its peak in tensors, {context / 1e9:.2f} CUDA itself."
        )


def main() -> int:
    """Run both halves; returns 1 where a check failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DIR", help="where the study's images are")
    parser.add_argument("--study", default="cifar10")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    parser.add_argument("--tiny", action="store_true", help="seconds instead of minutes, to see that it runs")
    arguments = parser.parse_args()
    use_ieee_float32()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rounds, seconds = (1, 0.01) if arguments.tiny else (arguments.rounds, arguments.seconds)
    bench = Bench(device, rounds=rounds, seconds=seconds, tiny=arguments.tiny)
    card = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU: the CPU in its place"
    typed = f"python -m bench.gpu {arguments.data.name} --study {arguments.study}{' --tiny' if arguments.tiny else ''}"
    bench.say(f"## One GPU\n\n`{typed}` ({card}; {versions('torch')}; n = {rounds})")
    bench.numbers()
    bench.speeds()
    bench.memory()
    if all(find_spec(name) for name in ("ray", "optuna")):
        from bench.gpu.study import measured  # needs the whole installation

        for line in measured(arguments.study, arguments.data, tiny=arguments.tiny):
            bench.say(line)
    else:
        bench.say("\nTrials and forecast: not measured, for Ray and Optuna are not installed.")
    for what in bench.failed:
        print(f"failed: {what}", file=sys.stderr)
    return 1 if bench.failed else 0
