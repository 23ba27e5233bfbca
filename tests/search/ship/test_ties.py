"""Students that cannot be told apart: paired where it is stored which images are right, unpaired where not."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fitnets.errors import InputError
from fitnets.values.per_image import PerImage
from search.read.budget import finished
from search.read.candidates import Candidate, Snapshot
from search.read.evidence.statistics import wilson
from search.read.reader import read
from search.ship.confirmed import at_means, columns
from search.ship.sure.ties import RETRY, Ties, summary
from tests.app import synthetic
from tests.search.ship.test_confirmed import confirmation, confirmed
from tests.search.test_results import candidate

STUDENTS = [
    candidate(0, 392 / 396, 9000, 9000),
    candidate(1, 388 / 396, 2000, 2000),
    candidate(2, 360 / 396, 100, 100),
]
RIGHT = {0: synthetic.right(392), 1: synthetic.right(388), 2: synthetic.right(360)}


def ties(right: Mapping[int, PerImage], val: int = 396, found=None) -> Ties:  # type: ignore[no-untyped-def]
    return Ties(val, found, lambda trials: {trial: right[trial] for trial in trials if trial in right})


def test_the_cheapest_that_cannot_be_told_from_the_best() -> None:
    found = ties(RIGHT)
    best, near, far = STUDENTS
    assert found.tied(best, near) == (True, "paired"), "four images: p = 1/8"
    assert found.tied(best, far) == (False, "paired")
    assert found.cheapest(best, [far, near, best]) is near
    assert found.cheapest(far, [far]) is None


def test_without_stored_bits_the_comparison_is_unpaired_and_says_so() -> None:
    found = ties({})
    assert found.tied(STUDENTS[0], STUDENTS[1]) == (True, "unpaired")
    text = summary(found, STUDENTS)
    assert text is not None and "which ones was not stored" in text
    bits = {0: RIGHT[0], 1: PerImage.counted([True] * 3)}  # of another number of images
    assert ties(bits).tied(STUDENTS[0], STUDENTS[1])[1] == "unpaired"


def test_confirmed_students_are_compared_by_their_means() -> None:
    runs = confirmation(confirmed(0, 0.99, 0.988, 0.989), confirmed(1, 0.95, 0.952, 0.951), val=396)
    found = ties(RIGHT, found=runs)
    assert found.tied(STUDENTS[0], STUDENTS[1]) == (False, "seeds")
    assert found.tied(STUDENTS[0], STUDENTS[2])[1] == "paired", "student 2 was not confirmed"
    interval = found.interval(STUDENTS[0])
    assert interval is not None
    assert sum(interval) / 2 == pytest.approx(0.989)


def test_a_rows_interval_is_that_of_the_accuracy_beside_it() -> None:
    """The search's own, also of a confirmed student: what its fresh seeds say has columns of its own."""
    runs = confirmation(confirmed(0, 0.99, 0.988, 0.989, search=392 / 396), confirmed(1, 0.95, 0.952, 0.951), val=396)
    low, high = wilson(392, 396)
    for found in (None, runs):
        assert ties(RIGHT, found=found).columns(STUDENTS[0]) == {"accuracy_low": low, "accuracy_high": high}
    means = at_means(STUDENTS, runs)
    assert ties(RIGHT, found=runs).columns(means[0]) == {"accuracy_low": low, "accuracy_high": high}
    over_seeds = ties(RIGHT, found=runs).interval(means[0])
    written = columns(runs, 0)
    assert over_seeds == (written["confirmed_low"], written["confirmed_high"]) != (low, high)
    assert columns(runs, 2)["confirmed_low"] is columns(None, 0)["confirmed_high"] is None
    unknown = {"accuracy_low": None, "accuracy_high": None}
    assert ties(RIGHT).columns(candidate(3, 0.9, 1, 1, "running")) == unknown
    assert ties(RIGHT, val=0).columns(STUDENTS[0]) == unknown


def test_the_interval_is_that_of_the_mean_while_there_are_single_runs_alone() -> None:
    """It was that of the search's run: beside 95.0 % stood 97.4 to 99.6."""
    runs = confirmation(confirmed(0, 376 / 396, search=392 / 396), val=396)
    assert runs.half_width(runs.students[0]) is None
    found = ties(RIGHT, found=runs)
    assert found.interval(at_means(STUDENTS, runs)[0]) == found.interval(STUDENTS[0]) == wilson(376, 396)
    assert found.interval(STUDENTS[1]) == wilson(388, 396), "not confirmed"


def test_a_storage_that_cannot_be_read_now_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read was taken as not stored, for good and without a word."""
    clock, asked, locked = [100.0], [0], [True]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def busy(trials: Sequence[int]) -> Mapping[int, PerImage]:
        asked[0] += 1
        if locked[0]:
            raise InputError("locked")
        return {trial: RIGHT[trial] for trial in trials}

    found = Ties(396, None, busy)
    best, near, far = STUDENTS
    assert found.tied(best, near) == (True, "unpaired") and found.unread
    assert found.how(best, near).endswith("which ones cannot be read just now")
    assert found.tied_with(best, [near, far]) == [near]
    assert asked[0] == 1, "each attempt may wait for seconds"
    clock[0], locked[0] = 100 + 1.1 * RETRY, False
    assert found.tied(best, near) == (True, "paired") and not found.unread


def test_the_sentence_names_the_interval_and_the_tie() -> None:
    text = summary(ties(RIGHT), STUDENTS)
    assert text == (
        "trial 0 has 98.98% (97.4 to 99.6, 95%); the cheapest of the front that cannot be told from it is trial 1 with "
        "97.97% and 2k parameters, compared on the same 396 validation images, one by one (McNemar's test)."
    )
    assert summary(ties(RIGHT), []) is None
    assert summary(ties({}, val=0), STUDENTS) is None
    alone = summary(ties(RIGHT), STUDENTS[2:])
    assert alone is not None and "every cheaper student of the front can be told from it" in alone


def test_the_bits_are_read_from_the_storage_when_two_students_are_compared(tmp_path: Path) -> None:
    url = synthetic.study(tmp_path / "studies.db", 30)
    snapshot: Snapshot = read(url, "digits")
    students: list[Candidate] = finished(snapshot.candidates)
    found = Ties.stored(url, snapshot, None)
    assert found.tied(students[0], students[1])[1] == "paired"
    assert "right" not in str(snapshot.candidates[0].model_dump())
