"""The recipe's parts that `bench.ablation` takes away one at a time."""

from functools import partial
from typing import Any

import pytest

from bench import ablation
from fitnets.nets.network import Network
from fitnets.training.optim import optimiser
from search.study import find_study
from search.workers.trainer import Trainer
from tests.helpers import TEACHER

STUDY = find_study("cifar10")
RECIPE = ablation.recipe_for(STUDY, (3, 32, 32), 10, 6, 8, "bf16")


def test_every_part_is_another_valid_recipe_of_the_same_images() -> None:
    found = ablation.parts(RECIPE)
    digests = {RECIPE.digest(), *(recipe.digest() for recipe in found.values())}
    assert len(digests) == 1 + len(found) > 10
    assert {(recipe.student.input, recipe.student.stages) for recipe in found.values()} == {
        (RECIPE.student.input, RECIPE.student.stages)
    }
    assert len(ablation.parts(RECIPE.changed(precision="float32"))) == len(found) - 1, "bf16 cannot be taken away"
    for name, recipe in found.items():
        for training in filter(None, (recipe.stage1, recipe.stage2)):
            assert optimiser(training, Network(recipe.student)) is not None, name
    assert found["no shortcuts"].stage2 == RECIPE.stage2 and found["no hints: stage 2 alone"].stage1 is None


def test_views_are_replaced_one_part_at_a_time() -> None:
    found = ablation.data_parts(STUDY.data, 8)
    assert list(found) == ["random flips", "4 view plans, not 8"]
    assert len({data.views for data in (STUDY.data, *found.values())}) == 3
    assert {data.changed(flips="alternating", plans=None) for data in found.values()} == {STUDY.data}


@pytest.mark.parametrize(("cost", "expected"), [(2.0, 5), (0.5, 20)])
def test_a_variant_trains_as_many_epochs_as_cost_the_same(
    cost: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base: 2 s of stage 1 and 8 epochs of 1 s; the variant has no stage 1."""

    class Timed(Trainer):
        def __init__(self) -> None:
            pass

    variant = RECIPE.without_hints().changed(precision="float32")

    def seconds_of(call: "partial[Any]") -> tuple[Any, float]:
        (recipe,) = call.args
        if recipe.precision == "float32":
            return None, cost
        return None, 3.0 if recipe.hint else 1.0

    monkeypatch.setattr(ablation, "seconds_of", seconds_of)
    assert ablation.with_equal_cost(Timed(), RECIPE, variant).stage2.epochs == expected


def test_the_tables_are_filled_before_anything_is_timed(tmp_path: Any) -> None:
    digits = find_study("digits")
    trainer = Trainer(digits.data, "nowhere", str(tmp_path), "cpu", 1)
    short = TEACHER.changed(training=TEACHER.training.changed(epochs=1))
    list(trainer.train_teacher(short))
    trainer.open_teacher(short, None)
    recipe = ablation.recipe_for(digits, (1, 8, 8), 10, 2, 2, "float32")

    def tables() -> set[str]:
        return {f"{kind}/{name}" for kind in ("hints", "logits") for name in trainer.store.names(kind)}

    ablation.fill_hints(trainer, recipe)
    ablation.fill(trainer, recipe, 2)
    before = tables()
    trainer.trained(recipe.changed(seed=ablation.SEED))
    assert tables() == before and {name.split("/")[0] for name in before} == {"hints", "logits"}
