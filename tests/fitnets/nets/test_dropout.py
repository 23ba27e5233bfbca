"""Dropout of teachers: pylearn2's masks and scales, in training and nowhere else."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fitnets.disk.store import Store
from fitnets.images.images import Images, accuracy
from fitnets.nets.dropout import forward_with_dropout
from fitnets.nets.network import Network, initialise
from fitnets.teacher import opening, train
from fitnets.values.net import Dense, Net
from fitnets.values.updates import Dropout
from tests.helpers import SHORT, TEACHER, random_images

NET = Net.staged((2, 8, 8), 10, ((8,), (12,)), dense=(Dense(width=40),))


def inputs_of(network: Network, x_BCHW: Tensor, dropout: Dropout | None) -> list[Tensor]:
    """What each layer is given."""
    given: list[Tensor] = []
    handles = [
        layer.register_forward_hook(lambda module, inputs, output: given.append(inputs[0])) for layer in network.layers
    ]
    network(x_BCHW) if dropout is None else forward_with_dropout(network, x_BCHW, dropout)
    for handle in handles:
        handle.remove()
    return given


def test_each_layer_sees_its_masked_input_and_only_the_images_are_not_scaled_up() -> None:
    """Where a number stays, it is the layer's own output of before, doubled; images stay as they are."""
    network = Network(NET)
    initialise(network, "scaled", 0.0, 0)
    x_BCHW, dropout = random_images((64, 2, 8, 8)), Dropout()
    torch.manual_seed(0)
    images, *later = inputs_of(network, x_BCHW, dropout)
    stays = images != 0
    assert torch.equal(images[stays], x_BCHW[stays])
    assert float(stays.double().mean()) == pytest.approx(0.8, abs=0.02)
    before = images
    for layer, seen in zip(network.layers, later, strict=False):
        clean = layer(before)
        stays = seen != 0
        assert torch.allclose(seen[stays], 2 * clean[stays], rtol=1e-5)
        assert float(stays.double().mean()) == pytest.approx(0.5, abs=0.03)
        before = seen
    assert len(later) == 3


def test_to_keep_everything_is_no_dropout() -> None:
    network = Network(NET)
    initialise(network, "scaled", 0.0, 0)
    x_BCHW = random_images((4, 2, 8, 8))
    assert torch.equal(forward_with_dropout(network, x_BCHW, Dropout(keep_input=1.0, keep=1.0)), network(x_BCHW))


def test_expectations_agree_with_the_undropped_layer() -> None:
    """Of a linear net whose images are all kept: the mean over masks is the plain output."""
    network = Network(Net(input=(1, 4, 4), convs=NET.convs[:1], classes=3))
    initialise(network, "scaled", 0.0, 0)
    x_BCHW = random_images((1, 1, 4, 4)).expand(20_000, -1, -1, -1)
    torch.manual_seed(0)
    with torch.no_grad():
        mean = forward_with_dropout(network, x_BCHW, Dropout(keep_input=1.0)).mean(0)
        assert torch.allclose(mean, network(x_BCHW[:1])[0], atol=0.05)


def test_a_teacher_learns_with_dropout_and_answers_without(digits: Images, tmp_path: Path) -> None:
    store = Store(tmp_path)
    teacher = TEACHER.changed(training=SHORT.changed(epochs=3), dropout=Dropout(keep=0.8))
    reports = list(train.trained(teacher, digits, store))
    torch.manual_seed(7)  # the masks follow from the teacher's seed
    assert [r.loss for r in train.trained(teacher, digits, Store(tmp_path / "again"))] == [r.loss for r in reports]
    plain = teacher.changed(dropout=None)
    assert [r.loss for r in train.trained(plain, digits, store)] != [r.loss for r in reports]
    loaded = opening.load(teacher, digits, store)
    assert loaded.val_accuracy == reports[-1].val_accuracy == accuracy(loaded.network, digits, digits.val) > 0.3
    loaded.network.train()
    x_BCHW = random_images((4, 1, 8, 8))
    assert torch.equal(loaded.network(x_BCHW), loaded.network(x_BCHW))
    assert not any(isinstance(part, nn.Dropout) for part in loaded.network.modules())
