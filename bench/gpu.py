"""One NVIDIA GPU: which way of running many small students is fastest. Written without one: it has not been run.

    python -m bench.gpu [--rounds 5] [--seconds 1.0] [--quick]

Needs `fitnets/`, `bench/` and torch only; images and weights are random, as speed does not depend on them. Prints one
table at a time, so that a failure does not lose earlier measurements; under ten minutes. Without CUDA: one line.

Ways of a KD step of FitNets 1 and 4, logits from a table, bf16, channels last:
eager; `torch.compile`; the whole step as a CUDA graph; 2, 4, 8, 16 such graphs on streams of one process. Then the
forms of maxout, the teacher's pass, and the seconds until a fresh process has trained one step.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.hardware import table, versions
from bench.nets import FITNET_1, FITNET_4, TEACHER_NET
from fitnets.config import Data, Distill
from fitnets.distill.losses import kd_loss
from fitnets.images.views import Plan, view
from fitnets.nets.network import Layer, Network, initialise
from fitnets.nets.precision import computing
from fitnets.values.net import Net

Call = Callable[[], None]
NUM_IMAGES = 50_000
DISTILL = Distill()


class Step:
    """One student's KD step, with everything it reads and writes at fixed addresses on the device."""

    def __init__(self, net: Net, batch: int, seed: int, pixels_NHWC: Tensor, plan: Plan):
        self.device, self.batch, self.pixels_NHWC, self.plan = pixels_NHWC.device, batch, pixels_NHWC, plan
        network = Network(net)
        initialise(network, "scaled", 0.0, seed)
        self.network: nn.Module = network.to(self.device).to(memory_format=torch.channels_last)
        self.logits_NK = torch.randn(NUM_IMAGES, net.classes, device=self.device).half()
        self.label_N = torch.randint(0, net.classes, (NUM_IMAGES,), device=self.device)
        self.index_B = torch.randint(0, NUM_IMAGES, (batch,), device=self.device)
        self.total = torch.zeros((), device=self.device)
        self.lr = torch.tensor(1e-3, device=self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.lr, fused=True, capturable=True)

    def __call__(self) -> None:
        """The step as `fitnets` takes it: gather, forward, loss, backward, update; nothing is read."""
        x_BCHW = (view(self.pixels_NHWC, self.plan, self.index_B).float() - 127.0) / 64.0
        with computing("bf16", self.device):
            logits_BK = self.network(x_BCHW)
        loss = kd_loss(logits_BK, self.logits_NK[self.index_B], self.label_N[self.index_B], 4.0, DISTILL)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.total += loss.detach()


def graphed(step: Step, stream: torch.cuda.Stream) -> Call:
    """The whole step as one launch; a search would copy each batch's indices into `index_B` before it."""
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay


def compiled(step: Step) -> Call:
    """The step with its network compiled; the compile time is printed separately."""
    began = time.perf_counter()
    step.network.compile()
    step()
    torch.cuda.synchronize()
    print(f"  compile: {time.perf_counter() - began:.1f} s", flush=True)
    return step


def together(net: Net, batch: int, count: int, pixels_NHWC: Tensor, plan: Plan) -> Call:
    """`count` students' graphs, each on a stream of its own, driven by this one thread."""
    streams = [torch.cuda.Stream() for _ in range(count)]
    replays = [graphed(Step(net, batch, seed, pixels_NHWC, plan), stream) for seed, stream in enumerate(streams)]

    def call() -> None:
        for stream, replay in zip(streams, replays, strict=True):
            with torch.cuda.stream(stream):
                replay()

    return call


def rate(call: Call, images: int, seconds: float) -> float:
    """Images per second of wall-clock time, synchronised before and after."""
    torch.cuda.synchronize()
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(10):
            call()
        torch.cuda.synchronize()
        calls += 10
    return images * calls / (time.perf_counter() - began)


def measured(title: str, ways: dict[str, Callable[[], tuple[Call, int]]], rounds: int, seconds: float) -> None:
    """Print a table of interleaved rounds; for a way that fails, the reason is printed instead."""
    calls: dict[str, tuple[Call, int]] = {}
    failures = []
    for name, make in ways.items():
        try:
            calls[name] = make()
            calls[name][0]()
            torch.cuda.synchronize()
        except Exception as error:  # out of memory or no compiler: the other ways are still measured
            calls.pop(name, None)
            failures.append(f"{name} failed: {type(error).__name__}: {str(error).splitlines()[0]}")
    speeds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (call, images) in calls.items():
            speeds[name].append(rate(call, images, seconds))
    base = statistics.median(next(iter(speeds.values()))) if speeds else 1.0
    rows = [
        [n, f"{statistics.median(s):,.0f}", f"{min(s):,.0f} to {max(s):,.0f}", f"{statistics.median(s) / base:.2f}"]
        for n, s in speeds.items()
    ]
    print(f"\n{title}, n={rounds}\n{table(['images per second', 'median', 'min to max', 'ratio'], rows)}")
    print("\n".join(failures), flush=True)


def slices(layer: Layer, x: Tensor) -> Tensor:
    """Maxout in its usual form."""
    a, b = layer.linear(x).chunk(2, 1)
    return torch.maximum(a, b)


def folded(layer: Layer, x: Tensor) -> Tensor:
    """Maxout as b + relu(a - b) from one convolution over folded weights."""
    (wa, wb), (ba, bb) = layer.linear.weight.chunk(2), layer.linear.bias.chunk(2)  # type: ignore[union-attr]
    y = layer._affine(x, torch.cat([wb, wa - wb]), torch.cat([bb, ba - bb]))
    b, difference = y.chunk(2, 1)
    return b + F.relu(difference)


def with_form(form: Callable[[Layer, Tensor], Tensor] | None, step: Step) -> Step:
    """The step with its maxout in another form; None: unchanged."""
    if form is not None:
        for part in step.network.modules():
            if isinstance(part, Layer) and part.pieces == 2:
                part._two_pieces = form.__get__(part)  # type: ignore[method-assign]
    return step


def first_step_seconds() -> str:
    """Import, CUDA context and one step, in a fresh process."""
    code = (
        "import time; t = time.perf_counter(); import torch; a = time.perf_counter() - t;"
        "x = torch.ones(1, device='cuda').item(); b = time.perf_counter() - t;"
        "c = torch.nn.Conv2d(3, 8, 3).cuda()(torch.randn(8, 3, 32, 32, device='cuda')).sum().item();"
        "print(f'import {a:.1f} s, context {b - a:.1f} s, first convolution {time.perf_counter() - t - b:.1f} s')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def main() -> int:
    """Print the tables; returns 0 even without a CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.3 s")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing measured.")
        return 0
    rounds, seconds = (2, 0.3) if arguments.quick else (arguments.rounds, arguments.seconds)
    device = torch.device("cuda")
    print(torch.cuda.get_device_name(), versions("torch"), first_step_seconds(), flush=True)
    pixels_NHWC = torch.randint(0, 256, (NUM_IMAGES, 32, 32, 3), dtype=torch.uint8, device=device)
    plan = Plan.draw(NUM_IMAGES, 1, Data(name="random", shift=4, flip=True), device)

    def made(net: Net, batch: int, form: Callable[[Layer, Tensor], Tensor] | None = None) -> Step:
        return with_form(form, Step(net, batch, 0, pixels_NHWC, plan))

    for name, net in (("FitNet 1", FITNET_1), ("FitNet 4", FITNET_4)):
        for batch in (128, 512):
            ways: dict[str, Callable[[], tuple[Call, int]]] = {
                "eager": lambda n=net, b=batch: (made(n, b), b),  # type: ignore[misc]
                "compiled": lambda n=net, b=batch: (compiled(made(n, b)), b),  # type: ignore[misc]
                "graph of the whole step": lambda n=net, b=batch: (graphed(made(n, b), torch.cuda.Stream()), b),  # type: ignore[misc]
            }
            for count in (2, 4, 8, 16):
                ways[f"{count} graphs on streams"] = lambda n=net, b=batch, c=count: (  # type: ignore[misc]
                    together(n, b, c, pixels_NHWC, plan),
                    b * c,
                )
            measured(f"KD step of {name}, batch {batch}", ways, rounds, seconds)
            torch.cuda.empty_cache()
    forms = {"two convolutions (ours)": None, "one folded convolution": folded, "torch.maximum of slices": slices}
    measured(
        "maxout forms, FitNet 1, batch 128, graph of the whole step",
        {k: (lambda f=f: (graphed(made(FITNET_1, 128, f), torch.cuda.Stream()), 128)) for k, f in forms.items()},  # type: ignore[misc]
        rounds,
        seconds,
    )
    teacher = Network(TEACHER_NET).to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    x_BCHW = torch.randn(512, 3, 32, 32, device=device).to(memory_format=torch.channels_last)

    def passed(fast: bool) -> Call:
        def call() -> None:
            with torch.no_grad(), computing("bf16" if fast else "float32", device):
                teacher(x_BCHW)

        return call

    ways = {"float32": lambda: (passed(False), 512), "bf16": lambda: (passed(True), 512)}
    measured("the paper's teacher, forward", ways, rounds, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
