"""Section 3.1's alternatives: what each of them learns, in which stage, and what is thrown away."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from fitnets.config import Hint, LabelHint, Recipe
from fitnets.distill import stages
from fitnets.distill.run import distill, result_of
from fitnets.distill.stages import Joint, StageInputs, label_head
from fitnets.export import restored
from fitnets.images.images import Images
from fitnets.images.views import Plan
from fitnets.nets.network import Network, initialise
from fitnets.paper.alternatives import joint_kd, joint_labels, labels_then_kd, labels_then_labels
from fitnets.teacher.teacher import Teacher
from fitnets.training.checkpoints import Checkpoints
from fitnets.values.base import seed_of
from tests.helpers import RECIPE, SHORT, STUDENT, ended, random_images, state_hash

ALTERNATIVES = {
    "labels, labels": labels_then_labels(RECIPE),
    "labels, KD": labels_then_kd(RECIPE),
    "joint, labels": joint_labels(RECIPE),
    "joint, KD": joint_kd(RECIPE),
}


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_each_runs_its_stages_and_leaves_a_plain_student(digits: Images, teacher: Teacher, name: str) -> None:
    recipe = ALTERNATIVES[name]
    joint, kd = name.startswith("joint"), name.endswith("KD")
    reports, result = ended(distill(recipe, digits, teacher, None))
    assert [report.stage for report in reports] == ([] if joint else ["stage 1"] * 2) + ["stage 2"] * 2
    second = reports[-2:]
    assert [report.lam for report in second] == ([4.0, 1.0] if kd else [0.0, 0.0])
    assert all(report.hint_r2 is None and report.val_accuracy is not None for report in reports)
    assert reports[1].loss < reports[0].loss and second[1].loss < second[0].loss
    assert result.outcome.val_accuracy == second[-1].val_accuracy
    assert result.outcome.hint_r2 is None
    assert set(restored(STUDENT, result.weights).state_dict()) == set(Network(STUDENT).state_dict())


def test_they_are_four_and_none_is_a_baseline(digits: Images, teacher: Teacher) -> None:
    recipes = [*ALTERNATIVES.values(), RECIPE.without_hints(), RECIPE.backpropagation()]
    weights = [result_of(distill(recipe, digits, teacher, None)).weights for recipe in recipes]
    assert len(set(weights)) == 6
    assert {recipe.guided for recipe in ALTERNATIVES.values()} == {2}
    assert joint_kd(RECIPE).without_hints() == RECIPE.without_hints()


def test_the_first_half_learns_labels_and_nothing_above_it_moves(digits: Images, teacher: Teacher) -> None:
    recipe = ALTERNATIVES["labels, KD"]
    student = Network(STUDENT)
    initialise(student, "scaled", 0.0, 0)
    trial = StageInputs(recipe, digits, teacher, None, Checkpoints(None, "x"), student)
    before = [state_hash(layer) for layer in student.layers]
    assert recipe.label_hint is not None and recipe.stage1 is not None
    for _ in stages.label_stage1(trial, recipe.label_hint, recipe.stage1):
        pass
    changed = [old != state_hash(layer) for old, layer in zip(before, student.layers, strict=True)]
    assert changed == [True, True, False, False]


def test_a_joint_loss_is_the_sum_of_both_cross_entropies(digits: Images, teacher: Teacher) -> None:
    """The first step's loss, by hand: the output's and the guided softmax's, on the labels."""
    recipe = ALTERNATIVES["joint, labels"].changed(
        stage2=SHORT.changed(epochs=1, lr=1e-9, batch=len(digits.train), optimizer="sgd", schedule="constant")
    )
    (report,) = [next(distill(recipe, digits, teacher, None))]
    student = Network(STUDENT)
    initialise(student, "scaled", 0.0, seed_of("student", 0))
    assert recipe.label_hint is not None
    head = label_head(recipe, recipe.label_hint)
    plan, index = Plan.draw(len(digits.train), 1, digits.data, digits.device), torch.arange(len(digits.train))
    x_BCHW, label_B = digits.views(plan, index), digits.train.label_N
    with torch.no_grad():
        output = F.cross_entropy(student(x_BCHW), label_B)
        aside = F.cross_entropy(student.prefix(2)(x_BCHW).flatten(1) @ head[1].weight.T, label_B)
    assert report.loss == pytest.approx(float(output + aside), rel=1e-5)


def test_joint_gives_the_students_own_logits() -> None:
    student, head = Network(STUDENT), label_head(RECIPE, LabelHint(guided=2))
    x_BCHW = random_images((3, 1, 8, 8))
    logits, guided = Joint(student, 2, head)(x_BCHW)
    assert torch.equal(logits, student(x_BCHW))
    assert torch.equal(guided, head(student.prefix(2)(x_BCHW)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hint": Hint(hint=1, guided=1), "label_hint": LabelHint(guided=1), "stage1": SHORT}, "give one"),
        ({"label_hint": LabelHint(guided=1)}, "`hint` is given without `stage1`"),
        ({"label_hint": LabelHint(guided=1, joint=True), "stage1": SHORT}, "leave `stage1` out"),
        ({"label_hint": LabelHint(guided=3, joint=True)}, r"`label_hint.guided` is 3, but the student has 3"),
    ],
)
def test_label_hints_that_fit_nothing_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate({"student": STUDENT, "stage2": SHORT} | fields)


def test_a_recipe_without_a_hint_has_no_place_for_labels() -> None:
    with pytest.raises(ValueError, match="give `hint`"):
        joint_kd(RECIPE.without_hints())
