"""The two stages on real digits: they learn, they repeat bit for bit, they leave the teacher alone."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load as load_tensors
from torch import Tensor

from fitnets.config import Distill, Hint, Outcome, Recipe, Report, Result, Training
from fitnets.disk.store import Store
from fitnets.distill import run as distill_module
from fitnets.distill import stages
from fitnets.distill.losses import lambda_at
from fitnets.distill.regressor import Target
from fitnets.distill.run import distill
from fitnets.distill.stages import StageInputs
from fitnets.errors import Diverged, InputError
from fitnets.export import restored
from fitnets.images import views
from fitnets.images.images import Images, Split, accuracy
from fitnets.nets.network import Network, initialise
from fitnets.teacher import train
from fitnets.teacher.teacher import Teacher
from fitnets.training import loop
from fitnets.training.checkpoints import Checkpoints
from fitnets.values.base import seed_of, sha256
from fitnets.values.net import Net
from fitnets.values.updates import LrScale, MaxNorm
from tests.helpers import FAST_RECIPE, RECIPE, SHORT, STUDENT, TEACHER, ended, state_hash, untimed

LONG = 10


def run(recipe: Recipe, images: Images, teacher: Teacher) -> tuple[list[Report], Result]:
    """A recipe to its end, without a store."""
    return ended(distill(recipe, images, teacher, None))


@pytest.fixture(scope="module")
def ran(digits: Images, teacher: Teacher) -> tuple[list[Report], Result]:
    """The small recipe, run once."""
    longer = RECIPE.changed(stage1=SHORT.changed(epochs=LONG, lr=1e-2), stage2=SHORT.changed(epochs=LONG, lr=1e-2))
    return run(longer, digits, teacher)


def test_the_hint_loss_falls_and_r2_rises(ran: tuple[list[Report], Result]) -> None:
    first = [report for report in ran[0] if report.stage == "stage 1"]
    assert [report.epoch for report in first] == list(range(1, LONG + 1))
    losses, r2s = [report.loss for report in first], [report.hint_r2 for report in first]
    assert losses[-1] < losses[LONG // 2] < losses[0]
    assert r2s[0] is not None and r2s[-1] is not None
    assert r2s[-1] > max(0.3, r2s[0])
    assert losses[-1] == pytest.approx(1 - r2s[-1], abs=0.15), "the loss is 1 - R2"
    assert all(report.val_accuracy is None and report.lam is None for report in first)


def test_stage_2_learns_and_lambda_decays(ran: tuple[list[Report], Result]) -> None:
    second = [report for report in ran[0] if report.stage == "stage 2"]
    assert second[-1].val_accuracy is not None and second[-1].val_accuracy > 0.6
    assert second[-1].loss < second[0].loss
    assert [report.lam for report in second] == [lambda_at(epoch, LONG, Distill()) for epoch in range(1, LONG + 1)]
    assert (second[0].lam, second[-1].lam) == (4.0, 1.0)
    assert all(report.hint_r2 is None for report in second)


def test_the_outcome_is_what_the_weights_do(ran: tuple[list[Report], Result], digits: Images, teacher: Teacher) -> None:
    reports, result = ran
    outcome = result.outcome
    network = restored(STUDENT, result.weights)
    assert accuracy(network, digits, digits.val) == outcome.val_accuracy == reports[-1].val_accuracy
    assert outcome.best_val_accuracy == max(report.val_accuracy or 0 for report in reports)
    assert outcome.hint_r2 == reports[LONG - 1].hint_r2
    assert outcome.weights_sha256 == sha256(result.weights)
    assert (outcome.teacher, outcome.data) == (teacher.digest, digits.digest)
    assert outcome.seconds == pytest.approx(sum(report.seconds for report in reports))
    assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome
    assert set(load_tensors(result.weights)) == set(network.state_dict()), "no regressor, no teacher in the file"


def test_one_seed_gives_one_result_bit_for_bit(digits: Images, teacher: Teacher) -> None:
    torch.manual_seed(1)
    first = run(RECIPE, digits, teacher)
    torch.manual_seed(2)
    again = run(RECIPE, digits, teacher)
    assert first[1].weights == again[1].weights
    assert [report.loss for report in first[0]] == [report.loss for report in again[0]]
    assert run(RECIPE.changed(seed=1), digits, teacher)[1].weights != first[1].weights


def test_the_teacher_is_unchanged_by_a_trial(digits: Images, teacher: Teacher) -> None:
    before = state_hash(teacher.network)
    run(RECIPE, digits, teacher)
    assert state_hash(teacher.network) == before
    assert all(p.grad is None and not p.requires_grad for p in teacher.network.parameters())
    assert not any(part.training for part in teacher.network.network.modules())


def test_stage_1_trains_the_prefix_and_nothing_above_it(
    digits: Images, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Network] = []

    class Watched(Network):
        def __init__(self, net: Net):
            super().__init__(net)
            made.append(self)

    monkeypatch.setattr(distill_module, "Network", Watched)
    recipe = RECIPE.changed(stage1=SHORT.changed(epochs=3))
    stream = distill(recipe, digits, teacher, None)
    next(stream)
    (student,) = made
    hashes = [[state_hash(layer) for layer in student.layers]]
    next(stream)
    hashes.append([state_hash(layer) for layer in student.layers])
    changed = [a != b for a, b in zip(*hashes, strict=True)]
    assert changed == [True, True, False, False]
    next(stream)
    next(stream)
    third = [state_hash(layer) for layer in student.layers]
    assert all(a != b for a, b in zip(hashes[1], third, strict=True)), "stage 2 trains all of it"


def test_stage_1_comes_before_stage_2_and_helps(digits: Images, teacher: Teacher) -> None:
    """The student starts stage 2 from what stage 1 learnt, not from scratch."""
    reports, _ = run(RECIPE.changed(stage1=SHORT.changed(epochs=4)), digits, teacher)
    plain, _ = run(RECIPE.without_hints(), digits, teacher)
    assert [report.stage for report in reports] == ["stage 1"] * 4 + ["stage 2"] * 2
    assert reports[4].loss < plain[0].loss


def test_without_hints_there_is_no_stage_1(digits: Images, teacher: Teacher) -> None:
    reports, result = run(RECIPE.without_hints(), digits, teacher)
    assert {report.stage for report in reports} == {"stage 2"}
    assert result.outcome.hint_r2 is None


def test_backpropagation_asks_the_teacher_nothing(
    digits: Images, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*arguments: object, **options: object) -> None:
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr(type(teacher.network), "forward", asked)
    reports, _ = run(RECIPE.backpropagation(), digits, teacher)
    assert [report.lam for report in reports] == [0.0, 0.0]


def test_the_teachers_term_matters(digits: Images, teacher: Teacher) -> None:
    kd, labels = RECIPE.without_hints(), RECIPE.backpropagation()
    assert run(kd, digits, teacher)[1].weights != run(labels, digits, teacher)[1].weights


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_loss_that_explodes_is_diverged(digits: Images, teacher: Teacher, stage: str) -> None:
    hot = Training(epochs=3, lr=1e18, batch=64, optimizer="sgd", schedule="constant")
    with pytest.raises(Diverged, match=r"lower the learning rate \(now 1e\+18\)"):
        run(RECIPE.changed(**{stage: hot}), digits, teacher)


@pytest.mark.parametrize(
    "net",
    [Net.staged((3, 8, 8), 10, ((4,), (4,))), Net.staged((1, 8, 8), 9, ((4,), (4,)))],
    ids=["channels", "classes"],
)
def test_a_student_for_other_images_is_refused(digits: Images, teacher: Teacher, net: Net) -> None:
    recipe = RECIPE.without_hints().changed(student=net)
    with pytest.raises(InputError, match=r"but the images are \(1, 8, 8\) with 10 classes: change `student.input`"):
        run(recipe, digits, teacher)


def test_a_hint_layer_that_the_teacher_lacks_is_refused(digits: Images, teacher: Teacher) -> None:
    recipe = RECIPE.changed(hint=Hint(hint=4, guided=1))
    with pytest.raises(InputError, match=r"`hint.hint` is 4, but the teacher has 3 hint layers: choose 1..3"):
        run(recipe, digits, teacher)


@pytest.mark.parametrize("regressor", ["paper", "linear", "normalised"])
@pytest.mark.parametrize("scale", ["r2", "paper"])
def test_every_hint_pair_works(
    digits: Images,
    teacher: Teacher,
    regressor: Literal["paper", "linear", "normalised"],
    scale: Literal["r2", "paper"],
) -> None:
    """Also where the teacher's map is the larger one: 4x4 of its layer 1 against 2x2 of a student's layer 3."""
    net = Net.staged((1, 8, 8), 10, ((4,), (4,), (4, 4)))
    sizes = {(g[1], h[1]) for _, g in net.maps()[:-1] for _, h in TEACHER.net.maps()}
    assert any(guided < hint for guided, hint in sizes) and any(guided > hint for guided, hint in sizes)
    once = Training(epochs=1, lr=1e-3, batch=len(digits.train))
    for guided in range(1, len(net.convs)):
        for hint in range(1, len(teacher.hint_shapes) + 1):
            pair = Hint(hint=hint, guided=guided, regressor=regressor, scale=scale)
            recipe = Recipe(student=net, hint=pair, stage1=once, stage2=once)
            stream = distill(recipe, digits, teacher, None)
            report = next(stream)
            stream.close()
            assert report.stage == "stage 1" and report.loss > 0 and report.hint_r2 is not None


@pytest.mark.parametrize(
    ("regressor", "pieces", "centred"), [("linear", 1, True), ("paper", 2, True), ("paper", 1, False)]
)
def test_targets_are_centred_unless_the_regressor_ends_in_a_relu(
    digits: Images,
    teacher: Teacher,
    monkeypatch: pytest.MonkeyPatch,
    regressor: Literal["paper", "linear"],
    pieces: int,
    centred: bool,
) -> None:
    asked: list[bool] = []

    class Watched(Target):
        def measure(self, hint_BCHW: torch.Tensor, *, centre: bool) -> None:
            asked.append(centre)
            super().measure(hint_BCHW, centre=centre)

    monkeypatch.setattr(stages, "Target", Watched)
    other = dataclasses.replace(teacher, hint_pieces=(pieces,) * 3)
    next(distill(RECIPE.changed(hint=Hint(hint=2, guided=2, regressor=regressor)), digits, other, None))
    assert asked == [centred]


@pytest.mark.parametrize("pieces", [1, 3])
def test_students_and_teachers_of_every_kind(digits: Images, teacher: Teacher, pieces: int) -> None:
    for norm in ("none", "batch"):
        net = Net.staged((1, 8, 8), 10, ((4,), (4,)), pieces=pieces, norm="batch" if norm == "batch" else "none")
        recipe = RECIPE.changed(student=net, hint=Hint(hint=2, guided=1), stage2=SHORT.changed(epochs=9, lr=2e-2))
        reports, result = run(recipe, digits, teacher)
        assert reports[-1].val_accuracy == result.outcome.val_accuracy > 0.2


def test_the_papers_recipe_runs(digits: Images, teacher: Teacher) -> None:
    """RMSProp with the floor, uniform start, constant rate, its own loss scale, regressor and lambda schedule; rates by
    layers, norms after every update, patience, and the best epoch's weights."""
    slow = Training(
        epochs=2, lr=5e-4, batch=64, optimizer="rmsprop", schedule="constant", max_norm=MaxNorm(),
        lr_scale=LrScale(conv=0.5), patience=100, keep="best",
    )  # fmt: skip
    recipe = Recipe(
        student=STUDENT.changed(biases="untied"),
        hint=Hint(hint=2, guided=2, regressor="paper", scale="paper"),
        stage1=slow,
        stage2=slow,
        distill=Distill(schedule="paper", tau_squared=False, soften_student=False),
        init="uniform",
    )
    reports, _ = run(recipe, digits, teacher)
    assert reports[1].loss < reports[0].loss
    assert reports[3].loss < reports[2].loss
    assert [report.lam for report in reports[2:]] == [4.0, 4.0]


@pytest.mark.parametrize("method", ["hints", "KD"])
def test_guided_layers_learn_at_their_further_factor_in_stage_2_after_a_hint(
    digits: Images, teacher: Teacher, method: str
) -> None:
    """A factor of nearly nothing leaves them where stage 1 did; without a stage 1 no layer is guided."""
    still = SHORT.changed(optimizer="sgd", lr=1e-2, lr_scale=LrScale(conv=1.0, guided=1e-30))
    recipe = RECIPE.changed(stage1=SHORT.changed(epochs=1), stage2=still)
    recipe = recipe if method == "hints" else recipe.without_hints()
    student = Network(STUDENT)
    initialise(student, "scaled", 0.0, seed_of("student", 0))
    trial = StageInputs(recipe, digits, teacher, None, Checkpoints(None, "x"), student)
    if recipe.hint is not None and recipe.stage1 is not None:
        for _ in stages.stage1(trial, recipe.hint, recipe.stage1):
            pass
    before = [state_hash(layer) for layer in student.layers]
    for _ in stages.stage2(trial):
        pass
    moved = [old != state_hash(layer) for old, layer in zip(before, student.layers, strict=True)]
    assert moved == ([False, False, True, True] if method == "hints" else [True] * 4)


def test_to_stop_a_trial_is_to_stop_asking(digits: Images, teacher: Teacher) -> None:
    """What is stopped after an epoch has the numbers of what is not: schedules know only the full length."""
    whole, _ = run(RECIPE, digits, teacher)
    stream = distill(RECIPE, digits, teacher, None)
    part = [next(stream) for _ in range(3)]
    stream.close()
    assert untimed(part) == untimed(whole[:3])


def test_every_stage_and_seed_has_batch_orders_of_its_own(
    digits: Images, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = dataclasses.replace(digits, train=Split(digits.train.pixels_NHWC[:192], digits.train.label_N[:192]))
    orders: list[list[int]] = []

    def shuffled(num_images: int, batch: int, generator: torch.Generator, device: torch.device) -> Iterator[Tensor]:
        batches = list(views.shuffled(num_images, batch, generator, device))
        orders.append(torch.cat(batches).tolist())
        return iter(batches)

    monkeypatch.setattr(loop, "shuffled", shuffled)
    once = SHORT.changed(epochs=1)

    def drawn(seed: int) -> list[list[int]]:
        """The orders of the teacher, stage 1 and stage 2, an epoch each."""
        orders.clear()
        store = Store(tmp_path / f"{len(list(tmp_path.iterdir()))}")
        list(train.trained(TEACHER.changed(training=once, seed=seed), few, store))
        ended(distill(RECIPE.changed(stage1=once, stage2=once, seed=seed), few, teacher, None))
        return list(orders)

    all_orders = [order for seed in (0, 1, 2) for order in drawn(seed)]
    assert len(all_orders) == 9
    assert len({tuple(order) for order in all_orders}) == 9
    assert drawn(1) == all_orders[3:6]


def test_stage_2_begins_with_the_batch_statistics_of_stage_1(
    digits: Images, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layers above the guided one have seen nothing yet; both stages count the batches that they normalise."""
    begun: dict[str, Tensor] = {}

    def second(trial: StageInputs) -> Iterator[Report]:
        begun.update({name: each.clone() for name, each in trial.student.state_dict().items()})
        return stages.stage2(trial)

    monkeypatch.setattr(distill_module, "stage2", second)
    _, result = run(FAST_RECIPE, digits, teacher)
    assert FAST_RECIPE.hint is not None and FAST_RECIPE.stage1 is not None
    batches = len(digits.train) // FAST_RECIPE.stage1.batch
    for number in range(len(FAST_RECIPE.student.convs)):
        seen = begun[f"layers.{number}.norm.running_mean"].abs().sum() > 0
        assert seen == (number < FAST_RECIPE.hint.guided)
        counted = int(begun[f"layers.{number}.norm.num_batches_tracked"])
        assert counted == (batches * FAST_RECIPE.stage1.epochs if seen else 0)
        after = int(load_tensors(result.weights)[f"layers.{number}.norm.num_batches_tracked"])
        assert after == counted + batches * FAST_RECIPE.stage2.epochs
