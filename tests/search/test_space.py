"""The space: every draw is a valid student, the parameters never change, and a recipe finds its draw again."""

import importlib
import math
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fitnets.config import Recipe, Training
from fitnets.values.base import explain
from fitnets.values.net import Dense
from search.space import Frame, Space, extreme, params_of, recipe_of, suggest
from search.study import study_names

FRAME = Frame(
    input=(3, 32, 32),
    classes=10,
    hints=3,
    stage1=Training(epochs=2, lr=1e-3),
    stage2=Training(epochs=2, lr=1e-3),
    seed=5,
)
RATIOS = ("lambda_end", "lr1", "lr2")


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Spaces of every kind that 32x32 images allow."""

    def pair(low: float, high: float) -> tuple[float, float]:
        a, b = sorted((draw(st.floats(low, high)), draw(st.floats(low, high))))
        return a, b

    step = draw(st.sampled_from([1, 4, 8]))
    base = sorted(draw(st.lists(st.integers(1, 6), min_size=2, max_size=2)))
    stages = draw(st.integers(1, 5))
    depth = sorted(draw(st.lists(st.integers(2 if stages == 1 else 1, 5), min_size=2, max_size=2)))
    return Space(
        stages=stages,
        depth=(depth[0], depth[1]),
        base_width=(base[0] * step, base[1] * step),
        multiplier=pair(0.3, 5.0),
        multiple_of=step,
        pieces=draw(st.integers(1, 3)),
        norm=draw(st.sampled_from(["none", "batch"])),
        dense=draw(st.sampled_from([(), (Dense(width=7),)])),
        shortcuts=draw(st.sampled_from([False, True, "either"])),
        tau=pair(1.0, 20.0),
        lambda_start=pair(0.1, 10.0),
        lambda_ratio=pair(0.0, 1.0),
        lr1=pair(1e-4, 1e-1),
        lr2=pair(1e-4, 1e-1),
        regressors=draw(st.sampled_from([("linear",), ("paper", "linear"), ("paper", "linear", "normalised")])),
    )


class Drawn:
    """Hypothesis in the place of an Optuna trial: it likes the ends of every range."""

    def __init__(self, data: st.DataObject):
        self.data = data
        self.asked: dict[str, Any] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.asked[name] = ("int", low, high, step, log)
        return low + step * self.data.draw(st.integers(0, (high - low) // step), label=name)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked[name] = ("float", low, high, 1, log)
        return self.data.draw(st.floats(low, high), label=name)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked[name] = ("choice", tuple(choices))
        return self.data.draw(st.sampled_from(list(choices)), label=name)


@settings(max_examples=200)
@given(spaces(), st.data(), st.integers(1, 6))
def test_every_draw_is_a_valid_student(space: Space, data: st.DataObject, hints: int) -> None:
    frame = FRAME.changed(hints=hints)
    recipe = recipe_of(params := suggest(Drawn(data), space), space, frame)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    student, hint = recipe.student, recipe.hint
    assert hint is not None and recipe.stage1 is not None
    assert 1 <= hint.guided < len(student.convs)
    assert 1 <= hint.hint <= hints
    assert hint.regressor in space.regressors
    assert len(student.stages) == space.stages
    assert all(space.depth[0] <= len(widths) <= space.depth[1] for widths in student.stages)
    assert all(len(set(widths)) == 1 and widths[0] % space.multiple_of == 0 for widths in student.stages)
    assert space.base_width[0] <= student.stages[0][0] <= space.base_width[1]
    assert {conv.pieces for conv in student.convs} == {space.pieces}
    assert (student.norm, student.dense) == (space.norm, space.dense)
    after_the_first = [place > 0 for widths in student.stages for place in range(len(widths))]
    shortcuts = params.get("shortcuts", space.shortcuts)
    assert ("shortcuts" in params) == (space.shortcuts == "either")
    assert [conv.shortcut for conv in student.convs] == [shortcuts and later for later in after_the_first]
    distill = recipe.distill
    assert space.tau[0] <= distill.tau <= space.tau[1]
    assert space.lambda_start[0] <= distill.lambda_start <= space.lambda_start[1]
    assert 0 <= distill.lambda_end <= distill.lambda_start
    assert space.lr1[0] <= recipe.stage1.lr <= space.lr1[1]
    assert space.lr2[0] <= recipe.stage2.lr <= space.lr2[1]
    assert recipe.stage1.epochs == FRAME.stage1.epochs and recipe.seed == FRAME.seed


def test_a_space_without_shortcuts_is_stored_as_before_there_were_any() -> None:
    """The digest that the version without this field gave."""
    assert Space().digest() == "b4e62ba0a47d0f5676c225333b7db25f47229495118099d6a91178a0062f3f92"
    assert "shortcuts" not in Space().model_dump(mode="json")
    stored = Space(shortcuts=True).model_dump(mode="json")
    assert stored["shortcuts"] is True and Space.model_validate(stored).shortcuts


@settings(max_examples=100)
@given(spaces(), st.data())
def test_the_parameters_and_their_bounds_are_always_the_same(space: Space, data: st.DataObject) -> None:
    first, second = Drawn(data), Drawn(data)
    params = suggest(first, space)
    assert first.asked == (suggest(second, space) and second.asked)
    assert set(params) == set(first.asked)
    assert len(params) == 2 * space.stages + 7 + (len(space.regressors) > 1) + (space.shortcuts == "either")


@settings(max_examples=200)
@given(spaces(), st.data())
def test_a_recipe_finds_its_draw_again(space: Space, data: st.DataObject) -> None:
    """params_of is recipe_of's inverse, up to rounding."""
    recipe = recipe_of(suggest(Drawn(data), space), space, FRAME)
    again = recipe_of(params_of(recipe, space, FRAME), space, FRAME)
    assert again.distill.lambda_end == pytest.approx(recipe.distill.lambda_end, rel=1e-9, abs=1e-12)
    same_end = again.distill.changed(lambda_end=recipe.distill.lambda_end)
    assert again.changed(distill=same_end) == recipe


@settings(max_examples=60)
@given(spaces(), st.data())
def test_params_of_stays_within_the_bounds_that_suggest_states(space: Space, data: st.DataObject) -> None:
    """Else Optuna could not be told of a student that somebody else designed."""
    drawn = Drawn(data)
    params = params_of(recipe_of(suggest(drawn, space), space, FRAME), space, FRAME)
    assert set(params) == set(drawn.asked)
    for name, value in params.items():
        if drawn.asked[name][0] == "choice":
            assert value in drawn.asked[name][1]
        else:
            _, low, high, step, _ = drawn.asked[name]
            assert low <= value <= high
            assert drawn.asked[name][0] == "float" or (value - low) % step == 0


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_the_papers_students_have_a_nearest_draw(number: int) -> None:
    """FitNets 1 to 4 are told to the sampler of cifar10_paper."""
    study = importlib.import_module("studies.cifar10_paper").STUDY
    frame = study.frame((3, 32, 32), 10, 3)
    recipe = study.named_recipe(study.first[number], frame)
    params = params_of(recipe, study.space, frame)
    nearest = recipe_of(params, study.space, frame)
    assert len(nearest.student.stages) == len(recipe.student.stages)
    for near, exact in zip(nearest.student.stages, recipe.student.stages, strict=True):
        assert len(near) == min(max(len(exact), study.space.depth[0]), study.space.depth[1])
    assert params["base_width"] in range(
        study.space.base_width[0], study.space.base_width[1] + 1, study.space.multiple_of
    )


@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler", "NSGAIISampler"])
def test_optunas_samplers_run_over_the_space_without_a_failed_draw(sampler: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = Space(stages=3, depth=(1, 4), regressors=("paper", "linear"))
    made = getattr(optuna.samplers, sampler)(seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=made)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        recipe = recipe_of(suggest(trial, space), space, FRAME)
        return math.sin(recipe.distill.tau), float(recipe.student.features)

    study.optimize(objective, n_trials=60)
    assert [t.state for t in study.trials] == [optuna.trial.TrialState.COMPLETE] * 60
    assert len({tuple(sorted(t.distributions)) for t in study.trials}) == 1
    assert all(t.distributions == study.trials[0].distributions for t in study.trials)


@pytest.mark.parametrize("name", study_names())
def test_every_shipped_studys_ends_are_students(name: str) -> None:
    study = importlib.import_module(f"studies.{name}").STUDY
    size = (1, 8, 8) if name == "digits" else (3, 32, 32)
    for variant in (study, study.smoke()):
        frame = variant.frame(size, 10, 3)
        small, large = (extreme(variant.space, frame, end).student for end in (0, 1))
        assert small.depth <= large.depth
        assert small.convs[0].width == variant.space.base_width[0]
        assert large.convs[0].width == variant.space.base_width[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": (3, 1)}, "`depth` is (3, 1), but the low end comes first: write (1, 3)."),
        ({"tau": (5.0, 2.0)}, "`tau` is (5.0, 2.0), but the low end comes first: write (2.0, 5.0)."),
        ({"depth": (0, 2)}, "`depth` starts at 0 in 3 stage(s)"),
        ({"stages": 1, "depth": (1, 2)}, "two in all: raise `depth` or `stages`."),
        ({"base_width": (6, 12)}, "`base_width` is (6, 12), but both ends must be multiples of 4."),
        ({"base_width": (0, 12)}, "`base_width` is (0, 12)"),
        ({"tau": (0.5, 2.0)}, "`tau` at least 1"),
        ({"lr1": (0.0, 1.0)}, "above 0"),
        ({"multiplier": (-1.0, 1.0)}, "above 0"),
        ({"lambda_start": (0.0, 1.0)}, "above 0"),
        ({"lambda_ratio": (-0.5, 1.0)}, "lambda_ratio"),
    ],
)
def test_impossible_spaces_are_refused_with_the_remedy(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Space(**fields)
    assert message in explain(caught.value)


def test_a_recipe_of_another_form_has_no_draw() -> None:
    space = Space(stages=2)
    recipe = recipe_of(params_of(extreme(space, FRAME, 0), space, FRAME), space, FRAME)
    with pytest.raises(ValueError, match="has no place in 3 stages"):
        params_of(recipe, space.changed(stages=3), FRAME)
    with pytest.raises(ValueError, match="hint None"):
        params_of(recipe.without_hints(), space, FRAME)
