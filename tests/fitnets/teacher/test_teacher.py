"""The teacher: trained once into the store, frozen for good, the same numbers wherever it is loaded."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fitnets.config import Data, Report
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.images.images import Images, accuracy, load
from fitnets.images.views import Plan
from fitnets.nets.network import Network
from fitnets.teacher import opening, train
from fitnets.teacher.teacher import Frozen, Teacher
from fitnets.values.net import Net
from tests.helpers import DIGITS, SHORT, TEACHER, random_images, state_hash

CPU = torch.device("cpu")


@pytest.fixture
def x_BCHW() -> torch.Tensor:
    """Network input."""
    return random_images((6, 1, 8, 8))


def test_a_trained_teacher_is_far_above_chance_and_says_so(digits: Images, teacher: Teacher) -> None:
    assert teacher.val_accuracy > 0.8
    assert accuracy(teacher.network, digits, digits.val) == teacher.val_accuracy


def test_training_tells_of_every_epoch(digits: Images, tmp_path: Path) -> None:
    short = TEACHER.changed(training=SHORT)
    store = Store(tmp_path)
    assert not train.is_trained(short, digits, store)
    reports = list(train.trained(short, digits, store))
    assert [(r.stage, r.epoch, r.epochs) for r in reports] == [("teacher", 1, 2), ("teacher", 2, 2)]
    assert reports[1].loss < reports[0].loss
    assert opening.load(short, digits, store).val_accuracy == reports[-1].val_accuracy
    assert train.is_trained(short, digits, store)
    assert list(train.trained(short, digits, store)) == [], "trained once"


def test_the_stored_teacher_says_the_same_in_another_store(
    digits: Images, teacher: Teacher, shared_store: Store, tmp_path: Path, x_BCHW: torch.Tensor
) -> None:
    again = opening.load(TEACHER, digits, shared_store)
    assert torch.equal(again.network(x_BCHW), teacher.network(x_BCHW))
    there = Store(tmp_path)
    train.receive(TEACHER, digits, there, train.files(TEACHER, digits, shared_store))
    sent = opening.load(TEACHER, digits, there)
    assert torch.equal(sent.network(x_BCHW), teacher.network(x_BCHW))
    assert (sent.digest, sent.val_accuracy) == (teacher.digest, teacher.val_accuracy)


def test_equal_seeds_train_equal_teachers(digits: Images, tmp_path: Path) -> None:
    def trained(place: str, seed: int) -> str:
        settings = TEACHER.changed(training=SHORT.changed(epochs=1), seed=seed)
        reports: list[Report] = list(train.trained(settings, digits, Store(tmp_path / place)))
        assert len(reports) == 1
        return state_hash(opening.load(settings, digits, Store(tmp_path / place)).network)

    assert trained("a", 0) == trained("b", 0) != trained("c", 1)


def test_a_teacher_with_own_views_never_sees_those_that_it_teaches_on(
    digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shifts are of another seed than the study's, and so is the teacher, but not how its accuracy is measured."""
    seeds: list[int] = []
    draw = Plan.draw

    def drawn(num_images: int, epoch: int, data: Data, device: torch.device) -> Plan:
        seeds.append(data.seed)
        return draw(num_images, epoch, data, device)

    monkeypatch.setattr(Plan, "draw", drawn)
    shared = TEACHER.changed(training=SHORT)
    own = shared.changed(own_views=True)
    assert shared.digest() != own.digest()
    for teacher in (shared, own):
        list(train.trained(teacher, digits, Store(tmp_path)))
    assert seeds[: SHORT.epochs] == [digits.data.seed] * SHORT.epochs
    assert digits.data.seed not in seeds[SHORT.epochs :] and len(seeds) == 2 * SHORT.epochs
    loaded = opening.load(own, digits, Store(tmp_path))
    assert accuracy(loaded.network, digits, digits.val) == loaded.val_accuracy


def test_a_teacher_trains_on_more_views_than_it_teaches_on(digits: Images, tmp_path: Path) -> None:
    """`plans` saves the teacher's passes for students; its own training has views of its own in every epoch."""
    short, hashes, names = TEACHER.changed(training=SHORT), set[str](), set[str]()
    for number, plans in enumerate((None, 1)):
        images, store = load(DIGITS.changed(plans=plans), Path("nowhere")), Store(tmp_path / str(number))
        list(train.trained(short, images, store))
        hashes.add(state_hash((teacher := opening.load(short, images, store)).network))
        tables = {teacher.logits(images, epoch, store).numpy().tobytes() for epoch in (1, 2, 3)}
        assert len(tables) == (1 if plans else 3)
        names.update(store.names("teacher"))
    assert len(hashes) == len(names) == 1


def test_a_teacher_that_was_not_trained_is_not_found(digits: Images, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="is not in the store: train it first"):
        opening.load(TEACHER, digits, Store(tmp_path))


def test_a_half_trained_teacher_is_not_in_the_store(digits: Images, tmp_path: Path) -> None:
    stream = train.trained(TEACHER.changed(training=SHORT), digits, Store(tmp_path))
    next(stream)
    del stream
    assert not train.is_trained(TEACHER.changed(training=SHORT), digits, Store(tmp_path))


@pytest.mark.parametrize("net", [Net.staged((3, 8, 8), 10, ((4,),)), Net.staged((1, 8, 8), 7, ((4,),))])
def test_a_teacher_for_other_images_is_refused(digits: Images, tmp_path: Path, net: Net) -> None:
    with pytest.raises(InputError, match=r"but the images are \(1, 8, 8\) with 10 classes: change `teacher.net`"):
        list(train.trained(TEACHER.changed(net=net), digits, Store(tmp_path)))


def test_a_teacher_is_known_by_everything_that_it_was_trained_on(digits: Images) -> None:
    keys = {
        train._trained_key(TEACHER, digits),
        train._trained_key(TEACHER.changed(seed=1), digits),
        train._trained_key(TEACHER.changed(training=SHORT), digits),
        train._trained_key(TEACHER, load(DIGITS.changed(shift=2), Path("nowhere"))),
        train._trained_key(TEACHER, load(DIGITS.changed(flip=True), Path("nowhere"))),
        train._trained_key(TEACHER, load(DIGITS.changed(seed=3), Path("nowhere"))),
        train._trained_key(TEACHER, load(Data(name="digits", shift=1, val_fraction=0.3), Path("nowhere"))),
    }
    assert len(keys) == 7


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_frozen_is_in_eval_mode_whatever_is_called_on_what_holds_it(norm: str, x_BCHW: torch.Tensor) -> None:
    network = Network(Net.staged((1, 8, 8), 10, ((4,), (4,)), norm="batch" if norm == "batch" else "none"))
    frozen = Frozen(network)
    before = state_hash(network)
    holder = nn.Sequential(frozen, nn.BatchNorm1d(10)).train()
    holder(x_BCHW)
    frozen.train()
    assert not any(part.training for part in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    assert not frozen(x_BCHW.clone().requires_grad_()).requires_grad
    assert state_hash(network) == before


@pytest.mark.parametrize("hint", [1, 2, 3])
def test_a_prefix_is_what_a_hook_sees(teacher: Teacher, x_BCHW: torch.Tensor, hint: int) -> None:
    seen: list[torch.Tensor] = []
    handle = teacher.network.network.get_submodule(teacher.hint_names[hint - 1]).register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    teacher.network(x_BCHW)
    handle.remove()
    prefix = teacher.prefix(hint)
    out = prefix(x_BCHW)
    assert torch.equal(out, seen[0])
    assert out.shape[1:] == teacher.hint_shapes[hint - 1]
    prefix.train()
    assert not any(part.training for part in prefix.network.modules())


def test_a_table_row_is_the_live_teacher_on_the_same_view(digits: Images, teacher: Teacher, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for epoch in (1, 2):
        table_NK = teacher.logits(digits, epoch, store)
        plan = Plan.draw(len(digits.train), epoch, digits.data, CPU)
        index_B = torch.tensor([0, 7, 500, len(digits.train) - 1])
        live_BK = teacher.network(digits.views(plan, index_B))
        assert table_NK.shape == (len(digits.train), 10)
        assert torch.allclose(table_NK[index_B].float(), live_BK, rtol=2e-3, atol=2e-3)
        assert torch.equal(table_NK, teacher.logits(digits, epoch, store)), "stored and computed are one"
    assert not torch.equal(teacher.logits(digits, 1, store), teacher.logits(digits, 2, store))


def test_tables_of_other_views_or_seeds_are_other_tables(digits: Images, teacher: Teacher, tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = teacher.logits(digits, 1, store)
    for data in (DIGITS.changed(shift=2), DIGITS.changed(flip=True), DIGITS.changed(seed=1)):
        other = load(data, Path("nowhere"))
        assert torch.equal(teacher.logits(other, 1, store), teacher.logits(other, 1, None))
        assert not torch.equal(teacher.logits(other, 1, store), first)


def test_a_damaged_table_is_made_again(digits: Images, teacher: Teacher, tmp_path: Path) -> None:
    first = teacher.logits(digits, 1, Store(tmp_path))
    files = list((tmp_path / "logits").rglob("*.npy"))
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:-1] + b"\x99")
    assert torch.equal(teacher.logits(digits, 1, Store(tmp_path)), first)


def test_images_shown_as_they_are_need_one_table_for_all_epochs(teacher: Teacher, tmp_path: Path) -> None:
    still = load(DIGITS.changed(shift=0), Path("nowhere"))
    store = Store(tmp_path)
    first = teacher.logits(still, 1, store)
    chunks = len(store.names("logits"))
    for epoch in (2, 3):
        assert torch.equal(teacher.logits(still, epoch, store), first)
        assert torch.equal(teacher.logits(still, epoch, None), first), "computed anew, they are the same"
    assert len(store.names("logits")) == chunks > 0


def test_tables_of_another_torch_are_not_reused(
    teacher: Teacher, digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    key = teacher.table_key(digits, epoch=1)
    teacher.logits(digits, 1, store)
    made = store.names("logits")
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert teacher.table_key(digits, epoch=1) != key
    teacher.logits(digits, 1, store)
    assert len(store.names("logits")) == 2 * len(made)
