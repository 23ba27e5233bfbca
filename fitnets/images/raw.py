"""Images as they were read, and their split class by class. Shape suffixes: N images, H rows, W columns, C channels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fitnets.errors import InputError


@dataclass(frozen=True, slots=True)
class Raw:
    """Images as they were read."""

    pixels_NHWC: NDArray[np.uint8]
    label_N: NDArray[np.int64]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What a person should know of them, a plain line each."""

    def take(self, index: NDArray[np.int64]) -> "Raw":
        """The images at `index`."""
        return replace(self, pixels_NHWC=self.pixels_NHWC[index], label_N=self.label_N[index])

    def noted(self, notes: tuple[str, ...]) -> "Raw":
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def parted(self, fraction: float, seed: int) -> tuple["Raw", "Raw"]:
        """The images kept and those held out, as `stratified` tells them."""
        kept, held = stratified(self.label_N, fraction, seed, self.classes)
        return self.take(kept), self.take(held)


def stratified(
    label_N: NDArray[np.int64], fraction: float, seed: int, classes: Sequence[str] = (), least: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices kept and indices held out, each in ascending order: `fraction` of every class, `least` images at least.

    Raises InputError when a class, which `classes` names, has fewer than two images.
    """
    generator = np.random.default_rng(seed)
    held: list[NDArray[np.int64]] = []
    for label in np.unique(label_N):
        members = generator.permutation(np.flatnonzero(label_N == label))
        if len(members) < 2:
            name = f"`{classes[label]}`" if classes else f"class {label}"
            raise InputError(f"{name} has {len(members)} image, but a split needs two at least: add images to it.")
        held.append(members[: min(len(members) - 1, max(least, round(fraction * len(members))))])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(label_N)), out), out
