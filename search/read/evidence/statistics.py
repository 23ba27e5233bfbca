"""How sure a validation accuracy is, and whether two of them can be told apart. Pure functions of counts.

All intervals are for 95 %, all tests two-sided at 5 %. Images count as drawn at random from those to come.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

from scipy.stats import binomtest  # type: ignore[import-untyped]

LEVEL = 0.95
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)  # 1.96


class Interval(NamedTuple):
    """Two ends, as fractions."""

    low: float
    high: float


def wilson(right: int, of: int) -> Interval:
    """The score interval of a share, `right` of `of` (Wilson, JASA 22, 1927).

        (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    Raises ValueError unless 0 <= right <= of and of > 0.
    """
    if not 0 <= right <= of or of == 0:
        raise ValueError(f"{right} of {of} is no share: 0 <= right <= of, and of > 0.")
    share, weight = right / of, Z * Z / of
    centre = share + weight / 2
    half = Z * math.sqrt(share * (1 - share) / of + weight / (4 * of))
    low = 0.0 if right == 0 else (centre - half) / (1 + weight)
    return Interval(low, 1.0 if right == of else (centre + half) / (1 + weight))


def of_accuracy(accuracy: float, images: int) -> Interval:
    """The same of an accuracy on this many images, each of which is right or wrong. Raises the same error."""
    return wilson(round(accuracy * images), images)


def ends(interval: Interval | None, name: str = "accuracy") -> dict[str, float | None]:
    """An interval as columns of a table or of a JSON object: `accuracy_low` and `accuracy_high`; None where unknown."""
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def mcnemar(only_one: int, only_other: int) -> float:
    """The p-value that two nets are equally accurate, from the images that only one of them has right.

    McNemar's exact test (Psychometrika 12, 1947): under equal accuracy each of the b + c such images is one's or the
    other's with probability 1/2, so p = min(1, 2 sum_{k <= min(b, c)} C(b + c, k) / 2^(b + c)). 1 where there are none.
    """
    images = only_one + only_other
    return float(binomtest(only_one, images, 0.5).pvalue) if images else 1.0


def difference(right: tuple[int, int], of: int) -> Interval:
    """The interval of the difference of two shares of the same number `of` of images, taken as independent samples.

    Newcombe's hybrid of two Wilson intervals (Statistics in Medicine 17, 1998, method 10). Two nets mostly fail on the
    same images, so on the same images it is wider than it need be: it calls too many pairs tied, never too few.
    """
    one, other = wilson(right[0], of), wilson(right[1], of)
    share = right[0] / of, right[1] / of
    middle = share[0] - share[1]
    below = math.hypot(share[0] - one.low, other.high - share[1])
    above = math.hypot(one.high - share[0], share[1] - other.low)
    return Interval(middle - below, middle + above)


def tied_paired(only_one: int, only_other: int) -> bool:
    """Whether two nets cannot be told apart by the images that only one of them has right."""
    return mcnemar(only_one, only_other) >= 1 - LEVEL


def tied_unpaired(right: tuple[int, int], of: int) -> bool:
    """Whether two nets cannot be told apart by their numbers of right images alone."""
    low, high = difference(right, of)
    return low <= 0 <= high
