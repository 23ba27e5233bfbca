"""A network's accuracy on each class, and which classes it confuses. Nothing here needs torch."""

from collections.abc import Sequence
from typing import Self

from fitnets.values.base import Value

MOST_MISTAKEN = 200
"""How many pairs of classes are stored: every pair of ten classes, the most frequent ones of a hundred."""


class PerClass(Value):
    """For the validation images of each class: how many there are, how many are classified correctly, and as which
    class the others are classified. Classes are numbered from 0, in the images' own order."""

    of: tuple[int, ...]
    right: tuple[int, ...]
    mistaken: tuple[tuple[int, int, int], ...]
    """True class, predicted class and number of images: the most frequent first, at most `MOST_MISTAKEN`."""

    @classmethod
    def counted(cls, counts: Sequence[Sequence[int]]) -> Self:
        """From the whole confusion matrix: row = true class, column = predicted class."""
        pairs = [
            (true, predicted, count)
            for true, row in enumerate(counts)
            for predicted, count in enumerate(row)
            if count and predicted != true
        ]
        pairs.sort(key=lambda pair: -pair[2])
        return cls(
            of=tuple(sum(row) for row in counts),
            right=tuple(row[true] for true, row in enumerate(counts)),
            mistaken=tuple(pairs[:MOST_MISTAKEN]),
        )

    @property
    def accuracy(self) -> float:
        """The share of images that are classified correctly."""
        return sum(self.right) / sum(self.of)

    @property
    def whole(self) -> bool:
        """Whether `mistaken` contains every mistake, so that the confusion matrix can be drawn."""
        return sum(self.right) + sum(count for _, _, count in self.mistaken) == sum(self.of)
