"""How well a network knows each class, and what it takes for what. No torch."""

from collections.abc import Sequence
from typing import Self

from fitnets.values.base import Value

MOST_MISTAKEN = 200
"""So many pairs of classes are kept: every pair of ten classes, the most frequent of a hundred."""


class PerClass(Value):
    """Of the validation images: how many of each class there are, how many were told right, and what the others were
    taken for. Classes are numbered from 0, in the images' own order."""

    of: tuple[int, ...]
    right: tuple[int, ...]
    mistaken: tuple[tuple[int, int, int], ...]
    """True class, class told, and how many images: the most frequent first, at most `MOST_MISTAKEN`."""

    @classmethod
    def counted(cls, counts: Sequence[Sequence[int]]) -> Self:
        """From the whole confusion matrix: row = true class, column = class told."""
        pairs = [
            (true, told, count)
            for true, row in enumerate(counts)
            for told, count in enumerate(row)
            if count and told != true
        ]
        pairs.sort(key=lambda pair: -pair[2])
        return cls(
            of=tuple(sum(row) for row in counts),
            right=tuple(row[true] for true, row in enumerate(counts)),
            mistaken=tuple(pairs[:MOST_MISTAKEN]),
        )

    @property
    def accuracy(self) -> float:
        """The share that was told right."""
        return sum(self.right) / sum(self.of)

    @property
    def whole(self) -> bool:
        """Whether no mistake was left out: then the confusion matrix can be drawn."""
        return sum(self.right) + sum(count for _, _, count in self.mistaken) == sum(self.of)
