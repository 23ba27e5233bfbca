"""Intervals and tests: their coverage by simulation, scipy's numbers, and a count of all cases by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest  # type: ignore[import-untyped]

from fitnets.values.per_image import PerImage
from search.read.evidence.statistics import (
    difference,
    ends,
    mcnemar,
    of_accuracy,
    tied_paired,
    tied_unpaired,
    wilson,
)
from search.ship.confirmed import Confirmation, Confirmed

REPEATS = 4000
NOMINAL = (0.93, 0.97)


@given(st.integers(1, 2000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_wilsons_interval_is_scipys(counts: tuple[int, int]) -> None:
    expected = binomtest(*counts).proportion_ci(0.95, "wilson")
    assert wilson(*counts) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_interval_of_a_known_accuracy() -> None:
    """391 of 396 images are 98.74 %, and may be 97.1 to 99.5 %."""
    assert wilson(391, 396) == pytest.approx((0.9708, 0.9946), abs=5e-5)
    assert wilson(396, 396).high == 1.0 and wilson(0, 396).low == 0.0
    with pytest.raises(ValueError, match="5 of 4 is no share"):
        wilson(5, 4)


@given(st.integers(1, 60_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_accuracy_has_the_interval_of_its_images(counts: tuple[int, int]) -> None:
    """Also where it is a float32 mean, as a training reports it."""
    right, of = counts
    assert of_accuracy(right / of, of) == of_accuracy(float(np.float32(right / of)), of) == wilson(right, of)
    assert ends(wilson(right, of)) == {"accuracy_low": wilson(right, of).low, "accuracy_high": wilson(right, of).high}
    assert ends(None, "confirmed") == {"confirmed_low": None, "confirmed_high": None}


@pytest.mark.parametrize("of", [100, 396, 5000])
def test_wilsons_interval_covers_the_true_accuracy(of: int) -> None:
    """Nets of true accuracies from 80 to 99 %: for a single one, coverage goes up and down with `of`."""
    rng = np.random.default_rng(of)
    shares = rng.uniform(0.8, 0.99, REPEATS)
    intervals = [wilson(int(right), of) for right in rng.binomial(of, shares)]
    covered = sum(low <= share <= high for (low, high), share in zip(intervals, shares, strict=True))
    assert NOMINAL[0] <= covered / REPEATS <= NOMINAL[1]


def test_the_interval_over_seeds_covers_the_expected_accuracy() -> None:
    """Twelve students, three runs each: every image of a student is right with its own probability in each run."""
    rng, images, students, repeats = np.random.default_rng(5), 396, 12, 250
    covered = 0
    for _ in range(repeats):
        chance = rng.beta(9.0, 0.5, (students, images))  # most images are always right
        right = rng.random((students, 3, images)) < chance[:, None, :]
        accuracies = right.mean(2)
        found = Confirmation(
            seeds=3,
            val=images,
            students=tuple(
                Confirmed(trial=i, search_accuracy=0.9, params=1, macs=1, accuracies=tuple(map(float, accuracies[i])))
                for i in range(students)
            ),
        )
        for student in found.students:
            half = found.half_width(student)
            assert half is not None
            covered += abs(student.mean - chance[student.trial].mean()) <= half
    assert NOMINAL[0] <= covered / (repeats * students) <= NOMINAL[1]


@given(st.integers(0, 9), st.integers(0, 9))
def test_mcnemars_p_value_is_a_count_of_all_cases(only_one: int, only_other: int) -> None:
    """Of all equally likely outcomes, those at least as uneven as the one that was seen."""
    images = only_one + only_other
    uneven = abs(only_one - only_other)
    cases = [abs(2 * right - images) for right in range(images + 1)]
    weights = [math.comb(images, right) for right in range(images + 1)]
    expected = sum(w for case, w in zip(cases, weights, strict=True) if case >= uneven) / 2**images
    assert mcnemar(only_one, only_other) == pytest.approx(expected)
    if images <= 8:
        flips = [sum(flip) for flip in itertools.product((0, 1), repeat=images)]
        assert expected == pytest.approx(sum(abs(2 * f - images) >= uneven for f in flips) / len(flips))


def test_mcnemar_rejects_equal_nets_at_most_once_in_twenty() -> None:
    rng = np.random.default_rng(3)
    one = rng.random((REPEATS, 396)) < 0.95
    other = np.where(rng.random((REPEATS, 396)) < 0.9, one, rng.random((REPEATS, 396)) < 0.95)
    apart = sum(not tied_paired(int((a & ~b).sum()), int((b & ~a).sum())) for a, b in zip(one, other, strict=True))
    assert 0 < apart / REPEATS <= 0.05


def test_pairs_tell_apart_what_counts_cannot() -> None:
    """Six images that only one has right: on the same images that is no chance, by the counts alone it may be."""
    assert not tied_paired(6, 0)
    assert tied_unpaired((392, 386), 396)
    assert tied_paired(5, 0), "five may be chance: p = 1/16"
    low, high = difference((392, 386), 396)
    assert low < 0 < high
    assert not tied_unpaired((392, 370), 396)


@given(st.integers(1, 300).flatmap(lambda of: st.tuples(st.integers(0, of), st.integers(0, of), st.just(of))))
def test_the_difference_is_antisymmetric_and_holds_the_measured_one(counts: tuple[int, int, int]) -> None:
    one, other, of = counts
    low, high = difference((one, other), of)
    assert low - 1e-12 <= (one - other) / of <= high + 1e-12
    assert difference((other, one), of) == pytest.approx((-high, -low))


@given(st.lists(st.booleans(), max_size=100).flatmap(lambda a: st.tuples(st.just(a), st.permutations(a))))
def test_bits_are_counted_as_they_were_given(flags: tuple[list[bool], list[bool]]) -> None:
    one, other = map(PerImage.counted, flags)
    pairs = list(zip(*flags, strict=True))
    assert one.only(other) == (sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs))
    assert one.count == sum(flags[0]) == other.count
    assert PerImage.model_validate_json(one.model_dump_json()) == one


def test_bits_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="they are of 2 and of 3 images"):
        PerImage.counted([True, False]).only(PerImage.counted([True, False, True]))
    with pytest.raises(ValueError, match="bits beyond its 3 images"):
        PerImage(of=3, right=PerImage.counted([True] * 4).right)
    with pytest.raises(ValueError, match="base64"):
        PerImage(of=3, right="no base64!")
    assert len(PerImage.counted([True] * 396).right) == 68
