"""Checks of a brought teacher before it is used: it must return logits, deterministic ones, better than chance.

Every error names the remedy, with lines to copy if it is code. Shape suffixes: B batch, C channels, H rows,
W columns, K classes.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from fitnets.config import Brought
from fitnets.errors import InputError
from fitnets.images.images import Images
from fitnets.images.printable import counted, one_line

SINGLES = 8  # images that are also run in a batch of one
IMAGES = 128  # in the batch
SAME = 1e-3  # of the logits' range: the allowed difference of two passes over one batch, as sums may be reordered
ALIKE = 2e-2  # of the logits' spread over images: a further allowed difference, between an image alone and in a batch
SUM_TOLERANCE = 1e-3


def check_channels(teacher: Brought, network: nn.Module, images: Images) -> None:
    """Raises InputError, with a wrapper to copy, for a network whose first convolution takes other channels."""
    x_BCHW = _some(images)[:2]
    seen: list[tuple[int, int]] = []

    def record(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Conv2d) and inputs and isinstance(inputs[0], Tensor) and inputs[0].dim() == 4:
            seen.append((module.in_channels, inputs[0].shape[1]))

    handles = [part.register_forward_pre_hook(record) for part in network.modules()]
    try:
        with suppress(Exception), torch.no_grad(), _forked_rng(images):  # errors of the network are raised later
            network(x_BCHW)
    finally:
        for handle in handles:
            handle.remove()
    channels = images.shape[0]
    if not seen or seen[0][1] != channels or seen[0][0] == channels:
        return
    wanted = seen[0][0]
    problem = (
        f"`{teacher.build}` fails on images of {images.shape}: it takes {counted(wanted, 'channel')}, and they have "
        f"{channels}"
    )
    if channels == 1:
        x = f"x.expand(-1, {wanted}, -1, -1)"
    elif wanted == 1:
        x = "x.mean(1, keepdim=True)"
    else:
        raise InputError(f"{problem}: bring a teacher of {counted(channels, 'channel')}.")
    given = ""
    if teacher.mean is not None and teacher.std is not None:
        mean, std = ([[[number]] for number in numbers] for numbers in (teacher.mean, teacher.std))
        x = f"({x} - x.new_tensor({mean})) / x.new_tensor({std})"
        given = f", mean={(0.0,) * channels}, std={(1.0,) * channels}"
    raise InputError(f"{problem}: {wrapped(teacher, f'self.network({x})', given)}")


def wrapped(teacher: Brought, call: str, given: str = "") -> str:
    """The remedy of wrapping the module so that its output is `call`, with the lines to copy."""
    module, function = teacher.build.split(":")
    hints = "".join(f'"network.{name}", ' for name in teacher.hint_layers)
    return (
        f'wrap it in `{module}`, and bring it with build="{module}:Wrapped", hint_layers=({hints.rstrip()}){given}:\n'
        "    class Wrapped(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        f"            self.network = {function}()\n"
        "        def forward(self, x):\n"
        f"            return {call}"
    )


def check_outputs(teacher: Brought, network: nn.Module, images: Images) -> None:
    """Run a batch of validation images twice, and some of its images alone.

    `network` takes our network input and is in eval mode. Raises InputError unless it returns a tensor with a finite
    logit for each class, and for outputs that differ from pass to pass or depend on the rest of the batch.
    """
    with _forked_rng(images):
        _check_outputs(teacher, network, images, _some(images))


def _check_outputs(teacher: Brought, network: nn.Module, images: Images, x_BCHW: Tensor) -> None:
    name = f"`{teacher.build}`"
    out = _run(teacher, network, images, x_BCHW)
    _check_tensor(teacher, out, len(images.classes))
    if not torch.isfinite(out).all():
        bad = int((~torch.isfinite(out)).any(1).sum())
        raise InputError(
            f"{name} puts out numbers that are not finite for {bad} of {len(out)} images: check its weights, and its "
            "`mean` and `std`."
        )
    out = out.float()
    same = SAME * float((out - out.mean()).abs().max())
    alike = same + ALIKE * float((out - out.mean(0)).abs().max())
    if float((_run(teacher, network, images, x_BCHW).float() - out).abs().max()) > same:
        raise InputError(
            f"{name} puts out something else when it sees the same images again: it must not draw random numbers in "
            "eval mode. Dropout that stays on is `F.dropout(x)`: write `F.dropout(x, training=self.training)`."
        )
    for number in range(min(SINGLES, len(x_BCHW))):
        one = _run(teacher, network, images, x_BCHW[number : number + 1])
        if one.shape != out[:1].shape:
            raise InputError(
                f"{name} puts out {tuple(one.shape)} for one image, not {tuple(out[:1].shape)}: it must keep the first "
                "axis, also of a batch of one (`squeeze()` drops it: write `flatten(1)`)."
            )
        if not float((one.float() - out[number]).abs().max()) <= alike:
            raise InputError(
                f"{name} puts out something else for an image alone than for the same image in a batch: it must not "
                "use the batch's statistics in eval mode. Use `BatchNorm2d` with running statistics "
                "(`track_running_stats=True`), and leave `train()` out of `forward`."
            )
    _check_logits(teacher, out)


def check_accuracy(teacher: Brought, accuracy: float, images: Images) -> None:
    """Raises InputError if the validation accuracy is below `min_accuracy` or, without that, no better than chance.

    Chance is the share of the most frequent class; better means by more than that share's standard error.
    """
    remedy = "check its weights, its classes' order and its `mean` and `std`"
    reaches = f"`{teacher.build}` reaches {accuracy:.4f} on the validation images"
    if teacher.min_accuracy is not None:
        if accuracy < teacher.min_accuracy:
            raise InputError(f"{reaches}, but `min_accuracy` is {teacher.min_accuracy}: {remedy}.")
        return
    number = len(images.val)
    chance = int(torch.bincount(images.val.label_N).max()) / number
    error = math.sqrt(chance * (1 - chance) / number)
    if accuracy <= chance + error:
        raise InputError(
            f"{reaches}, no better than chance ({chance:.4f}, with a standard error of {error:.4f} on {number:,} "
            f"images): {remedy}; or say with `min_accuracy` what is enough."
        )


def _forked_rng(images: Images) -> AbstractContextManager[None]:
    """A context in which random numbers that a network draws do not change the global generators."""
    return torch.random.fork_rng([images.device] if images.device.type == "cuda" else [])


def _some(images: Images) -> Tensor:
    """The first validation images, as network input BCHW."""
    return next(images.batches(images.val))[0][:IMAGES]


def _run(teacher: Brought, network: nn.Module, images: Images, x_BCHW: Tensor) -> Any:
    try:
        with torch.no_grad():
            return network(x_BCHW.clone())  # a copy, because the network may change it in place
    except Exception as error:  # the user's code
        one = ", one of them at a time" if len(x_BCHW) == 1 else ""
        raise InputError(f"`{teacher.build}` fails on images of {images.shape}{one}: {one_line(error)}") from error


def _check_tensor(teacher: Brought, out: Any, classes: int) -> None:
    if not isinstance(out, Tensor):
        raise InputError(
            f"`{teacher.build}` returns a {type(out).__name__}: it must return the logits alone. Correct its "
            f"`forward`, or {wrapped(teacher, 'self.network(x)' + _place(out, classes))}"
        )
    if out.dim() != 2 or out.shape[1] != classes:
        raise InputError(
            f"`{teacher.build}` puts out {tuple(out.shape[1:])} for an image, but there are {classes} classes: "
            "it must return one logit per class."
        )


def _place(out: Any, classes: int) -> str:
    """Where the logits are in a tuple, list, dictionary or object: by the number of classes, else the first item."""
    items: list[tuple[str, Any]] = []
    if isinstance(out, Mapping):
        items = [(f"[{key!r}]", value) for key, value in out.items()]
    elif isinstance(out, Sequence):
        items = [(f"[{number}]", value) for number, value in enumerate(out)]
    elif hasattr(out, "__dict__"):
        items = [(f".{key}", value) for key, value in vars(out).items()]
    fitting = [place for place, value in items if isinstance(value, Tensor) and value.shape[1:] == (classes,)]
    return next(iter([*fitting, *(place for place, _ in items)]), "[0]")


def _check_logits(teacher: Brought, out_BK: Tensor) -> None:
    """Raises InputError for probabilities, as softening them again leaves little. Log-probabilities are accepted."""
    if out_BK.min() < 0 or out_BK.max() > 1 + SUM_TOLERANCE:
        return
    sums = out_BK.sum(1)
    last = "a softmax" if float((sums - 1).abs().max()) < SUM_TOLERANCE else "a sigmoid"
    raise InputError(
        f"`{teacher.build}` puts out numbers between 0 and 1 alone, as {last} does: it must return logits. Leave out "
        "what comes after its last linear layer."
    )
