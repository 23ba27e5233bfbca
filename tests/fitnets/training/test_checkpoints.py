"""Checkpoints: a run that is broken off anywhere ends in the numbers of one that is not, bit for bit."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fitnets.config import Hint, Recipe, Report, Result, Training
from fitnets.disk.store import Store
from fitnets.distill import stages
from fitnets.distill.run import distill, run_key
from fitnets.errors import Diverged
from fitnets.images.images import Images, load
from fitnets.paper.alternatives import joint_kd, labels_then_kd
from fitnets.teacher import opening, train
from fitnets.teacher.teacher import Teacher
from fitnets.training import checkpoints
from fitnets.training.checkpoints import KIND
from fitnets.training.loop import Epoch, fit
from fitnets.training.run import Run
from fitnets.values.net import Net
from fitnets.values.updates import Dropout, ExponentialDecay, LrScale, MaxNorm, Ramp
from search.workers.trainer import Trainer
from tests.helpers import DIGITS, RECIPE, ROOT, SHORT, TEACHER, ended, numbers, state_hash

CPU = torch.device("cpu")
LONG = SHORT.changed(epochs=4)
PATIENT = SHORT.changed(epochs=8, lr=0.06, schedule="constant", patience=1, keep="best")
RECIPES = {
    "adamw": RECIPE.changed(stage1=LONG.changed(epochs=3), stage2=LONG.changed(weight_decay=0.1)),
    "sgd": RECIPE.changed(
        student=Net.staged((1, 8, 8), 10, ((6, 6), (8,)), norm="batch"),
        hint=Hint(hint=2, guided=2, regressor="normalised"),
        stage1=LONG.changed(optimizer="sgd", lr=1e-2),
        stage2=LONG.changed(optimizer="sgd", lr=1e-2),
    ),
    "muon, shortcuts": RECIPE.changed(
        student=Net.staged((1, 8, 8), 10, ((6, 6), (8, 8)), pieces=1, norm="batch", shortcuts=True),
        hint=Hint(hint=2, guided=2, regressor="normalised"),
        stage1=LONG.changed(optimizer="muon", lr=0.1, schedule="linear"),
        stage2=LONG.changed(optimizer="muon", lr=0.1, schedule="linear", lr_scale=LrScale(conv=1.0, guided=0.25)),
    ),
    "no momentum": RECIPE.changed(
        stage1=SHORT.changed(optimizer="sgd", momentum=0.0), stage2=SHORT.changed(optimizer="sgd", momentum=0.0)
    ),
    "rmsprop": RECIPE.changed(
        hint=Hint(hint=2, guided=2, regressor="paper", scale="paper"),
        stage1=LONG.changed(optimizer="rmsprop", lr=5e-4, schedule="constant"),
        stage2=LONG.changed(optimizer="rmsprop", lr=5e-4, schedule="constant"),
        init="uniform",
        init_range=0.05,
    ),
    "plain": RECIPE.without_hints().changed(stage2=LONG),
    "the paper's updates": RECIPE.changed(
        stage1=SHORT.changed(optimizer="sgd", nesterov=False, momentum=0.5, momentum_ramp=Ramp(to=0.7, by=3)),
        stage2=LONG.changed(
            optimizer="sgd", nesterov=False, lr=0.1, momentum=0.5, momentum_ramp=Ramp(to=0.7, by=3), max_norm=MaxNorm(),
            schedule=ExponentialDecay(divisor=1.01), lr_scale=LrScale(guided=0.5),
        ),
    ),
    "best, and patience": RECIPE.changed(stage1=PATIENT, stage2=PATIENT),
    "retrained": RECIPE.changed(stage1=SHORT, stage2=PATIENT.changed(epochs=3), retrain=True),
    "a label hint": labels_then_kd(RECIPE.changed(stage2=PATIENT.changed(epochs=3))),
    "a joint label hint": joint_kd(RECIPE.changed(stage2=LONG)),
}  # fmt: skip


@pytest.fixture
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of milliseconds have their checkpoints too."""
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", float("inf"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def broken_off(start: Callable[[], Generator[Report, None, Any]], epochs: int) -> list[list[Report]]:
    """What each start tells of a run that dies after every epoch that it trains, until nothing is left to train."""
    reports: list[list[Report]] = []
    for _ in range(epochs):
        stream, heard = start(), list[Report]()
        while not heard or heard[-1].replayed:
            heard.append(next(stream))
        stream.close()
        reports.append(heard)
    return reports


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_dies_after_every_epoch_equals_one_that_does_not(
    digits: Images, teacher: Teacher, store: Store, name: str
) -> None:
    recipe = RECIPES[name]
    whole, result = ended(distill(recipe, digits, teacher, None))
    reports = broken_off(lambda: distill(recipe, digits, teacher, store), len(whole))
    for done, heard in enumerate(reports):
        assert numbers(heard) == numbers(whole[: done + 1])
        assert [report.replayed for report in heard] == [True] * done + [False], "each start trains one epoch only"
        assert [r.seconds for r in heard[:-1]] == [r.seconds for r in reports[-1][: len(heard) - 1]], "as first told"
    last, resumed = ended(distill(recipe, digits, teacher, store))
    assert all(report.replayed for report in last) and numbers(last) == numbers(whole)
    assert resumed.weights == result.weights
    assert resumed.outcome.changed(seconds=0.0) == result.outcome.changed(seconds=0.0)
    assert resumed.outcome.seconds == sum(heard[-1].seconds for heard in reports), "of all its parts"
    assert store.names(KIND) == [], "nothing is kept of a run that has ended"


TEACHERS = {
    "plain": TEACHER,
    "muon": TEACHER.changed(
        net=Net.staged((1, 8, 8), 10, ((8,), (12,)), pieces=1, norm="batch"),
        training=LONG.changed(optimizer="muon", lr=0.1, schedule="linear"),
    ),
    "dropout, the best epoch": TEACHER.changed(training=PATIENT.changed(epochs=4), dropout=Dropout(keep=0.8)),
    "retrained": TEACHER.changed(training=PATIENT.changed(epochs=3), retrain=True),
}


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_that_dies_after_every_epoch_equals_one_that_does_not(
    digits: Images, store: Store, tmp_path: Path, name: str
) -> None:
    settings, elsewhere = TEACHERS[name], Store(tmp_path / "elsewhere")
    whole = list(train.trained(settings, digits, elsewhere))
    heard: list[Report] = []
    while not train.is_trained(settings, digits, store):
        for report in train.trained(settings, digits, store):
            if not report.replayed:
                heard.append(report)
                break
    assert numbers(heard) == numbers(whole)
    ours, theirs = (opening.load(settings, digits, place) for place in (store, elsewhere))
    assert (ours.digest, ours.val_accuracy) == (theirs.digest, theirs.val_accuracy)
    assert state_hash(ours.network) == state_hash(theirs.network)
    assert store.names(KIND) == []


CHILD = """
import sys, torch
from pathlib import Path
from fitnets.teacher import opening
from fitnets.training import checkpoints
from fitnets.config import Recipe
from fitnets.images.images import load
from fitnets.distill.run import distill
from fitnets.disk.store import Store
from tests.helpers import DIGITS, TEACHER
torch.set_num_threads(1)
checkpoints.SECONDS, checkpoints.SHARE = 0.0, float("inf")
images = load(DIGITS, Path("nowhere"))
teacher = opening.load(TEACHER, images, Store(Path(sys.argv[1])))
for report in distill(Recipe.model_validate_json(sys.argv[3]), images, teacher, Store(Path(sys.argv[2]))):
    print(report.model_dump_json(), flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_what_another_goes_on_from(
    digits: Images, teacher: Teacher, shared_store: Store, store: Store
) -> None:
    """SIGKILL in the midst of stage 2, in a process that knows nothing of being killed."""
    recipe = RECIPE.changed(stage2=SHORT.changed(epochs=20))
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(shared_store.root), str(store.root), recipe.model_dump_json()],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    before = [Report.model_validate_json(process.stdout.readline()) for _ in range(6)]
    os.kill(process.pid, signal.SIGKILL)
    before += [Report.model_validate_json(line) for line in process.communicate()[0].splitlines() if line[-1] == "}"]
    assert process.returncode == -signal.SIGKILL
    assert 6 <= len(before) < 22, "it died within"

    after, resumed = ended(distill(recipe, digits, teacher, store))
    whole, result = ended(distill(recipe, digits, teacher, None))
    replayed = sum(report.replayed for report in after)
    assert len(before) <= replayed <= len(before) + 1, "an epoch that was told had been kept"
    assert numbers(after) == numbers(whole)
    assert after[: len(before)] == [report.changed(replayed=True) for report in before]
    assert resumed.weights == result.weights


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("damage", ["torn", "gone", "flipped"])
def test_a_damaged_checkpoint_is_as_good_as_none(digits: Images, teacher: Teacher, store: Store, damage: str) -> None:
    recipe = RECIPES["adamw"]
    (*_, second), (*_, third) = broken_off(lambda: distill(recipe, digits, teacher, store), 3)[1:]
    assert (second.epoch, third.epoch) == (2, 3)
    (name,) = store.names(KIND)
    file = store.folder(KIND, name) / "state.safetensors"
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-9] if damage == "torn" else content[:-9] + b"\x55" + content[-8:])
    reports, resumed = ended(distill(recipe, digits, teacher, store))
    assert not any(report.replayed for report in reports), "from its beginning"
    assert resumed.weights == ended(distill(recipe, digits, teacher, None))[1].weights


@pytest.mark.usefixtures("every_epoch")
def test_the_one_before_is_taken_where_it_is_still_there(
    digits: Images, teacher: Teacher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process leaves it that dies between writing a checkpoint and deleting the older; and then the disk tears."""
    recipe = RECIPES["plain"]
    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", lambda store, kind, name: None)
        stream = distill(recipe, digits, teacher, store)
        reports = [next(stream) for _ in range(3)]
        stream.close()
    assert len(store.names(KIND)) == 3
    newest = store.folder(KIND, store.names(KIND)[-1])
    (newest / "reports.json").write_bytes(b"[]")
    stream = distill(recipe, digits, teacher, store)
    again = [next(stream) for _ in range(3)]
    assert [report.replayed for report in again] == [True, True, False]
    assert numbers(again) == numbers(reports)
    assert len(store.names(KIND)) == 1
    stream.close()


def test_a_checkpoint_is_of_everything_that_the_run_depends_on(digits: Images, teacher: Teacher) -> None:
    def of(recipe: Recipe = RECIPE, data: Any = DIGITS, taught: Teacher = teacher) -> str:
        return run_key(recipe, load(data, Path("nowhere")), taught)

    other = Teacher(teacher.network, "other", *(getattr(teacher, name) for name in teacher.__slots__[2:]))
    keys = {
        of(),
        of(RECIPE.changed(seed=1)),
        of(RECIPE.changed(stage2=SHORT.changed(epochs=9))),
        of(data=DIGITS.changed(shift=2)),
        of(data=DIGITS.changed(flip=True)),
        of(data=DIGITS.changed(seed=1)),
        of(data=DIGITS.changed(limit=500)),
        of(taught=other),
    }
    assert len(keys) == 8
    assert of().startswith(f"{RECIPE.digest()}-"), "whoever knows the recipe finds its checkpoints"


@pytest.mark.usefixtures("every_epoch")
def test_a_run_that_began_under_other_code_starts_again(
    digits: Images, teacher: Teacher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other code may train to other numbers."""
    broken_off(lambda: distill(RECIPE, digits, teacher, store), 3)
    for report in train.trained(TEACHER, digits, store):
        assert not report.replayed
        break
    assert len(store.names(KIND)) == 2
    monkeypatch.setattr("fitnets.disk.store.code_version", lambda: "another")
    reports, _ = ended(distill(RECIPE, digits, teacher, store))
    assert not any(report.replayed for report in reports)
    assert not any(report.replayed for report in train.trained(TEACHER, digits, store))
    monkeypatch.undo()
    assert train.is_trained(TEACHER, digits, store), "what was trained to its end stays"


@pytest.mark.usefixtures("every_epoch")
def test_another_runs_checkpoint_is_not_taken(digits: Images, teacher: Teacher, store: Store) -> None:
    broken_off(lambda: distill(RECIPE, digits, teacher, store), 3)
    reports, _ = ended(distill(RECIPE.changed(seed=1), digits, teacher, store))
    assert not any(report.replayed for report in reports)
    assert len(store.names(KIND, RECIPE.digest())) == 1, "and it stays"


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("loss", ["hint_loss", "kd_loss"])
def test_nothing_is_kept_of_a_run_that_diverges(
    digits: Images, teacher: Teacher, store: Store, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    stream = distill(RECIPE, digits, teacher, store)
    next(stream)
    assert len(store.names(KIND)) == 1
    right = getattr(stages, loss)
    monkeypatch.setattr(stages, loss, lambda *given, **options: right(*given, **options) * float("nan"))
    with pytest.raises(Diverged):
        ended(stream)
    assert store.names(KIND) == []


@pytest.mark.usefixtures("every_epoch")
def test_an_epoch_whose_last_step_explodes_has_diverged(digits: Images, teacher: Teacher, store: Store) -> None:
    """Its loss, told before the step, is finite; the hint's R2, measured after it, is not."""
    hot = SHORT.changed(epochs=1, lr=1e30, batch=len(digits.train), optimizer="sgd", schedule="constant")
    with pytest.raises(Diverged, match=r"`hint_r2` became .* in epoch 1: lower the learning rate \(now 1e\+30\)"):
        ended(distill(RECIPE.changed(stage1=hot), digits, teacher, store))
    assert store.names(KIND) == []


def test_epochs_of_milliseconds_share_a_checkpoint_and_a_stages_end_has_its_own(
    digits: Images, teacher: Teacher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 1e6)
    seen = [store.names(KIND) for _ in distill(RECIPES["adamw"], digits, teacher, store, keep=True)]
    run = run_key(RECIPES["adamw"], digits, teacher)
    assert seen == [[]] * 3 + [[f"{run}-000003"]] * 4
    assert store.names(KIND) == [f"{run}-000007"]


def test_checkpoints_take_no_more_than_their_share_of_the_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of 3 s; writing takes 0.1 s, as on a slow disk: 5 s must lie between two, so that it is 2 %."""
    clock, writing, written = 0.0, 0.1, []

    def put(store: Store, kind: str, name: str, files: dict[str, bytes]) -> None:
        nonlocal clock
        clock += writing
        written.append(int(name[-6:]))

    monkeypatch.setattr("fitnets.training.checkpoints.time.monotonic", lambda: clock)
    monkeypatch.setattr(Store, "put", put)
    newest = checkpoints.Checkpoints(store, "run")
    run = Run(nn.Linear(1, 1), SHORT)
    for epoch in range(1, 10):
        clock += 3.0
        newest.add(run, Report(stage="stage 2", epoch=epoch, epochs=9, loss=1.0, seconds=3.0))
        if epoch == 5:
            writing = 0.001
    assert written == [1, 3, 5, 7, 8, 9]


@pytest.mark.usefixtures("every_epoch")
def test_a_full_disk_leaves_the_older_checkpoint_and_the_training_goes_on(
    digits: Images, teacher: Teacher, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = distill(RECIPES["plain"], digits, teacher, store)
    first = next(stream)
    before = store.names(KIND)

    def full(folder: Path, files: dict[str, bytes]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("fitnets.disk.store._write", full)
        more = [next(stream) for _ in range(2)]
    stream.close()
    assert "No space left on device" in caplog.text
    assert store.names(KIND) == before
    reports, _ = ended(distill(RECIPES["plain"], digits, teacher, store))
    assert [report.replayed for report in reports] == [True, False, False, False]
    assert numbers(reports[:3]) == numbers([first, *more])


@pytest.mark.usefixtures("every_epoch")
def test_a_run_that_goes_on_may_be_driven_as_ray_does_it(digits: Images, teacher: Teacher, store: Store) -> None:
    """Ray sends a value into a generator for each item that it takes."""
    broken_off(lambda: distill(RECIPE, digits, teacher, store), 2)
    stream: Generator[Report, Any, Result] = distill(RECIPE, digits, teacher, store)
    reports = [next(stream), *(stream.send("taken") for _ in range(3))]
    assert [report.replayed for report in reports] == [True, True, False, False]


def test_without_a_store_there_are_no_checkpoints(
    digits: Images, teacher: Teacher, monkeypatch: pytest.MonkeyPatch, every_epoch: None
) -> None:
    def written(*arguments: object) -> None:
        raise AssertionError("something was written")

    monkeypatch.setattr(Store, "put", written)
    reports, _ = ended(distill(RECIPE, digits, teacher, None, keep=True))
    assert [report.replayed for report in reports] == [False] * 4


def test_a_worker_keeps_a_finished_run_until_it_is_told_to_forget_it(digits: Images, tmp_path: Path) -> None:
    """A driver that died before it had the Result asks for the same recipe again; nothing is trained then."""

    def opened() -> Trainer:
        trainer = Trainer(DIGITS, "nowhere", str(tmp_path), "cpu", 1)
        list(trainer.train_teacher(TEACHER))
        trainer.open_teacher(TEACHER, None)
        return trainer

    worker = opened()
    got, result = ended(worker.train(RECIPE))
    again, same = ended(worker.train(RECIPE))
    elsewhere, equal = ended(opened().train(RECIPE))
    assert [report.changed(replayed=True) for report in got] == again == elsewhere
    assert result.weights == same.weights == equal.weights
    assert result.outcome == same.outcome == equal.outcome
    assert len(worker.store.names(KIND, RECIPE.digest())) == 1
    worker.forget(RECIPE)
    worker.forget(RECIPE)
    assert worker.store.names(KIND) == []


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_what_a_step_draws_is_the_same_after_a_restore(optimizer: str) -> None:
    """Dropout: its masks follow from the seed and the epoch, and nobody else's generator is touched."""
    training = Training.model_validate({"epochs": 4, "lr": 0.1, "batch": 4, "optimizer": optimizer})
    x = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))

    def started() -> tuple[Run, Callable[[], Iterator[Epoch]]]:
        torch.manual_seed(7)
        module = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        run = Run(module, training)
        settings: Any = {"num_images": 12, "seed": 3, "device": CPU}
        return run, lambda: fit(run, lambda epoch: lambda index_B: module(x[index_B]).square().mean(), **settings)

    whole, epochs = started()
    before = torch.get_rng_state()
    losses = [epoch.loss for epoch in epochs()]
    assert torch.equal(torch.get_rng_state(), before)
    held: dict[str, torch.Tensor] = {}
    for done in range(4):
        run, epochs = started()
        torch.manual_seed(1000 + done)
        if done:
            run.restore(done, held)
        assert next(iter(epochs())).loss == losses[done]
        held = run.tensors()
    expected = whole.tensors()
    assert held.keys() == expected.keys()
    assert all(torch.equal(held[name], expected[name]) for name in expected)
