"""A teacher that somebody brings: taps, renormalisation, and every way in which it can be unfit."""

import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fitnets.config import Brought, Data
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.images.images import Images, load
from fitnets.nets.taps import Tap
from fitnets.teacher import opening
from fitnets.teacher.teacher import Teacher
from tests.helpers import random_images, state_hash


class Theirs(nn.Module):
    """Somebody's network: batch normalisation, dropout, and an in-place ReLU right after a layer."""

    def __init__(self, classes: int = 10):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(8 * 4 * 4, classes)
        self.unused = nn.Conv2d(1, 1, 1)
        self.calls: list[str] = []

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.relu(self.norm(self.first(x_BCHW)))
        x_BCHW = self.second(x_BCHW)
        self.calls.append("above")
        logits_BK: Tensor = self.out(self.drop(torch.relu(x_BCHW)).flatten(1))
        return logits_BK


def theirs() -> Theirs:
    """Always the same weights, and running statistics that differ from 0 and 1."""
    torch.manual_seed(0)
    network = Theirs()
    network.norm.register_buffer("running_mean", torch.full((6,), 0.3))
    network.norm.register_buffer("running_var", torch.full((6,), 2.0))
    return network


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes functions importable as `somebody:name`."""
    made = types.ModuleType("somebody")
    monkeypatch.setitem(sys.modules, "somebody", made)

    def add(**functions: Any) -> None:
        vars(made).update(functions)

    add(build=theirs)
    return add


BROUGHT = Brought(build="somebody:build", hint_layers=("first", "second"), min_accuracy=0.0)


def bring(images: Images, tmp_path: Path, **fields: Any) -> Teacher:
    """The teacher, loaded."""
    return opening.load(BROUGHT.changed(**fields), images, Store(tmp_path))


def refusal(images: Images, tmp_path: Path, **fields: Any) -> str:
    """What a person is told."""
    with pytest.raises(InputError) as caught:
        bring(images, tmp_path, **fields)
    return str(caught.value)


def test_it_says_what_the_module_says(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    teacher = bring(digits, tmp_path)
    x_BCHW = random_images((5, 1, 8, 8))
    with torch.no_grad():
        assert torch.equal(teacher.network(x_BCHW), theirs().eval()(x_BCHW))
    assert teacher.hint_shapes == ((6, 8, 8), (8, 4, 4))
    assert teacher.hint_pieces == (1, 1)
    assert 0 <= teacher.val_accuracy <= 1


def test_a_tap_is_what_a_hook_sees_before_an_in_place_layer(
    digits: Images, tmp_path: Path, module: Callable[..., None]
) -> None:
    teacher, x_BCHW = bring(digits, tmp_path), random_images((5, 1, 8, 8))
    plain = theirs().eval()
    seen: dict[str, Tensor] = {}
    for name in ("first", "second"):
        plain.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.__setitem__(name, output.clone())
        )
    with torch.no_grad():
        plain(x_BCHW)
    for number, name in ((1, "first"), (2, "second")):
        assert torch.equal(teacher.prefix(number)(x_BCHW), seen[name])


def test_an_in_place_layer_after_the_tap_changes_nothing(tmp_path: Path) -> None:
    """The tapped output itself is what ReLU would overwrite."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 10)).eval()
    x_BCHW = random_images((5, 1, 8, 8))
    with torch.no_grad():
        tapped = Tap(network, "0")(x_BCHW)
        network(x_BCHW)
        assert torch.equal(tapped, network[0](x_BCHW))
    assert float(tapped.min()) < 0


def test_nothing_above_the_tap_is_computed_and_no_hook_stays(tmp_path: Path) -> None:
    network = theirs().eval()
    x_BCHW = random_images((2, 1, 8, 8))
    Tap(network, "first")(x_BCHW)
    assert network.calls == []
    network(x_BCHW)
    assert network.calls == ["above"]
    assert all(not part._forward_hooks for part in network.modules())


def test_a_tap_that_is_never_reached_says_so() -> None:
    with pytest.raises(ValueError, match="never calls its submodule `unused`"):
        Tap(theirs().eval(), "unused")(random_images((2, 1, 8, 8)))


def test_weights_come_from_a_safetensors_file(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    other = theirs()
    with torch.no_grad():
        other.out.weight.mul_(-1)
    save_file(other.state_dict(), tmp_path / "weights.safetensors")
    teacher = bring(digits, tmp_path, weights=str(tmp_path / "weights.safetensors"))
    assert state_hash(teacher.network.network) == state_hash(other)
    assert teacher.digest != bring(digits, tmp_path).digest


SOMEBODYS = {
    "layers_of_somebody": """
from torch import nn
class Halved(nn.Linear):
    def forward(self, x): return super().forward(x) / 2
""",
    "net_of_somebody": """
import torch
from torch import nn
from layers_of_somebody import Halved
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Conv2d(1, 4, 3), Halved(4 * 36, 10)
    def forward(self, x): return self.out(self.first(x).flatten(1))
""",
    "somebody_builds": """
import torch
from net_of_somebody import Net
def build():
    torch.manual_seed(0)
    return Net()
""",
}
"""Three files: a layer's, the network's, and the function's."""


@pytest.mark.parametrize("changed", SOMEBODYS)
def test_equal_weights_under_other_code_are_another_teacher(
    digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """A corrected `forward` must not go on with what the wrong one said."""
    monkeypatch.syspath_prepend(tmp_path)

    def digest(**sources: str) -> str:
        for name, source in (SOMEBODYS | sources).items():
            (tmp_path / f"{name}.py").write_text(source)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return bring(digits, tmp_path, build="somebody_builds:build", hint_layers=("first",)).digest

    before = digest()
    assert digest(**{changed: SOMEBODYS[changed] + "# corrected\n"}) != before
    assert digest() == before
    for name in SOMEBODYS:
        sys.modules.pop(name)


@pytest.mark.parametrize("hint", [1, 2])
def test_other_standardisation_equals_direct_computation(
    digits: Images, tmp_path: Path, module: Callable[..., None], hint: int
) -> None:
    """Pixels in [0, 1], standardised as the module expects, against our own path."""
    teacher = bring(digits, tmp_path, mean=(0.5,), std=(0.2,))
    pixels = digits.val.pixels_NHWC[:20].permute(0, 3, 1, 2).float() / 255
    ours = next(digits.batches(digits.val))[0][:20]
    plain = theirs().eval()
    with torch.no_grad():
        assert torch.allclose(teacher.network(ours), plain((pixels - 0.5) / 0.2), atol=1e-5)
        wanted = Tap(plain, ("first", "second")[hint - 1])((pixels - 0.5) / 0.2)
    assert torch.allclose(teacher.prefix(hint)(ours), wanted, atol=1e-5)


def test_it_stays_frozen(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    teacher = bring(digits, tmp_path)
    nn.Sequential(teacher.network, teacher.prefix(1)).train()
    before = state_hash(teacher.network)
    x_BCHW = random_images((5, 1, 8, 8))
    assert torch.equal(teacher.network(x_BCHW), teacher.network(x_BCHW)), "dropout is off"
    assert state_hash(teacher.network) == before, "batch normalisation learns nothing"
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert not any(part.training for part in teacher.network.network.modules())


@pytest.mark.parametrize("build", ["no_such_package:build", "somebody:missing", "somebody.below:build"])
def test_what_cannot_be_imported(digits: Images, tmp_path: Path, module: Callable[..., None], build: str) -> None:
    message = refusal(digits, tmp_path, build=build)
    assert message.startswith(f"`build` is `{build}`, but it cannot be imported (")
    assert "give `package.module:function`" in message


def test_a_module_that_is_no_python_is_told_in_one_line(
    digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unfinished.py").write_text("def build(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = refusal(digits, tmp_path, build="unfinished:build")
    assert message.startswith("`build` is `unfinished:build`, but it cannot be imported (SyntaxError: ")
    assert "unfinished.py, line 1" in message and "\n" not in message


def test_a_function_that_fails_or_returns_something_else(
    digits: Images, tmp_path: Path, module: Callable[..., None]
) -> None:
    def needs(path: str) -> nn.Module:
        return theirs()

    def fails() -> nn.Module:
        raise RuntimeError("no GPU here")

    module(number=lambda: 3, needs=needs, fails=fails, constant=3)
    assert refusal(digits, tmp_path, build="somebody:number") == (
        "`somebody:number` returned a int, but must return an nn.Module."
    )
    for name, reason in (("needs", "path"), ("fails", "no GPU here"), ("constant", "not callable")):
        message = refusal(digits, tmp_path, build=f"somebody:{name}")
        assert reason in message and f"somebody:{name}" in message


def test_a_hint_layer_that_it_does_not_have(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    message = refusal(digits, tmp_path, hint_layers=("first", "third"))
    assert message.startswith(
        "`hint_layers` names `third`, which the teacher does not have: choose from `first`, `norm`"
    )


def test_a_hint_layer_without_a_map(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    message = refusal(digits, tmp_path, hint_layers=("first", "out"))
    assert message == (
        "hint layer `out` puts out (10,), but a hint is a map (channels, rows, columns): choose another."
    )


def test_a_hint_layer_that_is_never_called(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    assert "never calls its submodule `unused`" in refusal(digits, tmp_path, hint_layers=("unused",))


def test_a_hint_layer_that_puts_out_no_tensor(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    class Pair(nn.Module):
        def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
            return x_BCHW, x_BCHW

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair, self.out = Pair(), nn.Linear(64, 10)

        def forward(self, x_BCHW: Tensor) -> Tensor:
            logits_BK: Tensor = self.out(self.pair(x_BCHW)[0].flatten(1))
            return logits_BK

    module(odd=Odd)
    message = refusal(digits, tmp_path, build="somebody:odd", hint_layers=("pair",))
    assert "its submodule `pair` puts out a tuple, not a tensor" in message


def test_other_classes(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    module(seven=lambda: Theirs(7))
    message = refusal(digits, tmp_path, build="somebody:seven")
    assert message == (
        "`somebody:seven` puts out (7,) for an image, but there are 10 classes: it must return one logit per class."
    )


def test_images_that_it_cannot_take(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    module(large=lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))
    message = refusal(digits, tmp_path, build="somebody:large", hint_layers=("0",))
    assert message.startswith("`somebody:large` fails on images of (1, 8, 8): ")


@pytest.mark.parametrize("form", ["absent", "no safetensors", "another network", "a folder"])
def test_weights_that_do_not_load(digits: Images, tmp_path: Path, module: Callable[..., None], form: str) -> None:
    path = tmp_path / "weights"
    if form == "no safetensors":
        path.write_bytes(b"pickled, perhaps")
    elif form == "another network":
        save_file(nn.Linear(2, 2).state_dict(), path)
    elif form == "a folder":
        path.mkdir()
    message = refusal(digits, tmp_path, weights=str(path))
    assert message.startswith(f"`weights` is `{path}`, which does not load into `somebody:build`: ")


def test_another_number_of_channels_or_whitened_images(
    digits: Images, tmp_path: Path, module: Callable[..., None]
) -> None:
    message = refusal(digits, tmp_path, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    assert "have 3 and 3 numbers, the images 1 channels: give one number per channel" in message
    white = load(Data(name="digits", whiten=True), Path("nowhere"))
    assert "whitened" in refusal(white, tmp_path, mean=(0.5,), std=(0.2,))


def test_a_deviation_of_zero(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match="std"):
        bring(digits, tmp_path, mean=(0.5,), std=(0.0,))


def test_a_teacher_less_accurate_than_said(digits: Images, tmp_path: Path, module: Callable[..., None]) -> None:
    message = refusal(digits, tmp_path, min_accuracy=0.99)
    assert "on the validation images, but `min_accuracy` is 0.99: check its weights" in message
