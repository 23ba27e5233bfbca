"""Regressors and targets: shapes, the paper's kernels, and a loss that is 1 - R2."""

from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fitnets.config import Hint
from fitnets.distill.losses import hint_loss
from fitnets.distill.regressor import Regressor, Target, can_centre
from fitnets.images.images import Split
from fitnets.teacher.hints import SAMPLE_SIZE, pooled, sample
from fitnets.values.table_sizes import meeting_map
from tests.helpers import REFERENCE, random_images

KINDS = ["paper", "linear", "normalised"]
SIDES = st.integers(1, 9)


@settings(max_examples=80)
@given(
    guided=st.tuples(st.integers(1, 5), SIDES, SIDES),
    hint=st.tuples(st.integers(1, 5), SIDES, SIDES),
    kind=st.sampled_from(KINDS),
    pieces=st.integers(1, 3),
)
def test_prediction_and_target_meet_for_every_pair(
    guided: tuple[int, int, int], hint: tuple[int, int, int], kind: str, pieces: int
) -> None:
    regressor = Regressor(guided, hint, kind, pieces)
    predicted, wanted = regressor(torch.ones(3, *guided)), Target()(pooled(torch.ones(3, *hint), regressor.out))
    assert predicted.shape == wanted.shape == (3, hint[0], min(guided[1], hint[1]), min(guided[2], hint[2]))
    hint_loss(predicted, wanted, scale="r2").backward()
    assert all(p.grad is not None for p in regressor.parameters())


@pytest.mark.parametrize(
    "spec",
    [*REFERENCE["datasets"]["cifar10"]["students"].values(), REFERENCE["datasets"]["mnist"]["student"]],
    ids=lambda spec: str(spec["hint"]["guided_map"]),
)
def test_the_papers_kernels(spec: dict[str, Any]) -> None:
    pair = spec["hint"]
    (c, rows, columns), (d, hint_rows, hint_columns) = pair["guided_map"], pair["hint_map"]
    regressor = Regressor((c, rows, columns), (d, hint_rows, hint_columns), "paper", 2)
    assert regressor.conv.kernel_size == (pair["regressor_kernel"],) * 2
    assert regressor.conv.padding == (0, 0)
    assert regressor.conv.weight.shape[0] == 2 * d
    assert regressor.out == (hint_rows, hint_columns)


def test_the_papers_regressor_ends_in_the_hint_layers_nonlinearity() -> None:
    x = random_images((2, 3, 5, 5))
    maxout = Regressor((3, 5, 5), (4, 4, 4), "paper", 3)
    assert torch.allclose(maxout(x), maxout.conv(x).reshape(2, 3, 4, 4, 4).amax(1), atol=1e-6)
    relu = Regressor((3, 5, 5), (4, 4, 4), "paper", 1)
    assert torch.equal(relu(x), relu.conv(x).clamp_min(0))


def test_pooling_before_the_linear_regressor_equals_pooling_after_it() -> None:
    regressor = Regressor((3, 8, 8), (5, 3, 2), "linear", 2)
    x = random_images((2, 3, 8, 8))
    assert torch.allclose(regressor(x), F.adaptive_avg_pool2d(regressor.conv(x), (3, 2)), atol=1e-6)


def test_normalised_predictions_have_unit_channels() -> None:
    regressor = Regressor((3, 8, 8), (5, 8, 8), "normalised", 2)
    out = regressor(random_images((64, 3, 8, 8)))
    assert torch.allclose(out.mean((0, 2, 3)), torch.zeros(5), atol=1e-5)
    assert torch.allclose(out.std((0, 2, 3)), torch.ones(5), atol=1e-2)
    assert [name for name, _ in regressor.named_parameters()] == ["conv.weight", "conv.bias"]


def test_meeting_map_is_the_smaller_along_each_axis() -> None:
    assert meeting_map((9, 8, 3), (9, 4, 6)) == (4, 3)


@pytest.mark.parametrize(("hint", "out"), [((4, 8, 8), (8, 8)), ((4, 8, 8), (3, 3))])
def test_calibrated_targets_are_standardised_per_channel(hint: tuple[int, int, int], out: tuple[int, int]) -> None:
    scale = torch.tensor([0.1, 1.0, 10.0, 100.0])[:, None, None]
    x = random_images((200, *hint)) * scale + 3 * scale
    x, target = pooled(x, out), Target()
    target.measure(x, centre=True)
    standard = target(x)
    assert torch.allclose(standard.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(standard.std((0, 2, 3)), torch.ones(4), atol=1e-3)
    by_mean = hint_loss(torch.zeros_like(standard), standard, scale="r2")
    assert float(by_mean) == pytest.approx(1.0, abs=1e-3), "predicting the channel means is an R2 of 0"


def test_a_target_for_a_relu_regressor_stays_positive() -> None:
    x = random_images((50, 3, 4, 4)).clamp_min(0)
    target = Target()
    target.measure(x, centre=False)
    assert float(target(x).min()) == 0.0
    assert torch.allclose(target(x).std((0, 2, 3)), torch.ones(3), atol=1e-3)


def test_a_dead_channel_does_not_divide_by_zero() -> None:
    x = torch.zeros(10, 2, 3, 3)
    target = Target()
    target.measure(x, centre=True)
    assert torch.equal(target(x), x)


def test_a_channel_that_is_silent_where_it_is_measured_does_not_drown_the_others_later() -> None:
    seen, later = random_images((64, 2, 3, 3)), random_images((64, 2, 3, 3))
    seen[:, 1] = 0
    target = Target()
    target.measure(seen, centre=True)
    loud, silent = target(later).square().mean((0, 2, 3))
    assert silent / loud < 2


def test_the_images_that_a_hint_is_measured_over_are_of_all_classes_though_files_come_class_by_class() -> None:
    num = 5 * SAMPLE_SIZE + 7
    split = Split(torch.arange(num).view(num, 1, 1, 1), torch.arange(num) * 10 // num)
    few = sample(split)
    assert len(few) == SAMPLE_SIZE
    assert torch.equal(few.pixels_NHWC.flatten() * 10 // num, few.label_N)
    shares = few.label_N.bincount() / SAMPLE_SIZE
    assert shares.numel() == 10
    assert (shares - 0.1).abs().max() < 0.002


def test_few_images_are_all_taken() -> None:
    split = Split(torch.zeros(SAMPLE_SIZE, 1, 1, 1), torch.arange(SAMPLE_SIZE))
    assert sample(split) is split


def test_an_uncalibrated_target_is_the_hint_itself() -> None:
    x = random_images((4, 3, 5, 5))
    assert torch.equal(Target()(x), x)


@pytest.mark.parametrize(
    ("regressor", "pieces", "centred"), [("paper", 1, False), ("paper", 2, True), ("linear", 1, True)]
)
def test_only_a_relu_regressor_leaves_the_mean(
    regressor: Literal["paper", "linear"], pieces: int, centred: bool
) -> None:
    assert can_centre(Hint(hint=1, guided=1, regressor=regressor), pieces) == centred
