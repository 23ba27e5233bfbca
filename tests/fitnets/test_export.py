"""Exported students: the ONNX file says what torch says, on real images, for every kind of student."""

import io
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from fitnets.config import Data
from fitnets.errors import InputError
from fitnets.export import TOLERANCE, Check, Deployed, OnnxModel, check, onnx_file, restored
from fitnets.images.images import Images, Preprocess, Split, accuracy, load
from fitnets.nets.network import Network, initialise
from fitnets.teacher.teacher import Teacher
from fitnets.training.run import state
from fitnets.values.net import Conv, Dense, Net
from tests.helpers import STUDENT, TEACHER, random_images, state_hash


def network_of(net: Net) -> Network:
    """Drawn weights, and normalisation statistics that are not 0 and 1."""
    network = Network(net)
    initialise(network, "scaled", 0.0, 0)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.register_buffer("running_mean", torch.linspace(-0.2, 0.2, part.num_features))
    return network.eval()


@pytest.fixture(scope="module")
def model(digits: Images, teacher: Teacher) -> tuple[OnnxModel, Deployed]:
    """The trained teacher, exported like a student."""
    deployed = Deployed(teacher.network.network, digits.preprocess).eval()
    return OnnxModel(onnx_file(deployed, digits.shape)), deployed


def test_onnx_equals_torch_on_every_validation_image(
    digits: Images, teacher: Teacher, model: tuple[OnnxModel, Deployed]
) -> None:
    checked = check(*model, digits.val)
    assert checked.images == len(digits.val)
    assert checked.largest_difference <= TOLERANCE == 1e-4
    assert checked.onnx_accuracy == checked.torch_accuracy == accuracy(teacher.network, digits, digits.val)


def test_the_file_takes_any_batch_size_of_pixels_in_0_to_1(digits: Images, model: tuple[OnnxModel, Deployed]) -> None:
    onnx_model, deployed = model
    pixels = digits.val.pixels_NHWC.permute(0, 3, 1, 2).float() / 255
    for batch in (1, 2, 7):
        ours = onnx_model(np.ascontiguousarray(pixels[:batch].numpy()))
        with torch.no_grad():
            assert np.abs(ours - deployed(pixels[:batch]).numpy()).max() <= TOLERANCE
        assert ours.shape == (batch, 10)


@pytest.mark.parametrize(("pieces", "norm"), [(1, "batch"), (2, "none"), (3, "batch")])
def test_every_kind_of_student(pieces: int, norm: Literal["none", "batch"]) -> None:
    convs = (Conv(width=4, pieces=pieces, pool=3, pool_stride=2), Conv(width=6, kernel=2, pad=0, pieces=pieces))
    net = Net(input=(3, 11, 8), convs=convs, dense=(Dense(width=5, pieces=2),), classes=4, norm=norm)
    preprocess = Preprocess(torch.tensor([100.0, 110, 120])[:, None, None], torch.tensor([50.0, 60, 70])[:, None, None])
    deployed = Deployed(network_of(net), preprocess).eval()
    file = onnx_file(deployed, net.input)
    onnx.checker.check_model(onnx.load(io.BytesIO(file)))
    pixels = torch.rand(5, 3, 11, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert np.abs(OnnxModel(file)(pixels.numpy()) - deployed(pixels).numpy()).max() <= TOLERANCE


@pytest.mark.parametrize(("pieces", "norm"), [(1, "batch"), (2, "none"), (2, "batch")])
def test_students_with_shortcuts(pieces: int, norm: Literal["none", "batch"]) -> None:
    net = Net.staged((3, 12, 10), 4, ((4, 4), (6, 6, 8)), pieces=pieces, norm=norm, shortcuts=True)
    deployed = Deployed(network_of(net), Preprocess(torch.zeros(1), torch.full((1,), 255.0))).eval()
    file = onnx_file(deployed, net.input)
    onnx.checker.check_model(onnx.load(io.BytesIO(file)))
    pixels = torch.rand(5, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    plain = Network(Net.staged((3, 12, 10), 4, ((4, 4), (6, 6, 8)), pieces=pieces, norm=norm)).eval()
    plain.load_state_dict(deployed.network.state_dict())
    with torch.no_grad():
        assert np.abs(OnnxModel(file)(pixels.numpy()) - deployed(pixels).numpy()).max() <= TOLERANCE
        assert float((plain(pixels) - deployed(pixels)).abs().max()) > 0.01, "the shortcuts are felt"


def test_untied_biases_and_a_sigmoid_output() -> None:
    net = Net.staged((1, 8, 8), 2, ((4,), (6,))).changed(biases="untied", output="sigmoid")
    deployed = Deployed(network_of(net), Preprocess(torch.zeros(1), torch.full((1,), 255.0))).eval()
    pixels = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    logits = OnnxModel(onnx_file(deployed, net.input))(pixels.numpy())
    assert logits.shape == (5, 2) and not logits[:, 0].any()
    with torch.no_grad():
        assert np.abs(logits - deployed(pixels).numpy()).max() <= TOLERANCE


@pytest.mark.parametrize("normalisation", ["whiten", "local_contrast"])
def test_a_normalising_student_holds_its_normalisation(normalisation: str) -> None:
    plain = Data(name="digits")
    images, raw = load(plain.changed(**{normalisation: True}), Path("nowhere")), load(plain, Path("nowhere"))
    network = network_of(STUDENT)
    deployed = Deployed(network, images.preprocess).eval()
    checked = check(OnnxModel(onnx_file(deployed, images.shape)), deployed, raw.val)
    assert checked.onnx_accuracy == accuracy(network, images, images.val)
    with pytest.raises(ValueError, match="whitened images are not pixels any more"):
        check(OnnxModel(onnx_file(deployed, images.shape)), deployed, images.val)


def test_weights_come_back_as_they_were() -> None:
    network = network_of(TEACHER.net)
    again = restored(TEACHER.net, save(network.state_dict()))
    assert state_hash(again) == state_hash(network)
    assert not again.training
    x_BCHW = random_images((3, 1, 8, 8))
    with torch.no_grad():
        assert torch.equal(again(x_BCHW), network(x_BCHW))


def test_a_file_that_says_something_else_is_not_shipped(digits: Images, model: tuple[OnnxModel, Deployed]) -> None:
    other = Deployed(network_of(TEACHER.net), digits.preprocess).eval()
    with pytest.raises(
        InputError, match=r"differ from torch's by [\d.]+, more than .* of the largest logit .*: .*update onnx"
    ):
        check(model[0], other, Split(digits.val.pixels_NHWC[:8], digits.val.label_N[:8]))


class Answers(OnnxModel):
    """An exported file that gives these logits BK for any images."""

    def __init__(self, logits_BK: NDArray[np.float32]) -> None:
        self.threads, self.logits_BK = 1, logits_BK

    def __call__(self, pixels_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.logits_BK


class Constant(torch.nn.Module):
    """A network that gives these logits BK for any images."""

    def __init__(self, logits_BK: NDArray[np.float32]) -> None:
        super().__init__()
        self.logits_BK = torch.from_numpy(logits_BK)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.logits_BK


def compared(digits: Images, theirs: list[float], ours: list[float]) -> Check:
    """The check of a file that answers `ours` where torch answers `theirs`, on one image."""
    torch_BK, onnx_BK = (np.array([logits], dtype=np.float32) for logits in (theirs, ours))
    split = Split(digits.val.pixels_NHWC[:1], digits.val.label_N[:1])
    return check(Answers(onnx_BK), Deployed(Constant(torch_BK), digits.preprocess), split)


def test_logits_that_are_not_finite_are_not_shipped(digits: Images) -> None:
    for wrong in (np.nan, np.inf):
        for theirs, ours in (([1.0, 2.0], [1.0, wrong]), ([1.0, wrong], [1.0, 2.0]), ([1.0, wrong], [1.0, wrong])):
            with pytest.raises(InputError, match="differ from torch's by"):
                compared(digits, theirs, ours)


def test_large_logits_are_compared_by_their_own_scale(digits: Images, teacher: Teacher) -> None:
    network = restored(TEACHER.net, save(state(teacher.network.network)))
    with torch.no_grad():
        for parameter in network.layers[-1].parameters():
            parameter.mul_(1e4)
    deployed = Deployed(network, digits.preprocess).eval()
    checked = check(OnnxModel(onnx_file(deployed, digits.shape)), deployed, digits.val)
    assert checked.largest_difference > TOLERANCE, "the limit must not be absolute"
    assert checked.onnx_accuracy == checked.torch_accuracy > 0.5
    assert compared(digits, [1e6, 0.0], [1e6 + 90, 0.0]).largest_difference == 90
    with pytest.raises(
        InputError, match=r"by 1.1e\+02, more than 1e\+02 \(0.0001 of the largest logit on 1 images, 1e\+06"
    ):
        compared(digits, [1e6, 0.0], [1e6 + 110, 0.0])
    with pytest.raises(InputError, match="differ from torch's by 5e-05"):
        compared(digits, [1e-3, 0.0], [1e-3 + 5e-5, 0.0])


def test_another_class_is_shipped_only_where_torch_is_undecided(digits: Images) -> None:
    tied = compared(digits, [100.0, 100.004], [100.006, 100.004])
    assert tied.largest_difference == pytest.approx(0.006, rel=0.01)
    with pytest.raises(InputError, match=r"another class than torch .* 0.016 apart .* more than 0.01 "):
        compared(digits, [100.0, 100.016], [100.009, 100.008])


def test_latency_is_measured_one_image_at_a_time(digits: Images, model: tuple[OnnxModel, Deployed]) -> None:
    latency = model[0].latency(digits.shape, runs=30)
    assert (latency.threads, latency.runs) == (1, 30)
    assert 0 < latency.p50_ms <= latency.p90_ms < 1000
