"""The step: the numbers of a plain loop, nothing read from the device, and all of it recordable as a graph."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from fitnets.config import Distill, Hint, LabelHint, Training
from fitnets.distill.losses import hint_loss, kd_loss
from fitnets.distill.regressor import Regressor, Target
from fitnets.distill.run import distill
from fitnets.images.images import Images, Preprocess, Split
from fitnets.images.views import Plan, shuffled
from fitnets.nets.network import Network, initialise
from fitnets.teacher.teacher import Teacher
from fitnets.training.loop import fit
from fitnets.training.muon import FilterMuon, orthogonalised
from fitnets.training.optim import (
    FLOOR,
    ClassicalMomentum,
    FloorRMSprop,
    apply_schedules,
    lr_at,
    momentum_at,
    optimiser,
)
from fitnets.training.run import Run
from fitnets.training.state_optimizer import StateOptimizer
from fitnets.training.step import SWITCH, WARM_UP, GraphedStep, Step, quickest
from fitnets.values.base import seed_of
from fitnets.values.net import Net
from fitnets.values.updates import ExponentialDecay, LrScale, MaxNorm, Ramp
from tests.helpers import RECIPE, STUDENT, ended
from tests.tape import FakeCuda, Reads, Tape

CPU = torch.device("cpu")
NORMALISED = Net.staged((1, 8, 8), 10, ((8, 8), (12,)), pieces=1, norm="batch")
BASE = Training(epochs=2, lr=5e-3, batch=64, schedule="one-cycle", weight_decay=1e-2)
TRAININGS = {
    "adamw": BASE,
    "nesterov": BASE.changed(optimizer="sgd", lr=5e-3, schedule="cosine"),
    "classical": BASE.changed(
        optimizer="sgd", lr=0.05, nesterov=False, momentum=0.5, momentum_ramp=Ramp(to=0.7, by=2), max_norm=MaxNorm(),
        schedule=ExponentialDecay(divisor=1.01),
    ),
    "rmsprop": BASE.changed(optimizer="rmsprop", lr=1e-3, weight_decay=0.0, lr_scale=LrScale(conv=0.5, output=2.0)),
    "muon": BASE.changed(optimizer="muon", lr=0.1, weight_decay=0.0, schedule="linear"),
}  # fmt: skip


def student_of(name: str) -> Network:
    network = Network(NORMALISED if name == "muon" else STUDENT)
    initialise(network, "scaled", 0.0, 0)
    return network.to(memory_format=torch.channels_last)


def kd_of(module: nn.Module, digits: Images, teacher: Teacher) -> Callable[[int], Callable[[Tensor], Tensor]]:
    """Stage 2's loss, for an epoch."""

    def epoch_loss(number: int) -> Callable[[Tensor], Tensor]:
        plan, logits_NK = Plan.draw(len(digits.train), number, digits.data, CPU), teacher.logits(digits, number, None)

        def loss(index_B: Tensor) -> Tensor:
            logits_BK = module(digits.views(plan, index_B))
            return kd_loss(logits_BK, logits_NK[index_B], digits.train.label_N[index_B], 3.0 / number, Distill())

        return loss

    return epoch_loss


def losses_of(training: Training, module: nn.Module, digits: Images, teacher: Teacher) -> list[float]:
    """The mean losses of a training's epochs."""
    epochs = fit(
        Run(module, training), kd_of(module, digits, teacher), num_images=len(digits.train), seed=5, device=CPU
    )
    return [epoch.loss for epoch in epochs]


def as_before(optimizer: StateOptimizer, parameter: Tensor, gradient: Tensor, buffer: Tensor, group: Any) -> None:
    """The update rules with a learning rate that is a number, as they were written until 2026-11-25."""
    lr = group["lr"]
    if isinstance(optimizer, FloorRMSprop):
        buffer.mul_(0.9).addcmul_(gradient, gradient, value=0.1)
        parameter.addcdiv_(gradient, buffer.sqrt().clamp_min_(FLOOR), value=-lr)
    elif isinstance(optimizer, ClassicalMomentum):
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        buffer.mul_(group["momentum"]).add_(gradient, alpha=-lr)
        parameter.add_(buffer)
    else:
        buffer.mul_(group["momentum"]).add_(gradient)
        ahead = gradient.add(buffer, alpha=group["momentum"])
        parameter.mul_(len(parameter) ** 0.5 / parameter.norm().clamp_min(1e-7))
        parameter.add_(orthogonalised(ahead.flatten(1)).view_as(parameter), alpha=-lr)


@pytest.mark.parametrize("name", TRAININGS)
def test_two_epochs_are_those_of_a_plain_loop_bit_for_bit(
    name: str, digits: Images, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, ours = TRAININGS[name], student_of(name)
    theirs = copy.deepcopy(ours)
    means = losses_of(training, ours, digits, teacher)
    for cls in (FloorRMSprop, ClassicalMomentum, FilterMuon):
        monkeypatch.setattr(cls, "update", as_before)
    optimizer, plain = optimiser(training, theirs), []
    for number in (1, 2):
        loss, total = kd_of(theirs, digits, teacher)(number), torch.zeros(())
        order = torch.Generator().manual_seed(seed_of("order", 5, number))
        batches = list(shuffled(len(digits.train), training.batch, order, CPU))
        for position, index_B in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = lr_at(training, number, position, len(batches)) * group["scale"]
                if "momentum" in group:
                    group["momentum"] = momentum_at(training, number)
            step_loss = loss(index_B)
            step_loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += step_loss.detach()
        plain.append(float(total) / len(batches))
    assert means == plain and means[1] < means[0]
    for (key, mine), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(mine, other), key


def replayed(
    name: str, digits: Images, teacher: Teacher, *, numbers: bool = False
) -> tuple[Step, Step, nn.Module, nn.Module]:
    """An epoch made as usual, and the same one recorded at its third step and replayed from there on.

    `numbers`: with learning rates that are numbers, as they were.
    """
    training, modules, steps = TRAININGS[name], [], []
    for recorded in (False, True):
        module = student_of(name).train()
        optimizer, tape = optimiser(training, module), Tape()
        batches = list(shuffled(len(digits.train), training.batch, torch.Generator().manual_seed(1), CPU))
        step = Step(optimizer, kd_of(module, digits, teacher)(1), batches[0])
        for position, index_B in enumerate(batches):
            if numbers:
                for group in optimizer.param_groups:
                    group["lr"] = lr_at(training, 1, position, len(batches)) * group["scale"]
            else:
                apply_schedules(optimizer, training, 1, position, len(batches))
            step.index_B.copy_(index_B)
            if not recorded or position < 3:
                step()
            elif position == 3:
                before = copy.deepcopy(module.state_dict()), copy.deepcopy(optimizer.state), step.total.clone()
                with tape:  # on a CPU recording is running: what it did is kept as the step itself
                    step()
                assert not torch.equal(before[2], step.total)
            else:
                tape.replay()
        modules.append(module)
        steps.append(step)
    return steps[0], steps[1], modules[0], modules[1]


@pytest.mark.parametrize("name", TRAININGS)
def test_a_recorded_step_replays_an_epoch_bit_for_bit(name: str, digits: Images, teacher: Teacher) -> None:
    usual, recorded, ours, theirs = replayed(name, digits, teacher)
    assert torch.equal(usual.total, recorded.total) and float(usual.total) > 0
    for (key, mine), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(mine, other), key


def test_a_learning_rate_that_is_a_number_would_be_frozen_in_the_recording(digits: Images, teacher: Teacher) -> None:
    """The tape can tell: it is what the loop did before."""
    usual, recorded, _, _ = replayed("adamw", digits, teacher, numbers=True)
    assert not torch.equal(usual.total, recorded.total)


@pytest.mark.parametrize("name", TRAININGS)
def test_no_step_of_either_stage_waits_for_the_device(
    name: str, digits: Images, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[str] = Counter()
    steps, made = 0, Step.__call__

    def counted(step: Step) -> None:
        nonlocal steps, seen
        with Reads() as reads:
            made(step)
        steps, seen = steps + 1, seen + reads.seen

    monkeypatch.setattr(Step, "__call__", counted)
    training = TRAININGS[name].changed(epochs=1, momentum_ramp=None)
    student = NORMALISED if name == "muon" else STUDENT
    regressor = "linear" if name == "adamw" else "paper"
    recipe = RECIPE.changed(
        student=student, stage1=training, stage2=training, hint=Hint(hint=2, guided=2, regressor=regressor)
    )
    ended(distill(recipe, digits, teacher, None))
    joint = recipe.changed(hint=None, stage1=None, label_hint=LabelHint(guided=2, joint=True))
    ended(distill(joint, digits, teacher, None))
    assert seen == {} and steps == 3 * (len(digits.train) // training.batch)


@pytest.mark.parametrize("border", ["reflect", "zero"])
def test_losses_touch_no_tensor_that_is_not_on_the_device(digits: Images, border: Literal["reflect", "zero"]) -> None:
    """On tensors that claim to be on a GPU: an operator that meets another device raises, and so does a read."""
    gpu = torch.device("cuda:0")
    with FakeTensorMode():
        split = Split(
            torch.zeros(40, 8, 8, 1, dtype=torch.uint8, device=gpu), torch.zeros(40, dtype=torch.long, device=gpu)
        )
        data = digits.data.changed(border=border)
        statistics = torch.zeros(1, 1, 1, device=gpu), torch.ones(1, 1, 1, device=gpu)
        images = Images(data, split, split, digits.classes, Preprocess(*statistics), "")
        index_B = next(shuffled(40, 8, torch.Generator().manual_seed(0), gpu))
        plan = Plan.draw(40, 1, data, gpu)
        with gpu:
            student, regressor, target = Network(STUDENT), Regressor((8, 4, 4), (24, 2, 2), "linear", 2), Target()
        x_BCHW = images.views(plan, index_B)
        kd = kd_loss(
            student(x_BCHW), torch.zeros(40, 10, device=gpu).half()[index_B], split.label_N[index_B], 2.0, Distill()
        )
        hint_BCHW = target(torch.zeros(40, 24, 2, 2, device=gpu).half()[index_B])
        hint = hint_loss(regressor(student.prefix(2)(x_BCHW)), hint_BCHW, scale="r2")
        assert {tensor.device for tensor in (index_B, x_BCHW, kd, hint)} == {gpu}
        with pytest.raises(Exception, match="device"):
            split.label_N[index_B] + torch.zeros(8)
        with pytest.raises(DataDependentOutputException):
            kd.item()


def test_what_waits_is_counted() -> None:
    x = torch.arange(6.0)
    with Reads() as reads:
        x.sum().item()
        float(x[0])
        x.cpu()
        x.tolist()
        x.nonzero()
        x[x > 2]
        x[torch.tensor([1, 2])]
        torch.where(x > 2, x, 0 * x)
    assert reads.seen == {"_local_scalar_dense": 2, "cpu": 1, "tolist": 1, "nonzero": 1, "mask": 1}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_graphed_training_is_the_plain_one_bit_for_bit(
    name: str, digits: Images, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, plain = TRAININGS[name], student_of(name)
    graphed = copy.deepcopy(plain)
    usual = losses_of(training, plain, digits, teacher)
    cuda = FakeCuda(monkeypatch)
    monkeypatch.setattr("fitnets.training.loop.quickest", GraphedStep)
    assert losses_of(training, graphed, digits, teacher) == usual
    for (key, mine), other in zip(plain.state_dict().items(), graphed.state_dict().values(), strict=True):
        assert torch.equal(mine, other), key
    steps = len(digits.train) // training.batch
    assert [graph.replays for graph in cuda.graphs] == [steps - WARM_UP] * 2, "each epoch is recorded anew"
    assert cuda.warmed == [stream for stream in cuda.made for _ in range(WARM_UP)], "on the recording's stream"
    assert all(stream.waited == [cuda.usual] * WARM_UP for stream in cuda.made) and cuda.usual.waited == cuda.warmed


@pytest.mark.parametrize(("device", "switch", "graphs"), [
    ("cuda:0", "1", True), ("cuda:0", "0", False), ("cuda:0", None, False), ("cpu", "1", False), ("cpu", None, False),
])  # fmt: skip
def test_only_a_gpu_where_it_is_switched_on_replays_graphs(
    device: str, switch: str | None, graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeCuda(monkeypatch)
    module = nn.Linear(1, 1)
    with FakeTensorMode():  # tensors that claim to be on a GPU
        index_B = torch.zeros(1, dtype=torch.long, device=device)
        step = Step(optimiser(BASE, module), lambda index_B: module.weight.sum(), index_B)
    monkeypatch.delenv(SWITCH, raising=False)
    if switch is not None:
        monkeypatch.setenv(SWITCH, switch)
    found = quickest(step)
    assert isinstance(found, GraphedStep) if graphs else found is step
