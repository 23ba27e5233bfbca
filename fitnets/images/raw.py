"""Images as read from a source, split class by class.

Shape suffixes: N images, H rows, W columns, C channels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fitnets.errors import InputError


@dataclass(frozen=True, slots=True)
class Raw:
    """Images as read from their source."""

    pixels_NHWC: NDArray[np.uint8]
    label_N: NDArray[np.int64]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Remarks for the user, a line of text each."""

    def take(self, index: NDArray[np.int64]) -> "Raw":
        """The images at `index`."""
        return replace(self, pixels_NHWC=self.pixels_NHWC[index], label_N=self.label_N[index])

    def with_notes(self, notes: tuple[str, ...]) -> "Raw":
        """A copy with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def split(self, fraction: float, seed: int) -> tuple["Raw", "Raw"]:
        """The remaining and the held-out images, as `stratified` selects them."""
        remaining, held_out = stratified(self.label_N, fraction, seed, self.classes)
        return self.take(remaining), self.take(held_out)


def stratified(
    label_N: NDArray[np.int64], fraction: float, seed: int, classes: Sequence[str] = (), least: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Remaining and held-out indices, each in ascending order: `fraction` of every class is held out, at least `least`.

    One image of a class always remains. Raises InputError when a class has fewer than two images; `classes` are their
    names.
    """
    generator = np.random.default_rng(seed)
    held_out: list[NDArray[np.int64]] = []
    for label in np.unique(label_N):
        members = generator.permutation(np.flatnonzero(label_N == label))
        if len(members) < 2:
            name = f"`{classes[label]}`" if classes else f"class {label}"
            raise InputError(f"{name} has {len(members)} image, but a split needs two at least: add images to it.")
        held_out.append(members[: min(len(members) - 1, max(least, round(fraction * len(members))))])
    out = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(label_N)), out), out
