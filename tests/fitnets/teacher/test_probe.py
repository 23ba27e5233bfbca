"""A brought teacher is probed before it teaches: every way in which it would teach something else is refused."""

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from fitnets.config import Brought
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.images.images import Images
from fitnets.teacher import opening
from fitnets.teacher.teacher import Teacher
from search.workers.facts import TeacherFacts
from tests.helpers import random_images


class Theirs(nn.Module):
    """A network that classifies the digits; `top` is what it does with its logits, `middle` with its map."""

    def __init__(self, channels: int = 1, middle: Any = lambda x: x, top: Any = lambda x: x):
        super().__init__()
        self.first, self.out = nn.Conv2d(channels, 4, 3, padding=1), nn.Linear(4 * 64, 10)
        self.middle, self.top = middle, top

    def forward(self, x_BCHW: Tensor) -> Any:
        return self.top(self.out(self.middle(self.first(x_BCHW)).flatten(1)))


@pytest.fixture
def fitted(digits: Images) -> dict[str, Tensor]:
    """The state of a network that is right on most validation images, by least squares."""
    torch.manual_seed(0)
    network = Theirs()
    x_BCHW = torch.cat([x for x, _ in digits.batches(digits.train)])
    with torch.no_grad():
        map_BM = network.first(x_BCHW).flatten(1)
        wanted_BK = 10 * F.one_hot(digits.train.label_N, 10).float() - 1
        network.out.weight.copy_(torch.linalg.lstsq(map_BM, wanted_BK, driver="gelsd").solution.T)
        network.out.bias.zero_()
    return network.state_dict()


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The importable module `somebody`."""
    made = types.ModuleType("somebody")
    monkeypatch.setitem(sys.modules, "somebody", made)
    vars(made).update(torch=torch, F=F)
    return made


@pytest.fixture
def bring(
    digits: Images, tmp_path: Path, somebody: types.ModuleType, fitted: dict[str, Tensor]
) -> Callable[..., Teacher]:
    """Brings what a function makes, or the fitted network with another `middle` or `top`."""

    def bring(made: Callable[[], nn.Module] | None = None, /, *, middle: Any = None, top: Any = None, **f: Any) -> Any:
        def make() -> nn.Module:
            same: Any = lambda x: x  # noqa: E731
            network = Theirs(middle=middle or same, top=top or same)
            network.load_state_dict(fitted, strict=False)
            return network

        vars(somebody)["build"] = made or make
        fields = {"build": "somebody:build", "hint_layers": ("first",)} | f
        return opening.load(Brought.model_validate(fields), digits, Store(tmp_path))

    return bring


def refusal(bring: Callable[..., Teacher], *arguments: Any, **fields: Any) -> str:
    """What a person is told."""
    with pytest.raises(InputError) as caught:
        bring(*arguments, **fields)
    return str(caught.value)


def run(message: str, somebody: types.ModuleType) -> None:
    """Do as the refusal's lines say, in the teacher's module."""
    lines = [line.removeprefix("    ") for line in message.splitlines() if line.startswith("    ")]
    exec("\n".join(lines), vars(somebody))


def test_a_teacher_that_answers_well_and_always_the_same_is_taken(bring: Callable[..., Teacher]) -> None:
    teacher = bring()
    assert teacher.val_accuracy > 0.8
    assert teacher.notes == ()


# random numbers


class Again(nn.Module):
    """Dropout that its own forward turns on."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop.train()(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "middle", [F.dropout, lambda x: F.dropout2d(x, 0.1), lambda x: x + torch.randn_like(x), Again()]
)
def test_one_that_draws_random_numbers_is_refused(bring: Callable[..., Teacher], middle: Any) -> None:
    message = refusal(bring, middle=middle)
    assert message.startswith("`somebody:build` puts out something else when it sees the same images again")
    assert "write `F.dropout(x, training=self.training)`." in message and "\n" not in message


def test_the_probe_takes_no_random_numbers_of_ours(bring: Callable[..., Teacher]) -> None:
    network = Theirs(middle=F.dropout)
    before = torch.random.get_rng_state()
    refusal(bring, lambda: network)
    assert torch.equal(torch.random.get_rng_state(), before)


# the rest of the batch


@pytest.mark.parametrize(
    "middle",
    [
        nn.BatchNorm2d(4, track_running_stats=False),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: x - x.mean(0, keepdim=True),
        lambda x: x / x.abs().max(),
    ],
)
def test_one_whose_answer_depends_on_the_rest_of_the_batch_is_refused(
    bring: Callable[..., Teacher], middle: Any
) -> None:
    message = refusal(bring, middle=middle, min_accuracy=0.0)
    assert message.startswith(
        "`somebody:build` puts out something else for an image alone than for the same image in a"
    )
    assert "track_running_stats=True" in message


@pytest.mark.parametrize("middle", [nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.BatchNorm2d(4).eval()])
def test_normalisation_of_single_images_and_by_running_statistics_is_taken(
    bring: Callable[..., Teacher], middle: nn.Module
) -> None:
    bring(middle=middle.requires_grad_(False), min_accuracy=0.0)


def test_one_that_fails_on_a_single_image_or_drops_its_axis_is_refused(bring: Callable[..., Teacher]) -> None:
    statistics: Any = lambda x: F.batch_norm(x, None, None, training=True)  # noqa: E731
    message = refusal(bring, top=statistics)
    assert "fails on images of (1, 8, 8), one of them at a time: Expected more than 1 value per channel" in message
    message = refusal(bring, top=torch.squeeze)
    assert "puts out (10,) for one image, not (1, 10): it must keep the first axis" in message


# logits


@pytest.mark.parametrize(
    ("top", "last"), [(lambda x: x.softmax(1), "a softmax"), (torch.sigmoid, "a sigmoid"), (nn.Softmax(1), "a softmax")]
)
def test_probabilities_are_refused(bring: Callable[..., Teacher], top: Any, last: str) -> None:
    message = refusal(bring, top=top)
    assert f"puts out numbers between 0 and 1 alone, as {last} does: it must return logits. Leave out what" in message


def test_logarithms_of_probabilities_are_logits(bring: Callable[..., Teacher]) -> None:
    assert bring(top=lambda x: x.log_softmax(1)).val_accuracy == bring().val_accuracy


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(bring: Callable[..., Teacher], bad: float) -> None:
    message = refusal(bring, top=lambda x: torch.where(x > x.mean(), bad, x))
    assert (
        "puts out numbers that are not finite for " in message
        and "check its weights, and its `mean` and `std`" in message
    )


@dataclass
class Output:
    """What some libraries' models return."""

    loss: Tensor | None
    logits: Tensor


@pytest.mark.parametrize(
    "top",
    [
        lambda x: (x, x[:, :3]),
        lambda x: [x[:, :3], x],
        lambda x: {"features": x[:, :3], "logits": x},
        lambda x: Output(None, x),
    ],
)
def test_more_than_the_logits_are_refused_and_the_wrapper_mends_it(
    bring: Callable[..., Teacher], somebody: types.ModuleType, top: Any
) -> None:
    message = refusal(bring, top=top)
    assert message.startswith(
        f"`somebody:build` returns a {type(top(torch.zeros(1, 10))).__name__}: it must return the log"
    )
    assert 'bring it with build="somebody:Wrapped", hint_layers=("network.first",):' in message.splitlines()[0]
    run(message, somebody)
    build = vars(somebody)["build"]
    assert bring(build, build="somebody:Wrapped", hint_layers=("network.first",)).val_accuracy > 0.8


# better than chance


def untrained() -> Theirs:
    """Any weights."""
    torch.manual_seed(1)
    return Theirs()


def test_one_no_better_than_chance_is_refused_unless_a_number_is_given(bring: Callable[..., Teacher]) -> None:
    constant: Any = lambda x: x * 0 + 9 * torch.eye(10)[3]  # noqa: E731
    message = refusal(bring, top=constant)
    assert (
        "on the validation images, no better than chance (0.1" in message and "with a standard error of 0.0" in message
    )
    assert "check its weights, its classes' order and its `mean` and `std`; or say with `min_accuracy` what" in message
    assert bring(top=constant, min_accuracy=0.0).val_accuracy < 0.2


def test_classes_in_another_order_are_refused(bring: Callable[..., Teacher]) -> None:
    assert "no better than chance" in refusal(bring, top=lambda x: x.roll(1, 1))


def test_studies_that_were_stored_with_a_number_load_and_their_teacher_stays_the_same(
    bring: Callable[..., Teacher],
) -> None:
    stored = {"build": "somebody:build", "hint_layers": ["first"], "min_accuracy": 0.0}
    assert Brought.model_validate(stored).min_accuracy == 0.0
    assert Brought.model_validate(stored | {"min_accuracy": None}).min_accuracy is None
    assert bring().digest == bring(min_accuracy=0.0).digest == bring(min_accuracy=0.5).digest


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_refused(bring: Callable[..., Teacher], dtype: torch.dtype) -> None:
    message = refusal(bring, lambda: Theirs().to(dtype))
    name = str(dtype).removeprefix("torch.")
    assert message == f"`somebody:build` has weights in {name}, but images are float32: return `network.float()`."


# wrappers


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("how", ["scripted", "traced", "in part"])
def test_a_scripted_module_is_refused(bring: Callable[..., Teacher], how: str) -> None:
    def build() -> nn.Module:
        network: Any = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10))
        if how == "in part":
            network[0] = torch.jit.script(network[0])
            return network  # type: ignore[no-any-return]
        made: nn.Module = torch.jit.script(network)
        return made if how == "scripted" else torch.jit.trace(network, torch.zeros(1, 1, 8, 8))

    message = refusal(bring, build, hint_layers=("0",))
    assert message.startswith("`somebody:build` returned a scripted module") and "bring the Python module" in message
    assert ("(in `0`)" in message) == (how == "in part")


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
@pytest.mark.parametrize("hint", ["first", "module.first", "_orig_mod.first"])
def test_a_wrapped_module_is_unwrapped(
    bring: Callable[..., Teacher], fitted: dict[str, Tensor], wrap: Any, hint: str
) -> None:
    def build() -> nn.Module:
        network = Theirs()
        network.load_state_dict(fitted)
        wrapped: nn.Module = wrap(network)
        return wrapped

    teacher, plain = bring(build, hint_layers=(hint,)), bring()
    x_BCHW = random_images((5, 1, 8, 8))
    assert type(teacher.network.network) is Theirs and teacher.hint_names == ("first",)
    assert torch.equal(teacher.network(x_BCHW), plain.network(x_BCHW))
    assert len(teacher.notes) == 1 and "was unwrapped from" in teacher.notes[0]


# weights


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_prefixes_in_the_weights_names_are_left_out(
    bring: Callable[..., Teacher], tmp_path: Path, fitted: dict[str, Tensor], prefix: str
) -> None:
    save_file({f"{prefix}{name}": tensor for name, tensor in fitted.items()}, tmp_path / "w.safetensors")
    teacher = bring(Theirs, weights=str(tmp_path / "w.safetensors"))
    assert teacher.val_accuracy == bring().val_accuracy
    assert teacher.notes == (f"`{prefix}` was left out of the names in the teacher's weights.",)


def test_a_network_whose_own_layer_is_called_module_takes_its_weights_as_they_are(
    bring: Callable[..., Teacher], tmp_path: Path, fitted: dict[str, Tensor]
) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = Theirs()

        def forward(self, x_BCHW: Tensor) -> Any:
            return self.module(x_BCHW)

    save_file({f"module.{name}": tensor for name, tensor in fitted.items()}, tmp_path / "w.safetensors")
    teacher = bring(Own, weights=str(tmp_path / "w.safetensors"), hint_layers=("module.first",))
    assert teacher.notes == () and teacher.hint_names == ("module.first",)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.pth.tar", "w.bin", "w.safetensors", "w"])
@pytest.mark.parametrize("form", ["zip", "legacy", "checkpoint"])
def test_a_pickle_is_refused_whatever_its_name_and_the_lines_make_a_file_that_loads(
    bring: Callable[..., Teacher], tmp_path: Path, fitted: dict[str, Tensor], somebody: Any, name: str, form: str
) -> None:
    saved: Any = {"epoch": 3, "state_dict": fitted} if form == "checkpoint" else fitted
    torch.save(saved, tmp_path / name, _use_new_zipfile_serialization=form != "legacy")
    message = refusal(bring, Theirs, weights=str(tmp_path / name))
    assert message.startswith(
        f"`weights` is `{tmp_path / name}`, a pickle, which could run anything: save it as safetensors"
    )
    run(message, somebody)
    (made,) = (file for file in tmp_path.iterdir() if file.is_file() and file.name != name)
    assert bring(Theirs, weights=str(made)).val_accuracy == bring().val_accuracy


def test_a_pickle_is_never_opened(bring: Callable[..., Teacher], tmp_path: Path) -> None:
    import pickle

    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "it ran",)

    (tmp_path / "w.safetensors").write_bytes(pickle.dumps(Bad()))
    assert "a pickle, which could run anything" in refusal(bring, Theirs, weights=str(tmp_path / "w.safetensors"))
    assert not (tmp_path / "it ran").exists()


def test_a_header_as_long_as_a_pickles_first_bytes_is_no_pickle(
    bring: Callable[..., Teacher], tmp_path: Path, fitted: dict[str, Tensor]
) -> None:
    file = tmp_path / "w.safetensors"
    for fill in range(700):
        save_file(fitted, file, metadata={"fill": "x" * fill})
        if file.read_bytes()[:2] == b"\x80\x02":
            break
    assert file.read_bytes()[:2] == b"\x80\x02"
    assert bring(Theirs, weights=str(file)).val_accuracy == bring().val_accuracy


# channels


@pytest.mark.parametrize(
    "standard",
    [
        {},
        {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
        {"mean": (0.5,), "std": (0.25,)},
    ],
)
def test_a_colour_teacher_for_grey_images_is_refused_once_and_the_wrapper_mends_it(
    digits: Images, bring: Callable[..., Teacher], somebody: types.ModuleType, standard: dict[str, Any]
) -> None:
    def build() -> nn.Module:
        torch.manual_seed(3)
        return Theirs(channels=3)

    message = refusal(bring, build, **standard)
    assert message.startswith(
        "`somebody:build` fails on images of (1, 8, 8): it takes 3 channels, and they have 1: wrap it"
    )
    run(message, somebody)
    given = {"mean": (0.0,), "std": (1.0,)} if standard else {}
    assert ("mean=(0.0,), std=(1.0,)" in message) == bool(standard)
    teacher = bring(build, build="somebody:Wrapped", hint_layers=("network.first",), min_accuracy=0.0, **given)
    ours = next(digits.batches(digits.val))[0][:9]
    if standard:
        pixels_B1HW = digits.val.pixels_NHWC[:9].permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(standard[name]).view(-1, 1, 1) for name in ("mean", "std"))
        theirs = (pixels_B1HW.expand(-1, 3, -1, -1) - mean) / std
    else:
        theirs = ours.expand(-1, 3, -1, -1)
    with torch.no_grad():
        assert torch.allclose(teacher.network(ours), build()(theirs), atol=1e-4)


def test_the_weights_of_a_wrapped_network_are_its_own(
    bring: Callable[..., Teacher], somebody: types.ModuleType, tmp_path: Path
) -> None:
    def build() -> nn.Module:
        return Theirs(channels=3)

    save_file(build().state_dict(), tmp_path / "w.safetensors")
    run(refusal(bring, build, weights=str(tmp_path / "w.safetensors")), somebody)
    bring(
        build,
        build="somebody:Wrapped",
        hint_layers=("network.first",),
        weights=str(tmp_path / "w.safetensors"),
        min_accuracy=0.0,
    )


def test_what_was_done_to_a_teacher_is_told_in_its_facts() -> None:
    facts = TeacherFacts(teacher="0", hint_shapes=((1, 2, 2),), val_accuracy=0.5, notes=("unwrapped.",))
    assert TeacherFacts.model_validate_json(facts.model_dump_json()) == facts
    assert "notes" not in facts.changed(notes=()).model_dump()
