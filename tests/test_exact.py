"""Fast equals slow, in training too: the whole network against its plain definition, step after step.

Tables and precisions are held by test_speed.py.
"""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from fitnets.config import Training
from fitnets.nets.network import GlobalMaxPool, Layer, Network, initialise
from fitnets.training.optim import optimiser
from fitnets.values.net import Conv, Dense, Net
from tests.helpers import STUDENT, random_images

NETS = {
    "staged": STUDENT,
    "dense": Net.staged((1, 8, 8), 10, ((6,), (7,)), dense=(Dense(width=9), Dense(width=5, pieces=4))),
    "three pieces": Net.staged((1, 8, 8), 10, ((6,), (7,)), pieces=3),
    "normalised": Net.staged((1, 8, 8), 10, ((6,), (7,)), norm="batch"),
    "fast": Net.staged((1, 8, 8), 10, ((6, 6), (8, 8)), pieces=1, norm="batch", shortcuts=True),
    "three pieces, shortcuts": Net.staged((1, 8, 8), 10, ((6, 6), (7,)), pieces=3, shortcuts=True),
    "untied biases": Net.staged((1, 8, 8), 10, ((6,), (7,)), dense=(Dense(width=5),)).changed(biases="untied"),
    "overlapping pools": Net(
        input=(1, 8, 8), convs=(Conv(width=6, pool=3, pool_stride=2), Conv(width=7, kernel=4, pad=2)), classes=10
    ),
}


class Plain(nn.Module):
    """A network by its definition: every piece computed, `torch.amax` over them, ReLU, then pooling windows as such."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.network.layers:
            x = self._layer(layer, x) if isinstance(layer, Layer) else layer(x)
        return x

    def _layer(self, layer: Layer, x: Tensor) -> Tensor:
        if isinstance(layer.linear, nn.Linear):
            x = x.flatten(1)
        before = x if layer.shortcut else 0.0
        x = layer.linear(x)
        x = x if layer.norm is None else layer.norm(x)
        x = torch.relu(x + before) if layer.pieces == 1 else x.unflatten(1, (layer.pieces, -1)).amax(1) + before
        if isinstance(layer.pool, GlobalMaxPool):
            return nn.functional.max_pool2d(x, x.shape[2:])
        return x if layer.pool is None else layer.pool(x)


@pytest.mark.parametrize(
    ("name", "optimizer"), [*itertools.product(NETS, ["adamw", "sgd", "rmsprop"]), ("fast", "muon")]
)
def test_ten_steps_of_training_end_in_the_same_weights(name: str, optimizer: str) -> None:
    fast = Network(NETS[name])
    initialise(fast, "scaled", 0.0, 0)
    fast = fast.double()
    slow = Plain(copy.deepcopy(fast))
    training = Training.model_validate({"epochs": 1, "lr": 1e-2, "optimizer": optimizer})
    steppers = [(module, optimiser(training, module)) for module in (fast, slow)]
    losses: list[list[float]] = [[], []]
    for step in range(10):
        x_BCHW = random_images((16, 1, 8, 8), step, torch.float64)
        label_B = torch.randint(0, 10, (16,), generator=torch.Generator().manual_seed(step))
        for reports, (module, stepper) in zip(losses, steppers, strict=True):
            loss = nn.functional.cross_entropy(module(x_BCHW), label_B)
            stepper.zero_grad()
            loss.backward()
            stepper.step()
            reports.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert losses[0][0] != losses[0][-1]
    for (key, ours), theirs in zip(fast.state_dict().items(), slow.network.state_dict().values(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-7, atol=1e-7), key


@pytest.mark.parametrize("name", NETS)
def test_channels_last_memory_changes_no_number(name: str) -> None:
    network = Network(NETS[name]).double().eval()
    initialise(network, "scaled", 0.0, 0)
    x_BCHW = random_images((4, 1, 8, 8), dtype=torch.float64)
    other = copy.deepcopy(network).to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.allclose(network(x_BCHW), other(x_BCHW.contiguous(memory_format=torch.channels_last)), atol=1e-12)
