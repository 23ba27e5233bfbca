"""A teacher that the user brings: any `nn.Module`, its weights, and its hint layers by name.

Shape suffixes: B batch, C channels, H rows, W columns.
"""

import inspect
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fitnets.config import Brought
from fitnets.errors import InputError
from fitnets.images.images import Images
from fitnets.images.printable import one_line
from fitnets.nets.taps import Tap
from fitnets.own_code import importable, imported
from fitnets.teacher.probe import check_channels, check_outputs
from fitnets.teacher.weights import load_weights, unprefixed
from fitnets.values.base import sha256
from fitnets.values.net import Shape

OTHERS = {"torch", "torchvision", "fitnets"} | sys.stdlib_module_names  # packages that are not the teacher's own code


class Renormalised(nn.Module):
    """A network preceded by a change from our standardisation to the one that it was trained with."""

    factor_C11: Tensor
    shift_C11: Tensor

    def __init__(self, network: nn.Module, factor_C11: Tensor, shift_C11: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("factor_C11", factor_C11)
        self.register_buffer("shift_C11", shift_C11)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Our network input BCHW to the network's output."""
        y: Tensor = self.network(x_BCHW * self.factor_C11 + self.shift_C11)
        return y


class Opened(NamedTuple):
    """A brought network, adapted to our network input, and its hint layers."""

    network: nn.Module
    hint_names: tuple[str, ...]
    """Their names as submodules of `network`."""
    hint_shapes: tuple[Shape, ...]
    """Channels, rows, columns of each hint layer's map."""
    notes: tuple[str, ...]
    """How it was adapted, a line of text each."""


def brought(teacher: Brought, images: Images) -> Opened:
    """The network, built, loaded and checked (see `fitnets.teacher.probe`).

    Raises InputError when it cannot be built, does not fit the images, or cannot teach.
    """
    network, notes = _unwrapped(_build(teacher))
    if teacher.weights is not None:
        notes += load_weights(teacher, teacher.weights, network)
    _check_precision(teacher, network)
    network = network.eval()
    hints = tuple(name if _has(network, name) else unprefixed(name) for name in teacher.hint_layers)
    _check_names(teacher, network, hints)
    network = network.to(images.device)
    check_channels(teacher, network, images)
    names = hints
    if teacher.mean is not None and teacher.std is not None:
        network = _renormalised(network, teacher.mean, teacher.std, images).to(images.device)
        names = tuple(f"network.{name}" for name in hints)
    check_outputs(teacher, network, images)
    x_BCHW = next(images.batches(images.val))[0][:2]
    with torch.no_grad():
        try:
            shapes = [tuple(Tap(network, name)(x_BCHW).shape[1:]) for name in names]
        except Exception as error:  # the user's code
            raise InputError(f"`{teacher.build}` fails on images of {images.shape}: {one_line(error)}") from error
    maps: list[Shape] = []
    for name, shape in zip(teacher.hint_layers, shapes, strict=True):
        if len(shape) != 3:
            raise InputError(
                f"hint layer `{name}` puts out {shape}, but a hint is a map (channels, rows, columns): choose another."
            )
        maps.append((shape[0], shape[1], shape[2]))
    return Opened(network, names, tuple(maps), notes)


def code_of(teacher: Brought, network: nn.Module) -> str:
    """The digest of the source of `network`: of the modules that define `build` and the classes of all submodules.

    Equal weights with another `forward` are another teacher. Modules without a source file are left out.
    """
    module_name, function = teacher.build.split(":")
    build = getattr(sys.modules[module_name], function)
    names = {module_name, getattr(build, "__module__", None) or module_name}
    names |= {kind.__module__ for part in network.modules() for kind in type(part).__mro__}
    sources: list[tuple[str, str]] = []
    for name in sorted(name for name in names if name.split(".")[0] not in OTHERS):
        try:
            path = inspect.getsourcefile(sys.modules[name])
            if path is not None:
                sources.append((name, sha256(Path(path).read_bytes())))
        except (KeyError, TypeError, OSError):  # created at run time, built in, or in a zip file
            continue
    return sha256(repr(sources))


def _build(teacher: Brought) -> nn.Module:
    module_name, function = teacher.build.split(":")
    try:
        build = getattr(imported(module_name), function)
    except Exception as error:  # the user's code, which may not even be valid Python
        raise InputError(
            f"`build` is `{teacher.build}`, but it cannot be imported ({type(error).__name__}: {one_line(error)}): "
            "give `package.module:function` of an installed package or of the folder that you start in, and correct "
            "what fails in it."
        ) from error
    try:
        with importable():
            network = build()
    except Exception as error:  # the user's code
        raise InputError(
            f"`{teacher.build}` cannot be called without arguments ({type(error).__name__}: {one_line(error)}): "
            "correct it."
        ) from error
    if not isinstance(network, nn.Module):
        raise InputError(f"`{teacher.build}` returned a {type(network).__name__}, but must return an nn.Module.")
    for name, part in network.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise InputError(
                f"`{teacher.build}` returned a scripted module{f' (in `{name}`)' if name else ''}, whose layers cannot "
                "be listened to: bring the Python module that it was scripted from, and its weights as `weights`."
            )
    return network


def _check_precision(teacher: Brought, network: nn.Module) -> None:
    kinds = {parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()}
    others = {str(kind).removeprefix("torch.") for kind in kinds - {torch.float32}}
    if others:
        raise InputError(
            f"`{teacher.build}` has weights in {', '.join(sorted(others))}, but images are float32: return "
            "`network.float()`."
        )


def _unwrapped(network: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """The network inside wrappers such as `DataParallel` and `torch.compile`, which a teacher does not need."""
    notes: tuple[str, ...] = ()
    while True:
        inner = [name for name, _ in network.named_children()]
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            notes += (f"the teacher was unwrapped from {type(network).__name__}.",)
        elif inner == ["_orig_mod"]:
            notes += ("the teacher was unwrapped from `torch.compile`: it runs uncompiled.",)
        else:
            return network, notes
        network = network.get_submodule(inner[0])


def _has(network: nn.Module, name: str) -> bool:
    return name in {known for known, _ in network.named_modules()}


def _check_names(teacher: Brought, network: nn.Module, hints: tuple[str, ...]) -> None:
    names = [name for name, _ in network.named_modules() if name]
    for given, name in zip(teacher.hint_layers, hints, strict=True):
        if name not in names:
            some = ", ".join(f"`{known}`" for known in names[:12])
            raise InputError(f"`hint_layers` names `{given}`, which the teacher does not have: choose from {some} ...")


def _renormalised(network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], images: Images) -> Renormalised:
    channels = images.shape[0]
    if not len(mean) == len(std) == channels or not images.data.standardised:
        raise InputError(
            f"the teacher's `mean` and `std` have {len(mean)} and {len(std)} numbers, the images {channels} channels"
            f"{'' if images.data.standardised else ', whitened or contrast-normalised'}: give one number per channel, "
            "and leave `whiten` and `local_contrast` off."
        )
    theirs_mean, theirs_std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
    ours_mean, ours_std = images.preprocess.mean.cpu() / 255, images.preprocess.deviation.cpu() / 255
    return Renormalised(network, ours_std / theirs_std, (ours_mean - theirs_mean) / theirs_std)
