"""Retraining on training and validation images together: what it sees, for how long, and what is told of it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as save_tensors

from fitnets.config import Recipe, Report, Result
from fitnets.disk.store import Store
from fitnets.distill.run import distill
from fitnets.images.images import Images
from fitnets.teacher import opening, train
from fitnets.teacher.teacher import Teacher
from fitnets.training.run import state
from fitnets.values.base import sha256
from tests.helpers import RECIPE, SHORT, TEACHER, ended, untimed

PATIENT = SHORT.changed(epochs=12, lr=0.06, schedule="constant", patience=1, keep="best")
RETRAINED = RECIPE.changed(stage1=PATIENT, stage2=PATIENT, retrain=True)


def test_all_images_are_the_training_images_and_then_the_validation_images(digits: Images) -> None:
    whole = digits.whole()
    assert len(whole.train) == len(digits.train) + len(digits.val)
    assert torch.equal(whole.train.pixels_NHWC[: len(digits.train)], digits.train.pixels_NHWC)
    assert torch.equal(whole.train.pixels_NHWC[len(digits.train) :], digits.val.pixels_NHWC)
    assert torch.equal(whole.train.label_N, torch.cat([digits.train.label_N, digits.val.label_N]))
    assert whole.digest != digits.digest
    assert whole.preprocess is digits.preprocess


@pytest.fixture(scope="module")
def ran(digits: Images, teacher: Teacher) -> tuple[list[Report], Result]:
    """The retrained recipe, run once."""
    return ended(distill(RETRAINED, digits, teacher, None))


def test_the_first_run_is_the_recipe_without_retraining(
    ran: tuple[list[Report], Result], digits: Images, teacher: Teacher
) -> None:
    reports, result = ended(distill(RETRAINED.changed(retrain=False), digits, teacher, None))
    assert untimed(ran[0][: len(reports)]) == untimed(reports)
    same = {"val_accuracy", "best_val_accuracy", "hint_r2", "stage1_epoch", "stage2_epoch", "data", "teacher"}
    assert ran[1].outcome.model_dump(include=same) == result.outcome.model_dump(include=same)
    assert ran[1].outcome.retrained and not result.outcome.retrained
    assert ran[1].weights != result.weights


def test_the_second_run_is_as_long_as_the_epochs_that_were_kept_on_all_images(
    ran: tuple[list[Report], Result], digits: Images, teacher: Teacher
) -> None:
    """And is told without a measure of its own, which would be one of images that it has seen."""
    outcome = ran[1].outcome
    assert outcome.stage1_epoch is not None and outcome.stage2_epoch is not None
    second = [report for report in ran[0] if report.retraining]
    assert [report.stage for report in second] == ["stage 1"] * outcome.stage1_epoch + [
        "stage 2"
    ] * outcome.stage2_epoch
    assert all(report.val_accuracy is None and report.hint_r2 is None for report in second)
    by_hand = RECIPE.changed(
        stage1=PATIENT.changed(patience=None, keep="last", until=outcome.stage1_epoch),
        stage2=PATIENT.changed(patience=None, keep="last", until=outcome.stage2_epoch),
    )
    _, wanted = ended(distill(by_hand, digits.whole(), teacher, None))
    assert ran[1].weights == wanted.weights
    assert outcome.weights_sha256 == sha256(wanted.weights)
    assert outcome.seconds == pytest.approx(sum(report.seconds for report in ran[0]))


def test_an_earlier_epoch_than_the_last_was_kept(ran: tuple[list[Report], Result]) -> None:
    """Else the tests above would tell nothing of patience."""
    first = [report for report in ran[0] if not report.retraining and report.stage == "stage 2"]
    measures = [report.measure for report in first]
    assert ran[1].outcome.stage2_epoch == measures.index(max(measures)) + 1 < len(measures)
    assert ran[1].outcome.val_accuracy == ran[1].outcome.best_val_accuracy == max(measures)


def test_schedules_are_those_of_the_full_length(digits: Images, teacher: Teacher) -> None:
    """Lambda and the learning rate of a training that stops early are those of one that does not, so far."""
    recipe = RECIPE.without_hints().changed(stage2=SHORT.changed(epochs=4))
    whole, _ = ended(distill(recipe, digits, teacher, None))
    part, _ = ended(distill(recipe.changed(stage2=SHORT.changed(epochs=4, until=2)), digits, teacher, None))
    assert [(r.loss, r.lam, r.val_accuracy) for r in part] == [(r.loss, r.lam, r.val_accuracy) for r in whole[:2]]


def test_a_teacher_is_retrained_and_keeps_the_accuracy_of_before(
    digits: Images, shared_store: Store, tmp_path: Path
) -> None:
    settings = TEACHER.changed(training=PATIENT.changed(epochs=3), retrain=True)
    reports = list(train.trained(settings, digits, shared_store))
    first = [report for report in reports if not report.retraining]
    measures = [report.measure for report in first]
    kept = measures.index(max(measures)) + 1
    assert len(reports) - len(first) == kept
    about = json.loads(train.files(settings, digits, shared_store)["about.json"])
    assert (about["val_accuracy"], about["epoch"]) == (max(measures), kept)
    again = settings.changed(retrain=False, training=SHORT.changed(lr=0.06, schedule="constant", epochs=3, until=kept))
    whole, elsewhere = digits.whole(), Store(tmp_path)
    assert len(list(train.trained(again, whole, elsewhere))) == kept
    loaded, wanted = opening.load(settings, digits, shared_store), opening.load(again, whole, elsewhere)
    assert loaded.val_accuracy == max(measures)
    assert save_tensors(state(loaded.network)) == save_tensors(state(wanted.network))


def test_a_teacher_starts_as_it_is_told(digits: Images, shared_store: Store) -> None:
    """Without a step worth the name, the weights are the paper's uniform ones."""
    still = SHORT.changed(epochs=1, lr=1e-30, optimizer="sgd", momentum=0.0)
    settings = TEACHER.changed(training=still, init="uniform", init_range=0.005)
    assert list(train.trained(settings, digits, shared_store))
    network = opening.load(settings, digits, shared_store).network
    weights = torch.cat([p.flatten() for p in network.parameters() if p.ndim > 1])
    assert 0.0049 < float(weights.abs().max()) <= 0.005


def test_a_recipe_says_whether_it_retrains() -> None:
    assert Recipe.model_validate_json(RETRAINED.model_dump_json()) == RETRAINED
    assert RETRAINED.digest() != RETRAINED.changed(retrain=False).digest()
