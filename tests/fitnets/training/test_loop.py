"""The training loop: what it steps on, how it counts, and how it stops."""

import math

import pytest
import torch
from torch import Tensor, nn

from fitnets.config import Training
from fitnets.errors import Diverged
from fitnets.training.loop import Epoch, fit
from fitnets.training.optim import lr_at
from fitnets.training.run import Run

CPU = torch.device("cpu")
TRAINING = Training(epochs=3, lr=0.1, batch=4, optimizer="sgd", momentum=0.0, schedule="cosine")


class Point(nn.Module):
    """One number that is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(1, 1))


def run(module: Point, training: Training, images: int = 12, seed: int = 0) -> tuple[list[Epoch], list[list[int]]]:
    """Pull x towards 1, and remember the batches."""
    batches: list[list[int]] = []

    def epoch_loss(epoch: int):  # type: ignore[no-untyped-def]
        def loss(index_B: Tensor) -> Tensor:
            batches.append(index_B.tolist())
            return (module.x - 1).square().sum()

        return loss

    return list(fit(Run(module, training), epoch_loss, num_images=images, seed=seed, device=CPU)), batches


def test_steps_are_gradient_descent_with_the_schedules_rate() -> None:
    module = Point()
    epochs, _ = run(module, TRAINING)
    x, losses = 0.0, []
    for step in range(9):
        losses.append((x - 1) ** 2)
        x -= lr_at(TRAINING, step // 3 + 1, step % 3, 3) * 2 * (x - 1)
    assert float(module.x.detach()) == pytest.approx(x, rel=1e-5)
    means = [sum(losses[i : i + 3]) / 3 for i in (0, 3, 6)]
    assert [epoch.loss for epoch in epochs] == pytest.approx(means, rel=1e-5)
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert all(epoch.seconds > 0 for epoch in epochs)


def test_every_epoch_has_another_order_and_every_seed_too() -> None:
    _, batches = run(Point(), TRAINING)
    assert [len(batch) for batch in batches] == [4] * 9
    orders = [[n for batch in batches[i : i + 3] for n in batch] for i in (0, 3, 6)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert run(Point(), TRAINING)[1] == batches
    assert run(Point(), TRAINING, seed=1)[1] != batches


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    epochs, batches = run(Point(), TRAINING, images=3)
    assert [sorted(batch) for batch in batches] == [[0, 1, 2]] * 3
    assert epochs[0].loss == pytest.approx(1.0)


def test_the_short_batch_is_dropped() -> None:
    _, batches = run(Point(), TRAINING, images=11)
    assert [len(batch) for batch in batches] == [4] * 6


def test_nothing_is_trained_beyond_the_epoch_that_was_asked_for() -> None:
    module = Point()
    steps: list[int] = []

    def epoch_loss(epoch: int):  # type: ignore[no-untyped-def]
        def loss(index_B: Tensor) -> Tensor:
            steps.append(epoch)
            return module.x.square().sum()

        return loss

    stream = fit(Run(module, TRAINING), epoch_loss, num_images=12, seed=0, device=CPU)
    assert steps == []
    next(stream)
    assert steps == [1, 1, 1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_told_with_its_epoch_and_the_remedy(value: float) -> None:
    module = Point()

    def epoch_loss(epoch: int):  # type: ignore[no-untyped-def]
        return lambda index_B: module.x.square().sum() + (value if epoch == 2 else 0.0)

    stream = fit(Run(module, TRAINING), epoch_loss, num_images=12, seed=0, device=CPU)
    assert next(stream).number == 1
    with pytest.raises(Diverged, match=rf"became {value} in epoch 2: lower the learning rate \(now 0.1\)"):
        next(stream)


def test_the_module_trains_even_if_the_caller_evaluated_it() -> None:
    """Evaluation between epochs must not leave batch normalisation frozen."""
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    modes: list[bool] = []
    x = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))

    def epoch_loss(epoch: int):  # type: ignore[no-untyped-def]
        def loss(index_B: Tensor) -> Tensor:
            modes.append(module.training)
            out: Tensor = module(x[index_B])
            return out.square().mean()

        return loss

    module.eval()
    for _ in fit(Run(module, TRAINING), epoch_loss, num_images=12, seed=0, device=CPU):
        pass
    assert all(modes) and len(modes) == 9
