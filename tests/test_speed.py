"""Every speed trick gives what the slow way gives: tables, bf16's bounds, steps that never wait."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fitnets.config import Hint, Precision, Recipe, Report
from fitnets.disk.store import Store
from fitnets.distill.run import distill
from fitnets.images.images import Images, load
from fitnets.images.views import Plan
from fitnets.nets.network import Network, initialise
from fitnets.nets.precision import native
from fitnets.teacher import opening, train
from fitnets.teacher.teacher import Teacher
from fitnets.training.loop import fit
from fitnets.training.run import Run
from search.driver.loop import DIRECTIONS, Search
from search.storage.writer import open_storage
from search.study import Named
from search.workers.inline import InlineWorkers
from tests.helpers import DIGITS, FAST_DIGITS, FAST_RECIPE, FAST_TEACHER, RECIPE, SHORT, STUDY, TEACHER, ended, numbers

CPU = torch.device("cpu")
PRECISIONS: list[Precision] = ["float32", "bf16"]


@pytest.fixture(scope="session")
def fast(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Images, Teacher]:
    """A recipe of the `cifar10` study's family, its images and its teacher."""
    images, store = load(FAST_DIGITS, Path("nowhere")), Store(tmp_path_factory.mktemp("fast"))
    list(train.trained(FAST_TEACHER, images, store))
    return FAST_RECIPE, images, opening.load(FAST_TEACHER, images, store)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", ["maxout", "fast"])
def test_tables_change_nothing_bit_for_bit(
    digits: Images,
    teacher: Teacher,
    fast: tuple[Recipe, Images, Teacher],
    tmp_path: Path,
    precision: Precision,
    family: str,
) -> None:
    whole, images, taught = fast if family == "fast" else (RECIPE, digits, teacher)
    recipe, store = whole.changed(precision=precision), Store(tmp_path)
    live_reports, live = ended(distill(recipe, images, taught, None))
    first_reports, first = ended(distill(recipe, images, taught, store))
    again_reports, again = ended(distill(recipe, images, taught, store))
    assert live.weights == first.weights == again.weights
    assert numbers(live_reports) == numbers(first_reports) == numbers(again_reports)
    assert not any(report.replayed for report in first_reports + again_reports)


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


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop", "muon"])
def test_an_epoch_reads_the_device_once(digits: Images, teacher: Teacher, optimizer: str) -> None:
    training = SHORT.changed(optimizer=optimizer)
    student = Network((FAST_RECIPE if optimizer == "muon" else RECIPE).student)
    initialise(student, "scaled", 0.0, 0)
    logits_NK, sizes = teacher.logits(digits, 1, None), set()

    def epoch_loss(number: int) -> Callable[[Tensor], Tensor]:
        plan = Plan.draw(len(digits.train), number, digits.data, CPU)

        def loss(index_B: Tensor) -> Tensor:
            sizes.add(len(index_B))
            error_BK: Tensor = student(digits.views(plan, index_B)) - logits_NK[index_B].float()
            return error_BK.square().mean()

        return loss

    epochs = fit(Run(student, training), epoch_loss, num_images=len(digits.train), seed=0, device=CPU)
    for _ in range(training.epochs):
        with Reads() as reads:
            next(epochs)
        assert reads.seen == {"_local_scalar_dense": 1}
    assert sizes == {training.batch}, "every batch has one shape"


@pytest.mark.parametrize("family", ["maxout", "fast"])
def test_both_stages_read_the_device_twice_an_epoch(
    digits: Images, teacher: Teacher, fast: tuple[Recipe, Images, Teacher], tmp_path: Path, family: str
) -> None:
    """Once for the loss, once for the validation: with the tables filled, nothing else waits."""
    recipe, images, taught = fast if family == "fast" else (RECIPE, digits, teacher)
    ended(distill(recipe, images, taught, Store(tmp_path)))
    stages: Iterator[Report] = distill(recipe, images, taught, Store(tmp_path))
    for _ in range(4):
        with Reads() as reads:
            next(stages)
        assert reads.seen == {"_local_scalar_dense": 2}


def test_bf16_keeps_weights_in_float32_and_is_refused_with_the_papers_init(digits: Images, teacher: Teacher) -> None:
    from safetensors.torch import load as load_tensors

    _, result = ended(distill(RECIPE.changed(precision="bf16"), digits, teacher, None))
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
