"""Small values and shared strategies of the tests. No tests here."""

import math
import os
import random
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import strategies as st
from torch import nn

from fitnets.config import Data, Hint, Recipe, Report, Result, Trained, Training
from fitnets.nets.cost import cost
from fitnets.values.base import sha256
from fitnets.values.net import Conv, Dense, Net
from search.driver.sampling.draw import Draw, Proposal
from search.space import Space, recipe_of, suggest
from search.study import Staged, Study

ROOT = Path(__file__).parent.parent  # of the repository
REFERENCE: dict[str, Any] = yaml.safe_load((ROOT / "tests/paper/reference.yaml").read_text())
DIGITS = Data(name="digits", shift=1, val_fraction=0.285)
TEACHER = Trained(
    net=Net.staged((1, 8, 8), 10, ((16,), (24,), (32,))),
    training=Training(epochs=6, lr=5e-3, batch=64, schedule="one-cycle"),
)
STUDENT = Net.staged((1, 8, 8), 10, ((8, 8), (12,)))
SHORT = Training(epochs=2, lr=5e-3, batch=64, schedule="one-cycle")
RECIPE = Recipe(student=STUDENT, hint=Hint(hint=2, guided=2), stage1=SHORT, stage2=SHORT)

FAST = SHORT.changed(lr=0.05, optimizer="muon", schedule="linear")
FAST_DIGITS = DIGITS.changed(flip=True, plans=2)
FAST_TEACHER = Trained(
    net=Net.staged((1, 8, 8), 10, ((16,), (24,), (32,)), pieces=1, norm="batch"), training=FAST, own_views=True
)
FAST_RECIPE = Recipe(
    student=Net.staged((1, 8, 8), 10, ((8, 8), (16, 16)), pieces=1, norm="batch", shortcuts=True),
    hint=Hint(hint=2, guided=2),
    stage1=FAST,
    stage2=FAST.changed(epochs=3),
)
"""The family of the `cifar10` study, on digits: its views repeat in the third epoch."""

STUDY = Study(
    name="tiny",
    data=DIGITS.changed(limit=300),
    teacher=Staged(stages=((8,), (12,)), training=Training(epochs=1, lr=5e-3, batch=64)),
    space=Space(stages=2, depth=(1, 2), base_width=(4, 8), multiplier=(1.0, 2.0)),
    stage1=Training(epochs=1, lr=1e-3, batch=64),
    stage2=Training(epochs=1, lr=1e-3, batch=64),
    trials=3,
)


def paper_net(
    shape: list[int], convs: list[list[int]], dense: list[tuple[int, int]], classes: int, *, relu: bool = False
) -> Net:
    """A net from the reference's rows `[out, kernel, pad, pieces, pool, stride]`."""
    rows = [
        Conv(width=width, kernel=kernel, pad=pad, pieces=1 if relu else pieces, pool=pool, pool_stride=stride)
        for width, kernel, pad, pieces, pool, stride in convs
    ]
    fc = tuple(Dense(width=units, pieces=pieces) for units, pieces in dense)
    return Net(input=(shape[0], shape[1], shape[2]), convs=tuple(rows), dense=fc, classes=classes)


def ended(stream: Generator[Report, None, Result]) -> tuple[list[Report], Result]:
    """A run's Reports and Result."""
    reports: list[Report] = []
    while True:
        try:
            reports.append(next(stream))
        except StopIteration as stop:
            return reports, stop.value


def untimed(reports: list[Report]) -> list[Report]:
    """Reports without their times."""
    return [report.changed(seconds=0.0) for report in reports]


def numbers(reports: list[Report]) -> list[Report]:
    """Reports without their times, and without whether they were told before."""
    return [report.changed(replayed=False) for report in untimed(reports)]


def state_hash(module: nn.Module) -> str:
    """A digest of everything in a module's state."""
    parts = [f"{name}{tensor.detach().cpu().numpy().tobytes()!r}" for name, tensor in module.state_dict().items()]
    return sha256("".join(parts))


@st.composite
def nets(draw: st.DrawFn) -> Net:
    """Valid nets of every kind: kernels, pads, pieces, overlapping poolings, dense layers, normalisation, shortcuts."""
    rows = columns = 0
    shape = (draw(st.integers(1, 3)), draw(st.integers(5, 20)), draw(st.integers(5, 20)))
    rows, columns = shape[1:]
    convs: list[Conv] = []
    for _ in range(draw(st.integers(1, 5))):
        shortcut = bool(convs) and convs[-1].pool == 1 and draw(st.booleans())
        pad = draw(st.integers(0, 2 if shortcut else 3))
        kernel = 2 * pad + 1 if shortcut else draw(st.integers(1, min(5, min(rows, columns) + 2 * pad)))
        rows, columns = rows + 2 * pad - kernel + 1, columns + 2 * pad - kernel + 1
        pool = draw(st.integers(1, min(4, max(rows, columns))))
        stride = draw(st.integers(1, pool))
        convs.append(
            Conv(
                width=convs[-1].width if shortcut else draw(st.integers(1, 9)),
                kernel=kernel,
                pad=pad,
                pieces=draw(st.integers(1, 4)),
                pool=pool,
                pool_stride=stride,
                shortcut=shortcut,
            )
        )
        if pool > 1:
            rows, columns = (max(0, math.ceil((size - pool) / stride)) + 1 for size in (rows, columns))
    widths = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), max_size=2))
    dense = tuple(Dense(width=width, pieces=pieces) for width, pieces in widths)
    norm = draw(st.sampled_from(["none", "batch"]))
    biases = draw(st.sampled_from(["tied", "untied"]))
    classes = draw(st.integers(2, 7))
    output = draw(st.sampled_from(["softmax", "sigmoid"])) if classes == 2 else "softmax"
    return Net(input=shape, convs=tuple(convs), dense=dense, classes=classes, norm=norm, biases=biases, output=output)


def random_images(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Standard normal numbers, always the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def open_to_all(folder: Path) -> None:
    """Let every user write into a folder of pytest's, which only its own user may enter."""
    folder.chmod(0o777)
    for above in list(folder.parents)[:-2]:
        above.chmod(above.stat().st_mode | 0o555)


@contextmanager
def unprivileged() -> Iterator[None]:
    """This process as a user with no rights to pytest's folders where it is root, whom no rights hinder."""
    before = os.getresuid()
    other = 65534 if before[0] == 0 else before[0]
    try:
        os.setresuid(other, other, before[2])
    except PermissionError:
        pytest.skip("root in a container that may not become another user")
    try:
        yield
    finally:
        os.setresuid(*before)


def proposal(seed: int) -> Proposal:
    """A random student of STUDY, for grey 8x8 images of ten classes."""
    draw, frame = Draw(random.Random(seed)), STUDY.frame((1, 8, 8), 10, STUDY.teacher.hints)
    recipe = recipe_of(suggest(draw, STUDY.space), STUDY.space, frame)
    return Proposal(recipe, cost(recipe.student), {"max_params": -0.5}, draw.params, draw.distributions)
