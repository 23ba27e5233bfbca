"""A trial that goes wrong: what it is called, what is kept of it, and that the next one goes on. No Ray."""

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fitnets.config import Data, Outcome, Recipe, Report, Result
from fitnets.errors import Diverged, InputError
from search.workers.actor import Actor, Fault, Limits, memory_share, trainer
from search.workers.faults import describe, foreseen, over_time, spoils, why_died, without_numbers
from search.workers.logs import trained_epochs
from tests.helpers import RECIPE

Stream = Generator[Report, None, Result]
REPORT = Report(stage="stage 2", epoch=1, epochs=2, loss=0.5, val_accuracy=0.5, lam=1.0, seconds=0.1)
RESULT = Result(
    Outcome(
        val_accuracy=0.5,
        best_val_accuracy=0.5,
        hint_r2=None,
        seconds=0.2,
        weights_sha256="0",
        teacher="t",
        data="d",
        versions={},
    ),
    b"weights",
)


class Trainer:
    """Does what a test says."""

    def __init__(self, train: Callable[[], Stream]):
        self._train = train

    def train(self, recipe: Recipe) -> Stream:
        return (yield from self._train())


def well() -> Stream:
    yield REPORT
    yield REPORT.changed(epoch=2)
    return RESULT


def raising(error: BaseException) -> Callable[[], Stream]:
    """A trial that raises after its first epoch."""

    def train() -> Stream:
        yield REPORT
        raise error

    return train


def actor(train: Callable[[], Stream], logs: Path | None = None, seconds: int | None = None) -> Actor:
    made = Actor()
    made.trainer, made.limits = Trainer(train), Limits(None if logs is None else str(logs), seconds)
    return made


def never() -> bool:
    """No trial is stopped."""
    return False


def items(stream: Iterator[Report | Result | Fault | None]) -> list[Report | Result | Fault | None]:
    return list(stream)


class Mute(Exception):
    """A brought teacher's own exception, which fails when it is asked what happened."""

    def __str__(self) -> str:
        raise AttributeError("no detail")


def exhausted() -> BaseException:
    """What torch raises when the machine's memory does not suffice, for real."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    return caught.value


def too_large() -> BaseException:
    """What Python raises, for real."""
    with pytest.raises(MemoryError) as caught:
        bytearray(2**60)
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        (Diverged("the loss became nan in epoch 3: lower the learning rate."), "Diverged", "lower the learning rate"),
        (InputError("`x` is 3: choose 2."), "InputError", "choose 2"),
        (exhausted(), "OutOfMemory", "start fewer slots with --workers"),
        (too_large(), "OutOfMemory", "start fewer slots with --workers"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore"), "OutOfMemory", "`gpu_fraction`"),
        (KeyError("theirs"), "KeyError", "the trial's log has the traceback"),
        (SystemExit(3), "SystemExit", "the trial's log has the traceback"),
        (Mute(), "Mute", "its message cannot be read"),
    ],
)
def test_what_ends_a_trial_is_told_with_a_remedy_and_the_next_one_goes_on(
    error: BaseException, kind: str, remedy: str, tmp_path: Path
) -> None:
    worker = actor(raising(error), tmp_path)
    *before, fault = items(worker.train(7, RECIPE, never))
    assert before == [None, REPORT]
    assert isinstance(fault, Fault)
    assert fault.kind == kind
    assert remedy in fault.message
    assert "Traceback (most recent call last):" in fault.log
    assert type(error).__name__ in "\n".join(fault.log.splitlines()[-2:])
    assert trained_epochs(tmp_path / "7.log") == [("stage 2", 1)]
    worker.trainer = Trainer(well)
    assert items(worker.train(8, RECIPE, never)) == [None, REPORT, REPORT.changed(epoch=2), RESULT]
    assert (tmp_path / "8.log").read_text().splitlines()[-1].endswith("Z done")


def test_epochs_told_again_are_not_logged(tmp_path: Path) -> None:
    def train() -> Stream:
        yield REPORT.changed(replayed=True)
        yield REPORT.changed(epoch=2)
        return RESULT

    items(actor(train, tmp_path).train(0, RECIPE, never))
    assert trained_epochs(tmp_path / "0.log") == [("stage 2", 2)]


def test_a_trial_over_its_time_ends_after_its_epoch(tmp_path: Path) -> None:
    def slow() -> Stream:
        for epoch in range(1, 100):
            time.sleep(0.4)
            yield REPORT.changed(epoch=epoch, epochs=100)
        return RESULT

    *before, fault = items(actor(slow, tmp_path, seconds=1).train(0, RECIPE, never))
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.message) == over_time(1)
    assert "raise `search.run --trial-seconds`" in fault.message
    assert 2 <= len(before) <= 4, "None, then an epoch or two"


def test_what_a_trial_took_before_counts_as_its_time() -> None:
    def resumed() -> Stream:
        yield REPORT.changed(seconds=50.0, replayed=True)
        yield REPORT.changed(epoch=2, seconds=60.0, replayed=True)
        raise AssertionError("it is over its time")

    before, fault = items(actor(resumed, seconds=100).train(0, RECIPE, never))[1:]
    assert before == REPORT.changed(seconds=50.0, replayed=True)
    assert isinstance(fault, Fault) and fault.kind == "OverTime"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (
            "Diverged: the loss became nan in epoch 3 (now 0.01)",
            "Diverged: the loss became inf in epoch 12 (now 1e-3)",
            True,
        ),
        ("OutOfMemory: tried 2.00 GiB at 0x7fab", "OutOfMemory: tried 16 GiB at 0x8cde", True),
        ("KeyError: a", "KeyError: b", False),
        ("KeyError: a", "IndexError: a", False),
        ("E: information", "E: nanformation", False),
    ],
)
def test_failures_are_alike_when_only_their_numbers_differ(one: str, other: str, equal: bool) -> None:
    assert (without_numbers(one) == without_numbers(other)) == equal


def test_a_process_that_lost_its_gpu_is_known() -> None:
    assert spoils(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not spoils(torch.OutOfMemoryError("CUDA out of memory"))
    assert foreseen(RuntimeError("CUDA error: device-side assert triggered")) is None


def test_why_a_worker_is_gone_is_one_line() -> None:
    ours = "The actor died unexpectedly before finishing this task.\n\tpid: 1\nThe actor "
    assert why_died(f"{ours}died because its node has died. Node Id: e46c") == "its node died"
    assert why_died(f"{ours}is dead because its worker process has died. Worker exit type: X") == "its process died"
    assert why_died("something else\nand more") == "something else"
    assert describe(ValueError("")) == (
        "ValueError",
        "no message (the trial's log has the traceback: correct what it names)",
    )


def test_a_stopped_trial_ends_before_its_next_epoch_without_a_result(tmp_path: Path) -> None:
    reached, closed = 0, []

    def train() -> Stream:
        nonlocal reached
        try:
            for epoch in range(1, 9):
                reached = epoch
                yield REPORT.changed(epoch=epoch, epochs=8)
        finally:
            closed.append(True)
        return RESULT

    worker = actor(train, tmp_path, seconds=60)
    assert items(worker.train(7, RECIPE, lambda: reached == 3)) == [
        None,
        *(REPORT.changed(epoch=e, epochs=8) for e in (1, 2, 3)),
    ]
    assert (reached, closed) == (3, [True])
    assert (tmp_path / "7.log").read_text().splitlines()[-1].endswith("Z stopped")
    worker.trainer = Trainer(well)
    assert items(worker.train(8, RECIPE, never))[-1] == RESULT, "the process goes on"


@pytest.mark.parametrize(("share", "limits"), [(0.25, [memory_share(0.25, 80 * 2**30)]), (0.0, [])])
def test_a_worker_on_a_gpu_keeps_to_its_share_of_the_memory(
    share: float, limits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Any] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 * 2**30))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", done.append)
    monkeypatch.setattr("search.workers.trainer.Trainer", lambda *arguments: done.append(arguments[3:]))
    trainer(Data(name="digits"), "data", "store", share)
    assert done == [*limits, ("cuda", None) if share else ("cpu", 1)], "before it allocates anything"
