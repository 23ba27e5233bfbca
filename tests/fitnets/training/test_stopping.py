"""When a training stops and whose weights go on: the rule, and trainings whose measures are scripted."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fitnets.config import Report, Training
from fitnets.training.checkpoints import Checkpoints
from fitnets.training.loop import reported
from fitnets.training.run import Run
from fitnets.training.stopping import best, chosen_epoch, is_over

CPU = torch.device("cpu")
TRAINING = Training(epochs=8, lr=0.1, batch=4, optimizer="sgd", momentum=0.0, schedule="constant")
MEASURES = (0.1, 0.5, 0.4, 0.5, 0.3, 0.6, 0.2, 0.1)


@pytest.mark.parametrize(
    ("rule", "trained", "taken"),
    [
        ({}, 8, 8),
        ({"keep": "best"}, 8, 6),
        ({"patience": 2, "keep": "best"}, 4, 2),
        ({"patience": 2}, 4, 4),
        ({"patience": 3, "keep": "best"}, 5, 2),
        ({"patience": 4, "keep": "best"}, 8, 6),
        ({"until": 3}, 3, 3),
        ({"until": 3, "keep": "best"}, 3, 2),
        ({"until": 30}, 8, 8),
    ],
)
def test_a_training_stops_and_keeps_as_its_rule_says(rule: dict[str, object], trained: int, taken: int) -> None:
    """To equal the best is no improvement: epoch 4 does not restart the count."""
    training = TRAINING.changed(**rule)
    module = nn.Linear(1, 1, bias=False).double()
    seen: list[float] = []

    def epoch_loss(epoch: int) -> Callable[[Tensor], Tensor]:
        return lambda index_B: (module.weight - 1).square().sum()

    def score(epoch: int) -> dict[str, float]:
        seen.append(float(module.weight.detach()))
        return {"val_accuracy": MEASURES[epoch - 1]}

    run, checkpoints = Run(module, training), Checkpoints(None, "run")
    stream = reported("stage 2", run, epoch_loss, score, checkpoints, num_images=8, seed=0, device=CPU)
    reports = list(stream)
    assert len(reports) == len(seen) == trained
    assert len(set(seen)) == trained, "every epoch moved the weight"
    assert float(module.weight.detach()) == seen[taken - 1]
    assert {report.epochs for report in reports} == {training.last}
    assert chosen_epoch(training, MEASURES[:trained]) == taken


def by_counting_down(measures: list[float], patience: int) -> int:
    """pylearn2's criterion: a count falls with every epoch without improvement, and starts again with each one."""
    lowest, count = float("inf"), patience
    for epoch, measure in enumerate(measures, start=1):
        if -measure < lowest:
            lowest, count = -measure, patience
        else:
            count -= 1
        if count <= 0:
            return epoch
    return len(measures)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=30), st.integers(1, 6))
def test_patience_is_pylearn2s_count(measures: list[float], patience: int) -> None:
    training = Training(epochs=len(measures), lr=0.1, patience=patience)
    stops = next(n for n in range(1, len(measures) + 1) if is_over(training, measures[:n]))
    assert stops == by_counting_down(measures, patience)
    assert not is_over(training, [])
    assert measures[best(measures) - 1] == max(measures)


def test_a_stage_is_judged_by_its_own_measure() -> None:
    report = Report(stage="stage 1", epoch=1, epochs=1, loss=1.0, hint_r2=-0.5, seconds=0.0)
    assert report.measure == -0.5
    assert Report(stage="stage 2", epoch=1, epochs=1, loss=1.0, val_accuracy=0.25, seconds=0.0).measure == 0.25
