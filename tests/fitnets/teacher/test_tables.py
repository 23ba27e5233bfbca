"""A table is the live teacher: of logits and of hints, whoever fills it, and whatever else the same pass tells."""

import math
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.speed.step import paper_teacher
from fitnets.config import Precision
from fitnets.disk.store import Store
from fitnets.distill.run import distill, result_of
from fitnets.errors import InputError
from fitnets.images.images import Images
from fitnets.images.views import Plan
from fitnets.nets.precision import computing
from fitnets.teacher import tables
from fitnets.teacher.hints import Hints
from fitnets.teacher.teacher import Frozen, Teacher
from fitnets.values import table_sizes
from tests.helpers import RECIPE, random_images

CPU = torch.device("cpu")
PRECISIONS: list[Precision] = ["float32", "bf16"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_logit_table_is_the_live_teacher(
    digits: Images, teacher: Teacher, tmp_path: Path, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK", 300)  # several chunks, the last one short
    table_NK = teacher.logits(digits, 3, Store(tmp_path), precision)
    plan = Plan.draw(len(digits.train), 3, digits.data, CPU)
    index_B = torch.randperm(len(digits.train), generator=torch.Generator().manual_seed(0))[:64]
    with computing(precision, CPU):
        live_BK = teacher.network(digits.views(plan, index_B)).half()
    assert table_NK.dtype == torch.float16
    assert torch.allclose(table_NK[index_B].float(), live_BK.float(), rtol=2e-3, atol=2e-3)
    assert torch.equal(table_NK, teacher.logits(digits, 3, Store(tmp_path), precision)), "read again from the store"
    assert torch.equal(table_NK, teacher.logits(digits, 3, None, precision)), "computed without a store"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_hint_table_is_the_live_prefix(
    digits: Images, teacher: Teacher, tmp_path: Path, precision: Precision
) -> None:
    tabled = Hints(teacher, 2, (2, 2), digits, precision, Store(tmp_path)).epoch(1)
    live = Hints(teacher, 2, (2, 2), digits, precision, None).epoch(1)
    plan = Plan.draw(len(digits.train), 1, digits.data, CPU)
    index_B = torch.arange(0, 640, 10)
    x_BCHW = digits.views(plan, index_B)
    assert torch.allclose(tabled(index_B, x_BCHW).float(), live(index_B, x_BCHW).float(), rtol=2e-3, atol=2e-3)
    assert list((tmp_path / "hints").iterdir())


def no_pass(teacher: Teacher) -> Teacher:
    """The teacher, unable to look at an image."""

    class Never(nn.Module):
        def forward(self, x_BCHW: Tensor) -> Tensor:
            raise AssertionError("the teacher was passed again")

    return replace(teacher, network=Frozen(Never()))


def test_the_benches_teacher_is_one() -> None:
    teacher = paper_teacher()
    *hints, logits_BK = teacher.outputs(random_images((2, 3, 32, 32)), [1, 2, 3], logits=True)
    assert [tuple(hint_BCHW.shape[1:]) for hint_BCHW in hints] == list(teacher.hint_shapes)
    assert logits_BK.shape == (2, 10)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_pass_tables_every_hint_and_the_logits_as_passes_of_their_own_do(
    digits: Images, teacher: Teacher, tmp_path: Path, precision: Precision
) -> None:
    one, own = Store(tmp_path / "one"), tmp_path / "own"
    Hints(teacher, 2, (2, 2), digits, precision, one, logit_epochs=1).epoch(1)
    blind, x_BCHW = no_pass(teacher), torch.empty(0)
    index_B = torch.arange(len(digits.train))
    assert torch.equal(teacher.logits(digits, 1, Store(own), precision), blind.logits(digits, 1, one, precision))
    for layer, out in ((1, (4, 4)), (1, (3, 2)), (2, (1, 2)), (3, (1, 1))):
        got = Hints(blind, layer, out, digits, precision, one)
        alone = Hints(teacher, layer, out, digits, precision, Store(own / f"{layer}-{out}"))
        assert torch.equal(got.epoch(1)(index_B, x_BCHW), alone.epoch(1)(index_B, x_BCHW))
    with pytest.raises(AssertionError, match="passed again"):
        blind.logits(digits, 2, one, precision)
    Hints(teacher, 2, (2, 2), digits, precision, one, logit_epochs=1).epoch(2)
    with pytest.raises(AssertionError, match="passed again"):
        blind.logits(digits, 2, one, precision)  # stage 2 has one epoch: nobody would ask for them


def test_hints_beyond_the_limits_have_tables_of_their_own_and_then_are_computed_live(
    digits: Images, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan.draw(len(digits.train), 1, digits.data, CPU)
    index_B = torch.arange(len(digits.train))
    x_BCHW = digits.views(plan, index_B)
    assert teacher.hint_shapes == ((16, 4, 4), (24, 2, 2), (32, 1, 1))
    whole = Hints(teacher, 1, (2, 2), digits, "float32", Store(tmp_path / "whole")).epoch(1)(index_B, x_BCHW)
    table_bytes = 2 * len(digits.train) * 16 * 2 * 2  # too little for a whole map, but the last layer's
    monkeypatch.setattr(table_sizes, "TABLE_BYTES", table_bytes)
    monkeypatch.setattr(table_sizes, "TABLES_BYTES", 2 * table_bytes)
    store = Store(tmp_path / "pooled")
    hints = Hints(teacher, 1, (2, 2), digits, "float32", store, logit_epochs=9)
    for epoch in (1, 2, 3):
        got = hints.epoch(epoch)
        if epoch == 1:
            assert torch.equal(got(index_B, x_BCHW), whole)
    chunks = -(-len(digits.train) // tables.CHUNK)
    kinds = Counter(name.split("-", 1)[1].rsplit("-", 1)[0] for name in store.names("hints"))
    assert kinds == {"1-2x2": 2 * chunks, "3-1x1": 2 * chunks}
    assert len(store.names("logits")) == 2 * chunks
    monkeypatch.setattr(table_sizes, "TABLE_BYTES", table_bytes - 1)
    Hints(teacher, 1, (2, 2), digits, "float32", Store(tmp_path / "other")).epoch(1)
    assert not (tmp_path / "other").exists()


def test_chunks_are_shown_on_the_device_whether_they_were_read_or_made(tmp_path: Path) -> None:
    device = torch.device("meta")
    seen: list[torch.device] = []

    def rows(index_B: Tensor, asked: Sequence[tables.Table]) -> list[Tensor]:
        return [index_B[:, None].float()]

    def shown(chunk: Tensor) -> Tensor:
        seen.append(chunk.device)
        return chunk

    table, store = tables.Table("hints", "d"), Store(tmp_path)
    tables.tabled([table], 10, rows, store, CPU)
    tables.tabled([table], 10, rows, store, device, shown)
    tables.tabled([table], 10, rows, None, device, shown)
    assert seen == [device, device]


NAMES = ("", "other")


def _row(index_B: Tensor, name: str) -> Tensor:
    return index_B[:, None].float() + torch.tensor([0.0, 0.5]) + len(name)


def _fill(folder: str, counter: str, wanted: str) -> bool:
    def rows(index_B: Tensor, asked: Sequence[tables.Table]) -> list[Tensor]:
        with Path(counter).open("a") as file:
            file.write(f"{int(index_B[0])}\n")
        return [_row(index_B, table.name) for table in asked]

    both = sorted((tables.Table("hints", "d", name) for name in NAMES), key=lambda table: table.name != wanted)
    table = tables.tabled(both, 20 * tables.CHUNK, rows, Store(Path(folder)), CPU)
    return torch.equal(table, _row(torch.arange(20 * tables.CHUNK), wanted).half())


@pytest.mark.parametrize("wanted", [("", ""), NAMES])
def test_two_workers_fill_the_tables_of_a_pass_together(tmp_path: Path, wanted: tuple[str, str]) -> None:
    """Each chunk is computed once, whoever computes it, and whichever table each of them is after."""
    with get_context("spawn").Pool(2) as pool:
        tasks = [(str(tmp_path / "store"), str(tmp_path / "counter"), name) for name in wanted]
        assert pool.starmap(_fill, tasks) == [True, True]
    computed = Counter((tmp_path / "counter").read_text().split())
    assert set(computed.values()) == {1}
    assert len(computed) == 20


def scaled(teacher: Teacher, images: Images, *, layer: str, factor: float, image: int) -> Teacher:
    """The teacher with the output of a submodule multiplied by `factor` on one training image as it is."""
    plan = Plan.identity(len(images.train), CPU)
    x_BCHW = images.input(images.train, plan, torch.tensor([image]))

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = deepcopy(teacher.network.network)
            self.factor_B = torch.ones(())
            self.inner.get_submodule(layer).register_forward_hook(
                lambda module, given, output: output * self.factor_B.view(-1, *[1] * (output.ndim - 1))
            )

        def forward(self, x: Tensor) -> Tensor:
            same_B = (x == x_BCHW).flatten(1).all(1)
            self.factor_B = torch.where(same_B, factor, 1.0)
            logits_BK: Tensor = self.inner(x)
            return logits_BK

    names = tuple(f"inner.{name}" for name in teacher.hint_names)
    return replace(teacher, network=Frozen(Scaled()), digest="ab" * 32, hint_names=names)


@pytest.fixture
def still(digits: Images) -> Images:
    """The digits without shifted views."""
    return replace(digits, data=digits.data.changed(shift=0))


@pytest.mark.parametrize("with_store", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_logits_that_float16_cannot_hold_are_the_teachers_fault(
    still: Images, teacher: Teacher, tmp_path: Path, precision: Precision, with_store: bool
) -> None:
    large = scaled(teacher, still, layer="layers.3", factor=1e6, image=600)
    store = Store(tmp_path) if with_store else None
    message = (
        r"the logits of teacher abababababab for the training images reach \d.*e\+0\d on image 600 .* 65,504: scale"
    )
    with pytest.raises(InputError, match=message):
        large.logits(still, 1, store, precision)
    assert not (tmp_path / "logits").exists() or len(Store(tmp_path).names("logits")) == 1, "chunks before it are whole"
    with pytest.raises(InputError, match="the logits of teacher"):
        result_of(distill(RECIPE, still, large, store))


def test_hints_that_float16_cannot_hold_are_the_teachers_fault(still: Images, teacher: Teacher, tmp_path: Path) -> None:
    large = scaled(teacher, still, layer="layers.1", factor=1e6, image=7)
    message = r"the hints of layer 2 \(`inner.layers.1`\) of teacher abababababab for the training images .* image 7 "
    with pytest.raises(InputError, match=message):
        Hints(large, 2, (1, 1), still, "float32", Store(tmp_path)).epoch(1)
    broken = scaled(teacher, still, layer="layers.1", factor=math.nan, image=0)
    with pytest.raises(InputError, match=r"hints of layer 2 .* for the calibration images reach nan on image 0 "):
        Hints(broken, 2, (1, 1), still, "float32", None).unaugmented(still.train, "calibration")
