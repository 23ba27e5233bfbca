"""What a worker times for the forecast: the step that is trained, and no other."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fitnets.config import Distill
from fitnets.distill.losses import kd_loss
from fitnets.training.run import Run
from search.driver.forecast import hint_work
from search.workers import trainer
from search.workers.trainer import Trainer
from tests.helpers import RECIPE, STUDENT, STUDY, TEACHER


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """The digits, in this process."""
    return Trainer(STUDY.data, "nowhere", str(tmp_path_factory.mktemp("store")), "cpu", None)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_the_step_that_is_timed_is_that_of_stage_2(
    opened: Trainer, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """The training's own optimiser, weights in channels-last order, views of the batch, and the loss with a table."""
    runs: list[Run] = []
    shapes: set[tuple[Any, ...]] = set()

    def kept(*arguments: Any) -> Run:
        runs.append(Run(*arguments))
        return runs[-1]

    def seen(student_BK: Tensor, teacher_BK: Tensor, label_B: Tensor, lam: float, distill: Distill) -> Tensor:
        shapes.add((tuple(student_BK.shape), tuple(teacher_BK.shape), teacher_BK.dtype, tuple(label_B.shape), lam))
        return kd_loss(student_BK, teacher_BK, label_B, lam, distill)

    monkeypatch.setattr(trainer, "Run", kept)
    monkeypatch.setattr(trainer, "kd_loss", seen)
    training = STUDY.stage2.changed(optimizer=optimizer, batch=32)
    speed = opened.measure(STUDENT, training, "float32", Distill(lambda_start=3.0))
    (timed,) = runs
    assert type(timed.optimizer) is type(Run(timed.module, training).optimizer)
    assert all(group.get("fused", True) for group in timed.optimizer.param_groups)
    filters = [weight for weight in timed.module.parameters() if weight.ndim == 4 and weight.shape[1] > 1]
    assert filters and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in filters)
    assert shapes == {((32, 10), (32, 10), torch.float16, (32,), 3.0)}
    assert 0 < speed.forward < 1 and 0 < speed.train_step < 1


def test_a_teachers_step_is_on_the_labels_alone(opened: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(trainer, "kd_loss", never)
    assert opened.measure(STUDENT, STUDY.stage2.changed(batch=10_000), "float32").train_step > 0


def test_a_large_teacher_trains_on_all_free_cores_and_a_small_one_on_one(
    opened: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of threads is what it was before, afterwards."""
    seen: list[int] = []

    def noted(*arguments: Any) -> list[Any]:
        seen.append(torch.get_num_threads())
        return []

    monkeypatch.setattr("search.workers.trainer.train.trained", noted)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        list(opened.train_teacher(TEACHER, 2))
        monkeypatch.setattr(trainer, "THREADED_MACS", 1)
        list(opened.train_teacher(TEACHER, 2))
        list(opened.train_teacher(TEACHER))
        assert (seen, torch.get_num_threads()) == ([1, 2, 1], 1)
    finally:
        torch.set_num_threads(before)


def test_the_tables_that_a_store_has_are_those_that_the_forecast_counts(opened: Trainer) -> None:
    epochs = [1, 2]
    none = opened.stored_tables(TEACHER, "float32", epochs)
    assert none == frozenset(), "the teacher is not trained"
    for _ in opened.train_teacher(TEACHER):
        pass
    opened.open_teacher(TEACHER, None)
    assert opened.stored_tables(TEACHER, "float32", epochs) == none
    opened.trained(RECIPE)
    found = opened.stored_tables(TEACHER, "float32", epochs)
    shapes = {(1, (4, 4)), (2, (2, 2)), (3, (1, 1)), None}
    assert found == {(epoch, table) for epoch in epochs for table in shapes}
    images = len(opened.images.train)
    assert hint_work([RECIPE], images, TEACHER.net, opened.images.data, found) == (0, 0.0, 0.0)
    assert opened.stored_tables(TEACHER, "float32", [3]) == opened.stored_tables(TEACHER, "bf16", epochs) == none
    opened.store.remove("logits", opened.store.names("logits")[0])
    assert len(found - opened.stored_tables(TEACHER, "float32", epochs)) == 1, "a chunk is missing"
