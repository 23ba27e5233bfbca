"""Steps for `bench.gpu`: one student's training step as `fitnets` makes it, beside other ways to make it.

Shape suffixes: K students (in `Stacked`) or classes, N images, B batch, C channels, H rows, W columns.
"""

import copy
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from bench.speed.nets import FITNET_1
from fitnets.config import Data, Distill, Precision, Training
from fitnets.distill.losses import kd_loss
from fitnets.images.views import Plan, view
from fitnets.nets.network import Layer, Network, initialise
from fitnets.nets.precision import computing
from fitnets.training.optim import optimiser
from fitnets.training.step import Step
from fitnets.values.net import Net

Call = Callable[[], None]
SMALL = Net.staged((3, 32, 32), 10, ((8, 16), (24, 24), (32, 32)), pieces=1, norm="batch")  # 27k weights, 4.6M MACs
NETS = {"FitNet 1": FITNET_1, "5M student": SMALL}
TRAINING, DISTILL, LAMBDA = Training(epochs=1, lr=1e-3, schedule="constant"), Distill(), 4.0


class Random:
    """Images, labels and a teacher's table of random numbers on `device`: speed does not depend on what they show."""

    def __init__(self, device: torch.device, num_images: int):
        draw = torch.Generator().manual_seed(0)
        self.device, self.num_images = device, num_images
        self.pixels_NHWC = torch.randint(0, 256, (num_images, 32, 32, 3), dtype=torch.uint8, generator=draw).to(device)
        self.label_N = torch.randint(0, 10, (num_images,), generator=draw).to(device)
        self.logits_NK = torch.randn(num_images, 10, generator=draw).half().to(device)
        self.plan = Plan.draw(num_images, 1, Data(name="random", shift=4, flip=True), device)

    def input(self, index_B: Tensor) -> Tensor:
        """The views of these images as network input BCHW."""
        return (view(self.pixels_NHWC, self.plan, index_B).float() - 127.0) / 64.0

    def batches(self, count: int, batch: int) -> list[Tensor]:
        """The indices of `count` batches, the same on every device."""
        drawn = torch.randint(0, self.num_images, (count, batch), generator=torch.Generator().manual_seed(1))
        return list(drawn.to(self.device))


def student(net: Net, seed: int, device: torch.device) -> Network:
    """A student with drawn weights, the same on every device."""
    network = Network(net)
    initialise(network, "scaled", 0.0, seed)
    return network.to(device).to(memory_format=torch.channels_last).train()


def kd_step(network: nn.Module, images: Random, batch: int, precision: Precision) -> Step:
    """A step of stage 2, the teacher's logits from a table: as `fitnets.distill.stages` makes it."""

    def loss(index_B: Tensor) -> Tensor:
        with computing(precision, images.device):
            logits_BK = network(images.input(index_B))
        return kd_loss(logits_BK, images.logits_NK[index_B], images.label_N[index_B], LAMBDA, DISTILL)

    return Step(optimiser(TRAINING, network), loss, images.batches(1, batch)[0])


class Folded(nn.Module):
    """A layer of two maxout pieces as one convolution or product, whose filters are [b; a - b]: b + relu(a - b)."""

    def __init__(self, layer: Layer):
        super().__init__()
        self.linear, self.pool = layer.linear, layer.pool

    def forward(self, x: Tensor) -> Tensor:
        """As `Layer.forward`, for a layer without normalisation or shortcut."""
        weight, bias = (torch.cat([b, a - b]) for a, b in (both.chunk(2) for both in self.linear.parameters()))
        if isinstance(self.linear, nn.Conv2d):
            both = F.conv2d(x, weight, bias, padding=self.linear.padding)
        else:
            both = F.linear(x.flatten(1), weight, bias)
        b, difference = both.chunk(2, 1)
        largest: Tensor = b + F.relu(difference)
        return largest if self.pool is None else self.pool(largest)


def folded(network: Network) -> Network:
    """The network with its layers of two maxout pieces folded, in place; their weights stay the same parameters."""
    network.layers = nn.ModuleList(
        Folded(layer) if isinstance(layer, Layer) and layer.pieces == 2 else layer for layer in network.layers
    )
    return network


def usual(net: Net, teacher_net: Net, images: Random, batch: int) -> Call:
    """The usual loop, less its loader of images: the teacher runs in every step, which reads its loss, in float32."""
    network, teacher = student(net, 0, images.device), student(teacher_net, 1, images.device).eval()
    optimizer, index_B = torch.optim.AdamW(network.parameters(), lr=1e-3), images.batches(1, batch)[0]

    def call() -> None:
        x_BCHW = images.input(index_B)
        with torch.no_grad():
            teacher_BK = teacher(x_BCHW)
        optimizer.zero_grad()
        loss = kd_loss(network(x_BCHW), teacher_BK, images.label_N[index_B], LAMBDA, DISTILL)
        loss.backward()
        optimizer.step()
        loss.item()

    return call


class Stacked:
    """K students of one net as one: their weights in stacked tensors, forward and backward by `torch.func.vmap`.

    A spike: without normalisation, whose statistics would have to be stacked too, and with equal learning rates.
    """

    def __init__(self, net: Net, count: int, images: Random, batch: int, precision: Precision):
        models = [student(net.changed(norm="none"), seed, images.device) for seed in range(count)]
        parameters, _ = stack_module_state(list(models))
        self.parameters_K: dict[str, Tensor] = dict(parameters)
        self.index_KB = torch.stack(images.batches(count, batch))
        self._base, self._images, self._precision = copy.deepcopy(models[0]).to("meta"), images, precision
        self._optimizer = torch.optim.AdamW(list(self.parameters_K.values()), lr=1e-3, weight_decay=0.0, fused=True)

    def losses(self) -> Tensor:
        """Each student's loss on its own batch, K."""
        images, flat = self._images, self.index_KB.flatten()
        x_KBCHW = images.input(flat).unflatten(0, self.index_KB.shape)

        def one(parameters: dict[str, Tensor], x_BCHW: Tensor, teacher_BK: Tensor, label_B: Tensor) -> Tensor:
            return kd_loss(functional_call(self._base, parameters, (x_BCHW,)), teacher_BK, label_B, LAMBDA, DISTILL)

        teacher_KBK, label_KB = images.logits_NK[self.index_KB], images.label_N[self.index_KB]
        with computing(self._precision, images.device):
            losses_K: Tensor = torch.vmap(one)(self.parameters_K, x_KBCHW, teacher_KBK, label_KB)
        return losses_K

    def __call__(self) -> None:
        """One update of every student."""
        self.losses().sum().backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def rate(call: Call, images: int, seconds: float, device: torch.device) -> float:
    """Images per second of wall-clock time, `images` in each call."""
    call()
    wait(device)
    began, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - began < seconds:
        for _ in range(10 if device.type == "cuda" else 1):
            call()
            calls += 1
        wait(device)
    return images * calls / (time.perf_counter() - began)
