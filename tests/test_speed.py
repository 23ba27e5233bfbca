"""Every speed trick gives what the slow way gives: tables, shared prefixes, bf16's bounds, steps that never wait."""

from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fitnets import hints as hint_module
from fitnets import tables
from fitnets.config import Hint, Precision, Recipe, Report, Result
from fitnets.data import Images
from fitnets.distill import distill, prefix_key
from fitnets.fit import fit
from fitnets.hints import Hints, Target
from fitnets.models import Network, initialise
from fitnets.precision import computing, native
from fitnets.store import Store
from fitnets.teacher import Teacher
from fitnets.views import Plan
from search.inline import InlineWorkers
from search.loop import DIRECTIONS, Search
from search.study import Named, open_storage
from tests.helpers import DIGITS, RECIPE, STUDY, TEACHER

CPU = torch.device("cpu")
PRECISIONS: list[Precision] = ["float32", "bf16"]


def run(recipe: Recipe, images: Images, teacher: Teacher, store: Store | None) -> tuple[list[Report], Result]:
    reports: list[Report] = []
    stages = distill(recipe, images, teacher, store)
    while True:
        try:
            reports.append(next(stages))
        except StopIteration as stop:
            return reports, stop.value


def told(reports: list[Report]) -> list[Report]:
    """Reports without their times."""
    return [report.changed(seconds=0.0) for report in reports]


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
    target = Target(teacher.prefix(2), (4, 4))
    tabled = Hints(teacher, 2, target, digits, precision, Store(tmp_path)).epoch(1)
    live = Hints(teacher, 2, target, digits, precision, None).epoch(1)
    plan = Plan.draw(len(digits.train), 1, digits.data, CPU)
    index_B = torch.arange(0, 640, 10)
    x_BCHW = digits.views(plan, index_B)
    assert torch.allclose(tabled(index_B, x_BCHW).float(), live(index_B, x_BCHW).float(), rtol=2e-3, atol=2e-3)
    assert list((tmp_path / "hints").iterdir())


def test_hints_beyond_the_limits_are_computed_live(
    digits: Images, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(teacher.prefix(2), (4, 4))
    table_bytes = 2 * len(digits.train) * 24 * 4 * 4
    monkeypatch.setattr(hint_module, "TABLES_BYTES", 2 * table_bytes)
    hints = Hints(teacher, 2, target, digits, "float32", Store(tmp_path))
    for epoch in (1, 2, 3):
        hints.epoch(epoch)
    chunks = -(-len(digits.train) // tables.CHUNK)
    assert len([f for f in (tmp_path / "hints").iterdir() if not f.name.startswith(".")]) == 2 * chunks
    monkeypatch.setattr(hint_module, "TABLE_BYTES", table_bytes - 1)
    Hints(teacher, 2, target, digits, "float32", Store(tmp_path / "other")).epoch(1)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tables_and_a_reused_prefix_change_nothing_bit_for_bit(
    digits: Images, teacher: Teacher, tmp_path: Path, precision: Precision
) -> None:
    recipe, store = RECIPE.changed(precision=precision), Store(tmp_path)
    live_reports, live = run(recipe, digits, teacher, None)
    first_reports, first = run(recipe, digits, teacher, store)
    again_reports, again = run(recipe, digits, teacher, store)
    assert live.weights == first.weights == again.weights
    assert told(live_reports) == told(first_reports) == told(again_reports)
    assert first.outcome.prefix == again.outcome.prefix == prefix_key(recipe, digits, teacher)
    assert (live.outcome.prefix_reused, first.outcome.prefix_reused, again.outcome.prefix_reused) == (
        False,
        False,
        True,
    )
    assert [report.seconds for report in again_reports if report.stage == "stage 1"] == [0.0, 0.0]


def test_a_prefix_is_shared_by_trials_that_differ_above_it(digits: Images, teacher: Teacher, tmp_path: Path) -> None:
    """Wider top, other stage 2: the same stage 1, and the result of retraining it."""
    convs = list(RECIPE.student.convs)
    convs[-1] = convs[-1].changed(width=20)
    other = RECIPE.changed(
        student=RECIPE.student.changed(convs=convs),
        distill=RECIPE.distill.changed(tau=5.0),
        stage2=RECIPE.stage2.changed(lr=1e-3),
    )
    run(RECIPE, digits, teacher, Store(tmp_path))
    _, reused = run(other, digits, teacher, Store(tmp_path))
    _, retrained = run(other, digits, teacher, None)
    assert reused.outcome.prefix_reused
    assert not retrained.outcome.prefix_reused
    assert reused.weights == retrained.weights


def test_a_prefixs_key_sees_everything_that_stage_one_depends_on(digits: Images, teacher: Teacher) -> None:
    assert RECIPE.hint is not None
    assert RECIPE.stage1 is not None
    lower = list(RECIPE.student.convs)
    lower[0] = lower[0].changed(width=12)
    changes: list[dict[str, Any]] = [
        {"student": RECIPE.student.changed(convs=lower)},
        {"student": RECIPE.student.changed(norm="batch")},
        {"hint": Hint(hint=1, guided=2)},
        {"hint": Hint(hint=2, guided=1)},
        {"hint": RECIPE.hint.changed(regressor="normalised")},
        {"hint": RECIPE.hint.changed(scale="paper")},
        {"stage1": RECIPE.stage1.changed(lr=1e-4)},
        {"stage1": RECIPE.stage1.changed(epochs=3)},
        {"init": "uniform"},
        {"init_range": 0.01},
        {"precision": "bf16"},
        {"seed": 1},
    ]
    keys = [prefix_key(RECIPE.changed(**change), digits, teacher) for change in changes]
    assert len({prefix_key(RECIPE, digits, teacher), *keys}) == len(changes) + 1
    upper = RECIPE.changed(stage2=RECIPE.stage2.changed(lr=1e-4), distill=RECIPE.distill.changed(tau=9.0))
    assert prefix_key(upper, digits, teacher) == prefix_key(RECIPE, digits, teacher)


def _row(index_B: Tensor) -> Tensor:
    return index_B[:, None].float() + torch.tensor([0.0, 0.5])


def _fill(folder: str, counter: str) -> bool:
    def rows(index_B: Tensor) -> Tensor:
        with Path(counter).open("a") as file:
            file.write(f"{int(index_B[0])}\n")
        return _row(index_B)

    table = tables.tabled("logits", "d", 20 * tables.CHUNK, rows, Store(Path(folder)), CPU)
    return torch.equal(table, _row(torch.arange(20 * tables.CHUNK)).half())


def test_two_workers_fill_a_table_together(tmp_path: Path) -> None:
    """Each chunk is computed once, whoever computes it."""
    with get_context("spawn").Pool(2) as pool:
        assert pool.starmap(_fill, [(str(tmp_path / "store"), str(tmp_path / "counter"))] * 2) == [True, True]
    computed = Counter((tmp_path / "counter").read_text().split())
    assert set(computed.values()) == {1}
    assert len(computed) == 20


class Reads(TorchDispatchMode):
    """Counts the operations that make the host wait for the device."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name.startswith(self.NAMES):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_an_epoch_reads_the_device_once(digits: Images, teacher: Teacher, optimizer: str) -> None:
    assert RECIPE.stage1 is not None
    training = RECIPE.stage1.changed(optimizer=optimizer)
    student = Network(RECIPE.student)
    initialise(student, "scaled", 0.0, 0)
    logits_NK, sizes = teacher.logits(digits, 1, None), set()

    def epoch_loss(number: int) -> Callable[[Tensor], Tensor]:
        plan = Plan.draw(len(digits.train), number, digits.data, CPU)

        def loss(index_B: Tensor) -> Tensor:
            sizes.add(len(index_B))
            error_BK: Tensor = student(digits.views(plan, index_B)) - logits_NK[index_B].float()
            return error_BK.square().mean()

        return loss

    epochs = fit(student, epoch_loss, training, num_images=len(digits.train), seed=0, device=CPU)
    for _ in range(training.epochs):
        with Reads() as reads:
            next(epochs)
        assert reads.seen == {"_local_scalar_dense": 1}
    assert sizes == {training.batch}, "every batch has one shape"


def test_both_stages_read_the_device_twice_an_epoch(digits: Images, teacher: Teacher, tmp_path: Path) -> None:
    """Once for the loss, once for the validation: with the tables filled, nothing else waits."""
    run(RECIPE, digits, teacher, Store(tmp_path))
    (entry,) = (tmp_path / "prefix").iterdir()
    for file in entry.iterdir():
        file.unlink()
    stages: Iterator[Report] = distill(RECIPE, digits, teacher, Store(tmp_path))
    for _ in range(4):
        with Reads() as reads:
            next(stages)
        assert reads.seen == {"_local_scalar_dense": 2}


def test_bf16_keeps_weights_in_float32_and_is_refused_with_the_papers_init(digits: Images, teacher: Teacher) -> None:
    from safetensors.torch import load as load_tensors

    _, result = run(RECIPE.changed(precision="bf16"), digits, teacher, None)
    assert {tensor.dtype for tensor in load_tensors(result.weights).values()} == {torch.float32}
    with pytest.raises(ValueError, match="scaled"):
        RECIPE.changed(precision="bf16", init="uniform")


def _entries(store: Path) -> dict[str, int]:
    """Every file of teachers and tables, and when it was written."""
    kinds = ("teacher", "logits", "hints")
    return {str(f): f.stat().st_mtime_ns for kind in kinds for f in (store / kind).rglob("*") if f.is_file()}


def test_a_second_study_trains_no_teacher_and_fills_no_table(tmp_path: Path) -> None:
    """The same images and teacher: whatever the second study's students are, all that is shared is there."""

    def study(name: str, tau: float) -> list[Report]:
        workers = InlineWorkers()
        facts = workers.open(DIGITS, Path("nowhere"), tmp_path / "store")
        teacher_epochs: list[Report] = []
        taught = workers.teach(TEACHER, teacher_epochs.append)
        recipe = RECIPE.changed(distill=RECIPE.distill.changed(tau=tau), seed=int(tau))
        storage = open_storage(f"sqlite:///{tmp_path}/studies.db")
        optuna.create_study(study_name=name, storage=storage, directions=DIRECTIONS)
        named = Named(name="ours", stages=recipe.student.stages, hint=Hint(hint=2, guided=2), distill=recipe.distill)
        small = STUDY.changed(name=name, data=DIGITS, first=(named,), seed=int(tau), trials=1)
        frame = small.frame(facts.shape, len(facts.classes), len(taught.hint_shapes))
        Search(small, frame, storage, workers, Store(tmp_path / "store")).run(1, lambda search, event: None)
        return teacher_epochs

    assert len(study("first", 2.0)) == TEACHER.training.epochs
    before = _entries(tmp_path / "store")
    assert {Path(name).parents[1].name for name in before} == {"teacher", "logits", "hints"}
    assert study("second", 7.0) == []
    assert _entries(tmp_path / "store") == before


def test_the_native_precision_is_a_precision() -> None:
    assert native(CPU) in PRECISIONS
