"""An ensemble as a study's teacher, from the study's file to the folder that `pick` writes."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from fitnets.config import Ensemble, Hint, Recipe, Training
from fitnets.disk.store import Store
from fitnets.images.images import accuracy, load, load_test
from fitnets.nets.cost import cost
from fitnets.teacher import opening
from search.driver.forecast import teacher_work
from search.read import layers
from search.read.reader import read
from search.storage.address import storage_url
from search.study import Staged, StagedEnsemble, Study
from search.workers.facts import Speed
from search.workers.trainer import Trainer
from tests.commands import Crew, invoke, study_file
from tests.helpers import DIGITS, STUDY, TEACHER

SHORT = Training(epochs=2, lr=5e-3, batch=64)
MEMBERS = (
    Staged(stages=((8,), (12,)), training=SHORT),
    Staged(stages=((12,), (12,), (8,)), training=SHORT.changed(epochs=3), seed=1),
)
ENSEMBLE_STUDY = STUDY.changed(name="together", trials=2, teacher=StagedEnsemble(members=MEMBERS))


def resolved(study: Study = ENSEMBLE_STUDY) -> Ensemble:
    """The ensemble for the digits."""
    teacher = study.resolved_teacher((1, 8, 8), 10)
    assert isinstance(teacher, Ensemble)
    return teacher


def test_a_study_is_searched_with_an_ensemble_and_a_student_is_picked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "search.workers.crew", types.SimpleNamespace(RayWorkers=Crew))
    file, runs, out = study_file(tmp_path, ENSEMBLE_STUDY), tmp_path / "runs", tmp_path / "picked"
    ran = invoke("run", file, "--runs", runs)
    assert ran.exit_code == 0, ran.output
    snapshot = read(storage_url(runs, None), "together")
    assert [c.state for c in snapshot.candidates] == ["complete", "complete"]
    images = load(ENSEMBLE_STUDY.data, Path("nowhere"))
    teacher = opening.load(resolved(), images, Store(runs / "store"))
    nets = [member.net for member in resolved().members]
    assert snapshot.teacher["teacher"] == teacher.digest
    assert snapshot.teacher["val_accuracy"] == accuracy(teacher.network, images, images.val)
    assert snapshot.teacher["params"] == sum(cost(net).params for net in nets)
    assert snapshot.teacher["macs"] == sum(cost(net).macs for net in nets)
    assert snapshot.teacher["peak_activation_bytes"] == max(cost(net).peak_activation_bytes for net in nets)
    recipe = snapshot.candidates[0].recipe
    assert isinstance(recipe, Recipe)
    shown = layers.teacher(snapshot, recipe.changed(hint=Hint(hint=2, guided=1)))
    assert [row.role for row in shown] == [None, "hint layer", None], "the first member gives the hints"
    picked = invoke("pick", file, "--max-params", "1M", "--runs", runs, "--out", out)
    assert picked.exit_code == 0, picked.output
    card = json.loads((out / "card.json").read_text())["teacher"]
    test = load_test(ENSEMBLE_STUDY.data, Path("nowhere"), images)
    assert card["digest"] == teacher.digest
    assert card["test_accuracy"] == accuracy(teacher.network, images, test)
    assert card["cost"]["params"] == snapshot.teacher["params"]


def test_every_members_files_reach_workers_that_see_another_disk(tmp_path: Path) -> None:
    here, there = (Trainer(ENSEMBLE_STUDY.data, "nowhere", str(tmp_path / name), "cpu", 1) for name in ("a", "b"))
    assert not here.has(resolved())
    epochs = [report.epoch for report in here.train_teacher(resolved())]
    assert epochs == [1, 2, 1, 2, 3]
    assert here.has(resolved()) and not there.has(resolved())
    files = [here.export_teacher(member) for member in resolved().members]
    assert there.open_teacher(resolved(), files) == here.open_teacher(resolved(), None)
    assert there.has(resolved())


def test_the_forecast_counts_every_members_epochs_that_are_left() -> None:
    first, second = resolved().members
    speeds = {
        first.net.digest(): Speed(train_step=3.0, forward=1.0),
        second.net.digest(): Speed(train_step=8.0, forward=2.0),
    }
    trained: list[str] = []
    crew: Any = types.SimpleNamespace(
        has=lambda teacher: teacher.digest() in trained,
        measure=lambda net, training, precision, whole_node: speeds[net.digest()],
    )
    assert teacher_work(resolved(), crew) == (5, Speed(train_step=(2 * 3.0 + 3 * 8.0) / 5, forward=3.0))
    trained.append(first.digest())
    assert teacher_work(resolved(), crew) == (3, Speed(train_step=8.0, forward=3.0))
    trained.append(second.digest())
    assert teacher_work(resolved(), crew)[0] == 0


LONGER = TEACHER.training.changed(epochs=TEACHER.training.epochs + 90)


def test_trained_members_are_a_teacher_too_and_equal_ones_are_refused() -> None:
    members = (TEACHER, TEACHER.changed(seed=1))
    study = STUDY.changed(teacher=Ensemble(members=members))
    assert Study.model_validate_json(study.model_dump_json()) == study
    assert resolved(study) == study.teacher
    quick = study.changed(teacher=Ensemble(members=(TEACHER, TEACHER.changed(training=LONGER)))).smoke().teacher
    assert isinstance(quick, Ensemble)
    assert [member.net for member in quick.members] == [TEACHER.net] * 2
    assert {member.training.epochs for member in quick.members} == {min(6, TEACHER.training.epochs)}
    twins = STUDY.changed(teacher=StagedEnsemble(members=(MEMBERS[0], MEMBERS[0])))
    with pytest.raises(ValueError, match="holds a teacher twice"):
        twins.resolved_teacher((1, 8, 8), 10)


def test_a_smoke_run_shrinks_every_member_and_keeps_them_apart() -> None:
    wide = Staged(stages=((96,), (96,)), training=SHORT.changed(epochs=50))
    study = STUDY.changed(data=DIGITS, teacher=StagedEnsemble(members=(wide, wide.changed(stages=((128,), (128,))))))
    small = study.smoke().resolved_teacher((1, 8, 8), 10)
    assert isinstance(small, Ensemble)
    assert [member.net.stages for member in small.members] == [((24,), (48,))] * 2
    assert [member.training.epochs for member in small.members] == [6, 6]


def test_a_worker_teaches_the_members_mean_logits(tmp_path: Path) -> None:
    worker = Trainer(ENSEMBLE_STUDY.data, "nowhere", str(tmp_path), "cpu", 1)
    list(worker.train_teacher(resolved()))
    worker.open_teacher(resolved(), None)
    assert worker.teacher is not None
    logits_NK = worker.teacher.logits(worker.images, 1, None)
    alone = [opening.load(member, worker.images, worker.store) for member in resolved().members]
    mean_NK = torch.stack([one.logits(worker.images, 1, None).float() for one in alone]).mean(0)
    assert torch.allclose(logits_NK.float(), mean_NK, atol=1e-2)
