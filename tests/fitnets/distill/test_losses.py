"""The losses against numpy, with the traps of temperature and reduction."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fitnets.config import Distill
from fitnets.distill.losses import hint_loss, kd_loss, lambda_at
from tests.helpers import random_images

Array = NDArray[np.float64]


def softmax(logits: Array) -> Array:
    """The plain definition."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    quotient: Array = powers / powers.sum(1, keepdims=True)
    return quotient


def kd_by_numpy(student: Array, teacher: Array, labels: NDArray[np.int64], lam: float, distill: Distill) -> float:
    """Eq. 2, image by image."""
    total = 0.0
    own, soft = softmax(student), softmax(teacher / distill.tau)
    guess = softmax(student / distill.tau) if distill.soften_student else own
    for row, label in enumerate(labels):
        hard = -np.log(own[row, label])
        mimic = -sum(soft[row, k] * np.log(guess[row, k]) for k in range(student.shape[1]))
        total += hard + lam * (distill.tau**2 if distill.tau_squared else 1.0) * mimic
    return total / len(labels)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1000),
    batch=st.integers(1, 9),
    classes=st.integers(2, 12),
    tau=st.floats(1.0, 20.0),
    lam=st.floats(0.0, 10.0),
    tau_squared=st.booleans(),
    soften=st.booleans(),
)
def test_kd_loss_is_eq_2(
    seed: int, batch: int, classes: int, tau: float, lam: float, tau_squared: bool, soften: bool
) -> None:
    generator = np.random.default_rng(seed)
    student, teacher = 3 * generator.standard_normal((2, batch, classes))
    labels = generator.integers(0, classes, batch)
    distill = Distill(tau=tau, tau_squared=tau_squared, soften_student=soften)
    loss = kd_loss(torch.tensor(student), torch.tensor(teacher), torch.tensor(labels), lam, distill)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(kd_by_numpy(student, teacher, labels, lam, distill), rel=2e-5, abs=1e-5)


def test_known_values() -> None:
    """Equal logits everywhere: every cross-entropy is log K, whatever tau is."""
    flat, label = torch.zeros(4, 10), torch.arange(4)
    log10 = float(np.log(10))
    plain = Distill(tau=4.0, tau_squared=False)
    assert float(kd_loss(flat, flat, label, 2.0, plain)) == pytest.approx(3 * log10, rel=1e-6)
    assert float(kd_loss(flat, flat, label, 2.0, Distill(tau=4.0))) == pytest.approx(33 * log10, rel=1e-6)
    assert float(kd_loss(flat, flat, label, 0.0, plain)) == pytest.approx(log10, rel=1e-6)


def test_lambda_zero_is_plain_cross_entropy() -> None:
    student, teacher, label = random_images((6, 5)), random_images((6, 5), 1), torch.tensor([0, 1, 2, 3, 4, 0])
    wanted = torch.nn.functional.cross_entropy(student, label)
    assert torch.equal(kd_loss(student, teacher, label, 0.0, Distill()), wanted)


@pytest.mark.parametrize("lam", [0.0, 3.0])
def test_a_repeated_batch_has_the_same_loss(lam: float) -> None:
    """A sum where a mean belongs would double it."""
    student, teacher, label = random_images((6, 5)), random_images((6, 5), 1), torch.tensor([0, 1, 2, 3, 4, 0])
    one = kd_loss(student, teacher, label, lam, Distill())
    two = kd_loss(student.repeat(2, 1), teacher.repeat(2, 1), label.repeat(2), lam, Distill())
    assert float(one) == pytest.approx(float(two), rel=1e-6)


def test_tau_squared_keeps_the_gradients_size() -> None:
    """Hinton et al.: the soft term's gradient falls as 1/tau^2, which the factor undoes."""
    teacher, label = random_images((64, 10), 1), torch.zeros(64, dtype=torch.long)
    sizes = {}
    for squared in (True, False):
        for tau in (10.0, 20.0):
            student = random_images((64, 10)).requires_grad_()
            hard = kd_loss(student, teacher, label, 0.0, Distill())
            soft = kd_loss(student, teacher, label, 1.0, Distill(tau=tau, tau_squared=squared)) - hard
            (gradient,) = torch.autograd.grad(soft, student)
            sizes[squared, tau] = float(gradient.norm())
    assert sizes[True, 20.0] / sizes[True, 10.0] == pytest.approx(1.0, abs=0.1)
    assert sizes[False, 20.0] / sizes[False, 10.0] == pytest.approx(0.25, abs=0.03)


def test_the_soft_terms_gradient_vanishes_at_the_teacher() -> None:
    """Cross-entropy has KL's gradient: none where the student agrees with the teacher."""
    teacher, label = random_images((8, 10), 1), torch.zeros(8, dtype=torch.long)
    student = teacher.clone().requires_grad_()
    soft = kd_loss(student, teacher, label, 1.0, Distill()) - kd_loss(student, teacher, label, 0.0, Distill())
    (gradient,) = torch.autograd.grad(soft, student)
    assert float(gradient.abs().max()) < 1e-6


def test_half_precision_logits_are_summed_in_float32() -> None:
    student, label = random_images((8, 10)), torch.zeros(8, dtype=torch.long)
    teacher = random_images((8, 10), 1).half()
    loss = kd_loss(student, teacher, label, 2.0, Distill())
    assert torch.equal(loss, kd_loss(student, teacher.float(), label, 2.0, Distill()))
    assert loss.dtype == torch.float32


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), shape=st.tuples(*[st.integers(1, 5)] * 4))
def test_hint_loss_is_eq_3(seed: int, shape: tuple[int, ...]) -> None:
    predicted, hint = np.random.default_rng(seed).standard_normal((2, *shape))
    pairs = list(zip(predicted, hint, strict=True))
    half_squares = [0.5 * sum((p - h) ** 2 for p, h in zip(a.flat, b.flat, strict=True)) for a, b in pairs]
    paper = hint_loss(torch.tensor(predicted), torch.tensor(hint), scale="paper")
    assert float(paper) == pytest.approx(float(np.mean(half_squares)), rel=1e-4)
    r2 = hint_loss(torch.tensor(predicted), torch.tensor(hint), scale="r2")
    assert float(r2) == pytest.approx(float(np.mean((predicted - hint) ** 2)), rel=1e-4)


@pytest.mark.parametrize("scale", ["paper", "r2", "released"])
def test_hint_loss_of_a_repeated_batch_is_the_same(scale: str) -> None:
    predicted, hint = random_images((3, 2, 4, 4)), random_images((3, 2, 4, 4), 1)
    one = hint_loss(predicted, hint, scale=scale)
    two = hint_loss(predicted.repeat(2, 1, 1, 1), hint.repeat(2, 1, 1, 1), scale=scale)
    assert float(one) == pytest.approx(float(two), rel=1e-6)


def test_hint_loss_known_values() -> None:
    ones, zeros = torch.ones(5, 3, 2, 2), torch.zeros(5, 3, 2, 2)
    assert float(hint_loss(ones, zeros, scale="paper")) == 6.0
    assert float(hint_loss(ones, zeros, scale="r2")) == 1.0
    assert float(hint_loss(torch.ones(5, 3, 7, 2), torch.zeros(5, 3, 7, 2), scale="released")) == 3.5, "7 rows"


def test_the_released_codes_hint_loss_sums_over_rows_alone() -> None:
    predicted, hint = random_images((3, 2, 5, 4)), random_images((3, 2, 5, 4), 1)
    columns = [
        0.5 * sum(float(predicted[b, c, row, w] - hint[b, c, row, w]) ** 2 for row in range(5))
        for b in range(3)
        for c in range(2)
        for w in range(4)
    ]
    assert float(hint_loss(predicted, hint, scale="released")) == pytest.approx(sum(columns) / 24, rel=1e-5)


def test_lambda_runs_from_start_to_end_over_all_of_stage_2() -> None:
    distill = Distill(lambda_start=4.0, lambda_end=1.0)
    assert [lambda_at(epoch, 4, distill) for epoch in (1, 2, 3, 4)] == pytest.approx([4.0, 3.0, 2.0, 1.0])
    assert lambda_at(1, 1, distill) == 4.0


@settings(max_examples=40)
@given(start=st.floats(0, 10), end=st.floats(0, 10), epochs=st.integers(2, 300))
def test_lambda_ends_where_it_is_told_and_never_leaves_its_range(start: float, end: float, epochs: int) -> None:
    distill = Distill(lambda_start=start, lambda_end=end)
    values = [lambda_at(epoch, epochs, distill) for epoch in range(1, epochs + 1)]
    assert values[0] == start
    assert values[-1] == pytest.approx(end, abs=1e-9)
    assert all(min(start, end) - 1e-9 <= value <= max(start, end) + 1e-9 for value in values)
    steps = np.diff(values)
    assert np.allclose(steps, steps[0])


def test_the_released_codes_schedule_holds_and_saturates() -> None:
    distill = Distill(schedule="paper", hold=5, saturate=400)
    for epochs in (10, 500):  # it counts epochs, not shares of the length
        assert lambda_at(1, epochs, distill) == lambda_at(5, epochs, distill) == 4.0
        assert lambda_at(6, epochs, distill) == pytest.approx(4.0 - 3.0 / 395)
    assert lambda_at(400, 500, distill) == lambda_at(499, 500, distill) == 1.0
