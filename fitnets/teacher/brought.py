"""A teacher that somebody brings: any `nn.Module`, its weights, and its hint layers by name.

Shape suffixes: B batch, C channels, H rows, W columns.
"""

import importlib
import inspect
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from fitnets.config import Brought
from fitnets.errors import InputError
from fitnets.images.images import Images
from fitnets.images.printable import one_line
from fitnets.nets.taps import Tap
from fitnets.values.base import sha256
from fitnets.values.net import Shape

OTHERS = {"torch", "torchvision", "fitnets"} | sys.stdlib_module_names  # whose code is not the teacher's own


class Renormalised(nn.Module):
    """A network behind the change from our standardisation to the one that it was trained with."""

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


def brought(teacher: Brought, images: Images) -> tuple[nn.Module, tuple[str, ...], tuple[Shape, ...]]:
    """The module that takes our network input, its hint layers' names inside it, and their shapes.

    Raises InputError when it cannot be built, or does not fit the images.
    """
    network = _build(teacher).eval()
    _check_names(teacher, network)
    names = teacher.hint_layers
    if teacher.mean is not None and teacher.std is not None:
        network = _renormalised(network, teacher.mean, teacher.std, images)
        names = tuple(f"network.{name}" for name in names)
    network = network.to(images.device)
    x_BCHW = next(images.batches(images.val))[0][:2]
    with torch.no_grad():
        try:
            out = tuple(network(x_BCHW).shape)
            shapes = [tuple(Tap(network, name)(x_BCHW).shape[1:]) for name in names]
        except Exception as error:  # somebody else's code
            raise InputError(f"`{teacher.build}` fails on images of {images.shape}: {error}") from error
    if out != (2, len(images.classes)):
        raise InputError(
            f"`{teacher.build}` puts out {out[1:]} for an image, but there are {len(images.classes)} classes: "
            "it must return one logit per class."
        )
    maps: list[Shape] = []
    for name, shape in zip(teacher.hint_layers, shapes, strict=True):
        if len(shape) != 3:
            raise InputError(
                f"hint layer `{name}` puts out {shape}, but a hint is a map (channels, rows, columns): choose another."
            )
        maps.append((shape[0], shape[1], shape[2]))
    return network, names, tuple(maps)


def code_of(teacher: Brought, network: nn.Module) -> str:
    """The digest of the code that makes and is `network`: of the modules of `build` and of every submodule's classes.

    Equal weights under another `forward` are another teacher. Modules without a source file say nothing.
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
        except (KeyError, TypeError, OSError):  # made at run time, built in, or in a zip file
            continue
    return sha256(repr(sources))


def _build(teacher: Brought) -> nn.Module:
    module_name, function = teacher.build.split(":")
    try:
        build = getattr(importlib.import_module(module_name), function)
    except Exception as error:  # somebody else's code: it may be no Python at all
        raise InputError(
            f"`build` is `{teacher.build}`, but it cannot be imported ({type(error).__name__}: {one_line(error)}): "
            "give `package.module:function` of an installed package or of the folder that you start in, and correct "
            "what fails in it."
        ) from error
    try:
        network = build()
    except Exception as error:  # somebody else's code
        raise InputError(
            f"`{teacher.build}` cannot be called without arguments ({type(error).__name__}: {error}): correct it."
        ) from error
    if not isinstance(network, nn.Module):
        raise InputError(f"`{teacher.build}` returned a {type(network).__name__}, but must return an nn.Module.")
    if teacher.weights is not None:
        try:
            network.load_state_dict(load_tensors(Path(teacher.weights).read_bytes()))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(
                f"`weights` is `{teacher.weights}`, which does not load into `{teacher.build}`: {error}"
            ) from error
    return network


def _check_names(teacher: Brought, network: nn.Module) -> None:
    names = [name for name, _ in network.named_modules() if name]
    for name in teacher.hint_layers:
        if name not in names:
            some = ", ".join(f"`{known}`" for known in names[:12])
            raise InputError(f"`hint_layers` names `{name}`, which the teacher does not have: choose from {some} ...")


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
