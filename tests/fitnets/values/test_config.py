"""A trial as values: round trips, a digest that stays, refusals that say what to do."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from fitnets.config import (
    Brought,
    Cost,
    Data,
    Distill,
    Ensemble,
    Hint,
    Outcome,
    Recipe,
    Report,
    Teacher,
    Trained,
    Training,
)
from fitnets.values.base import explain
from fitnets.values.net import Net
from fitnets.values.updates import ExponentialDecay, LinearDecay, LrScale, MaxNorm, Ramp
from tests.helpers import RECIPE, SHORT, STUDENT, TEACHER

BROUGHT = Brought(build="package.module:build", hint_layers=("layer1", "layer2"), mean=(0.5,), std=(0.2,))
OUTCOME = Outcome(
    val_accuracy=0.9,
    best_val_accuracy=0.91,
    hint_r2=None,
    seconds=1.5,
    weights_sha256="0" * 64,
    teacher="t",
    data="d",
    versions={"torch": "2"},
)


PAPERS = Training(
    epochs=500, lr=0.17, optimizer="sgd", momentum=0.5, nesterov=False, momentum_ramp=Ramp(to=0.65),
    schedule=LinearDecay(), lr_scale=LrScale(), max_norm=MaxNorm(convs=(0.9, 1.9365)),
)  # fmt: skip


def refusal(build: Any, /, **fields: Any) -> str:
    """What a person is told."""
    with pytest.raises(ValidationError) as caught:
        build(**fields)
    return explain(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        RECIPE,
        RECIPE.without_hints(),
        TEACHER,
        BROUGHT,
        OUTCOME,
        Data(name="digits", limit=10, flip=True),
        PAPERS,
        Report(stage="stage 1", epoch=1, epochs=2, loss=0.5, hint_r2=0.1, seconds=0.1),
        Cost(params=1, weights=1, macs=1, weight_bytes=4, peak_activation_bytes=4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_json_round_trip(value: BaseModel) -> None:
    again = type(value).model_validate_json(value.model_dump_json())
    assert again == value
    assert type(value).model_validate(value.model_dump(mode="json")) == value


def test_digest_is_frozen() -> None:
    """A change here makes every stored trial look new: change this literal on purpose only."""
    assert RECIPE.digest() == "f4d77d5f300d5f76de56b288d79a07742ecb6cddf2c9b2da0e3a7797b80350f2"


def test_digest_sees_every_field_of_a_recipe() -> None:
    hint = RECIPE.hint
    assert hint is not None
    others = [
        RECIPE.changed(seed=1),
        RECIPE.changed(init="uniform"),
        RECIPE.changed(init_range=0.01),
        RECIPE.changed(stage1=SHORT.changed(epochs=3)),
        RECIPE.changed(stage2=SHORT.changed(lr=1e-3)),
        RECIPE.changed(stage2=SHORT.changed(nesterov=False)),
        RECIPE.changed(stage2=SHORT.changed(momentum_ramp=Ramp(to=0.7))),
        RECIPE.changed(stage2=SHORT.changed(schedule=LinearDecay())),
        RECIPE.changed(stage2=SHORT.changed(schedule=ExponentialDecay())),
        RECIPE.changed(stage2=SHORT.changed(lr_scale=LrScale())),
        RECIPE.changed(stage2=SHORT.changed(max_norm=MaxNorm())),
        RECIPE.changed(student=STUDENT.changed(biases="untied")),
        RECIPE.changed(distill=Distill(tau=2.0)),
        RECIPE.changed(hint=hint.changed(hint=1)),
        RECIPE.changed(hint=hint.changed(regressor="paper")),
        RECIPE.changed(student=STUDENT.changed(classes=11)),
        RECIPE.without_hints(),
    ]
    assert len({recipe.digest() for recipe in [RECIPE, *others]}) == 1 + len(others)


def test_teachers_are_told_apart_by_kind() -> None:
    adapter: TypeAdapter[Trained | Brought | Ensemble] = TypeAdapter(Teacher)
    assert adapter.validate_json(TEACHER.model_dump_json()) == TEACHER
    assert adapter.validate_json(BROUGHT.model_dump_json()) == BROUGHT
    assert (TEACHER.hints, BROUGHT.hints) == (3, 2)


def test_baselines() -> None:
    plain = RECIPE.without_hints()
    assert (plain.hint, plain.stage1, plain.student, plain.stage2) == (None, None, STUDENT, RECIPE.stage2)
    assert plain.distill == RECIPE.distill
    labels = RECIPE.backpropagation()
    assert labels.hint is None
    assert (labels.distill.lambda_start, labels.distill.lambda_end) == (0.0, 0.0)
    assert labels.student == STUDENT and labels.stage2 == RECIPE.stage2 and labels.seed == RECIPE.seed


def test_half_a_stage_one_is_refused() -> None:
    message = refusal(Recipe, student=STUDENT, hint=Hint(hint=1, guided=1), stage2=SHORT)
    assert message == "`hint` is given without `stage1`: give both, or neither to leave stage 1 out."
    assert refusal(Recipe, student=STUDENT, stage1=SHORT, stage2=SHORT).startswith("`stage1` is given without `hint`")


def test_a_guided_layer_must_come_before_the_last() -> None:
    message = refusal(RECIPE.changed, hint=Hint(hint=1, guided=3))
    assert message == (
        "`hint.guided` is 3, but the student has 3 convolutions and the guided layer must come before the last: "
        "choose 1..2."
    )
    one = Net.staged((1, 8, 8), 10, ((4,),))
    assert "give the student a second convolution" in refusal(RECIPE.changed, student=one, hint=Hint(hint=1, guided=1))


def test_a_schedule_that_saturates_before_it_holds_is_refused() -> None:
    message = refusal(Distill, schedule="paper", hold=10, saturate=10)
    assert message == "`saturate` is 10, but must come after `hold` (=10): choose 11 or more."


def test_one_normalisation_at_most() -> None:
    message = refusal(Data, name="digits", whiten=True, local_contrast=True)
    assert message == "`whiten` and `local_contrast` are two ways to normalise images: choose one."


def test_plans_show_every_image_mirrored_as_often_as_not() -> None:
    message = refusal(Data, name="digits", flip=True, plans=3)
    assert message == (
        "`plans` is 3, but with `flip` every second epoch mirrors what the one before did not: "
        "choose an even number, as 4."
    )
    assert Data(name="digits", plans=3).equivalent_epoch(4) == 1


def test_mean_goes_with_std() -> None:
    message = refusal(Brought, build="a:b", hint_layers=("x",), mean=(0.5,))
    assert message == "`mean` and `std` go together: give both, or neither."


@pytest.mark.parametrize(
    ("build", "fields"),
    [
        (Data, {"name": "../etc"}),
        (Data, {"name": ""}),
        (Data, {"name": "a b"}),
        (Data, {"name": "digits", "val_fraction": 0.0}),
        (Data, {"name": "digits", "val_fraction": 1.0}),
        (Data, {"name": "digits", "shift": -1}),
        (Data, {"name": "digits", "limit": 0}),
        (Training, {"epochs": 0, "lr": 0.1}),
        (Training, {"epochs": 1, "lr": 0.0}),
        (Training, {"epochs": 1, "lr": float("nan")}),
        (Training, {"epochs": 1, "lr": float("inf")}),
        (Training, {"epochs": 1, "lr": 0.1, "momentum": 1.0}),
        (Training, {"epochs": 1, "lr": 0.1, "optimizer": "lion"}),
        (Training, {"epochs": 1, "lr": 0.1, "batch": 0}),
        (Distill, {"tau": 0.5}),
        (Distill, {"lambda_start": -1.0}),
        (Distill, {"tau": float("inf")}),
        (Hint, {"hint": 0, "guided": 1}),
        (Hint, {"hint": 1, "guided": 0}),
        (Hint, {"hint": 1, "guided": 1, "regressor": "deep"}),
        (Brought, {"build": "no_colon", "hint_layers": ("x",)}),
        (Brought, {"build": "os:system('x')", "hint_layers": ("x",)}),
        (Brought, {"build": "a:b", "hint_layers": ()}),
        (Brought, {"build": "a:b", "hint_layers": ("x",), "min_accuracy": 1.5}),
    ],
)
def test_values_out_of_range_are_refused_by_field(build: Any, fields: dict[str, Any]) -> None:
    message = refusal(build, **fields)
    assert message.split(":")[0].split(".")[0] in fields


def test_outcomes_that_earlier_versions_stored_still_load() -> None:
    stored = OUTCOME.model_dump(mode="json") | {"prefix": "ab" * 32, "prefix_reused": True}
    assert Outcome.model_validate(stored) == Outcome.model_validate_json(json.dumps(stored)) == OUTCOME
    with pytest.raises(ValidationError, match="Extra inputs"):
        Outcome.model_validate(stored | {"prefixes": 1})
