"""Images as they were read, and their split class by class. Shape suffixes: N images, H rows, W columns, C channels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fitnets.errors import InputError

Part = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Raw:
    """Images as they were read."""

    pixels_NHWC: NDArray[np.uint8]
    label_N: NDArray[np.int64]
    classes: tuple[str, ...]

    def take(self, index: NDArray[np.int64]) -> "Raw":
        """The images at `index`."""
        return Raw(self.pixels_NHWC[index], self.label_N[index], self.classes)


def stratified(label_N: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices kept and indices held out, each in ascending order: `fraction` of every class, one image at least.

    Raises InputError when a class has fewer than two images.
    """
    generator = np.random.default_rng(seed)
    held: list[NDArray[np.int64]] = []
    for label in np.unique(label_N):
        members = generator.permutation(np.flatnonzero(label_N == label))
        if len(members) < 2:
            raise InputError(
                f"class {label} has {len(members)} image, but a split needs two at least: add images to it."
            )
        held.append(members[: min(len(members) - 1, max(1, round(fraction * len(members))))])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(label_N)), out), out
