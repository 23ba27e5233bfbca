"""Which validation images a network classifies correctly, a bit an image. Nothing here needs torch."""

import base64
from collections.abc import Iterable
from typing import Self

from pydantic import NonNegativeInt, model_validator

from fitnets.values.base import Value


class PerImage(Value):
    """A bit for each validation image, in the images' own order: set where the network is right."""

    of: NonNegativeInt
    """The number of images."""
    right: str
    """The bits, the first image's the lowest, as ceil(of / 8) bytes in base64: 68 characters for 396 images."""

    @classmethod
    def counted(cls, right: Iterable[bool]) -> Self:
        """From one truth value an image."""
        flags = list(right)
        bits = int("".join("1" if flag else "0" for flag in reversed(flags)) or "0", 2)
        return cls(of=len(flags), right=base64.b64encode(bits.to_bytes(-(-len(flags) // 8), "little")).decode())

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.bits >> self.of:
            raise ValueError(f"it has bits beyond its {self.of} images")
        return self

    @property
    def bits(self) -> int:
        """All bits as one whole number."""
        return int.from_bytes(base64.b64decode(self.right, validate=True), "little")

    @property
    def count(self) -> int:
        """How many images are right."""
        return self.bits.bit_count()

    def only(self, other: "PerImage") -> tuple[int, int]:
        """How many images only this network has right, and how many only the other one.

        Raises ValueError for another number of images.
        """
        if self.of != other.of:
            raise ValueError(f"they are of {self.of} and of {other.of} images.")
        mine, theirs = self.bits, other.bits
        return (mine & ~theirs).bit_count(), (theirs & ~mine).bit_count()
