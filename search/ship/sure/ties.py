"""Which students of a study cannot be told apart, and how sure each one's accuracy is. No torch, no ray.

The rules are those of `search.read.evidence.statistics`; with fresh seeds, those of `search.ship.confirmed`.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fitnets.errors import InputError
from fitnets.values.per_image import PerImage
from search.read.candidates import Candidate, Snapshot
from search.read.evidence.statistics import Interval, ends, tied_paired, tied_unpaired, wilson
from search.read.reader import Reader
from search.read.tradeoffs import front_on
from search.ship.confirmed import Confirmation
from search.units import format_accuracy, format_count

How = Literal["seeds", "paired", "unpaired"]
"""What two students were compared by: the means of fresh seeds, the same images one by one, or their numbers alone."""

Right = Callable[[Sequence[int]], Mapping[int, PerImage]]


RETRY = 5.0  # seconds until a storage that could not be read is asked again: an attempt may take two


@dataclass
class Ties:
    """A study's validation images, the fresh runs of its students, and which images each student has right."""

    val: int
    """The number of validation images; 0 where the study does not say."""
    found: Confirmation | None
    read: Right
    """Which images these trials have right; what was read is not read again."""
    unread: bool = False
    """Whether the storage could not be read when it was last asked: students are then compared by numbers alone."""
    _known: dict[int, PerImage | None] = field(default_factory=dict)
    _asked: float = -math.inf
    """When it was last asked, by the monotonic clock."""

    @classmethod
    def of(cls, snapshot: Snapshot, found: Confirmation | None, read: Right) -> "Ties":
        """Of a study, and what its fresh runs say."""
        val = snapshot.images.get("val")
        return cls(val if isinstance(val, int) else 0, found, read)

    @classmethod
    def stored(cls, url: str, snapshot: Snapshot, found: Confirmation | None) -> "Ties":
        """The same, which reads the study's storage when it compares."""

        def read(trials: Sequence[int]) -> Mapping[int, PerImage]:
            with Reader(url, snapshot.study) as reader:
                return reader.right(trials)

        return cls.of(snapshot, found, read)

    def interval(self, c: Candidate) -> Interval | None:
        """95 % of a student's accuracy; of a confirmed one, of its mean.

        Over seeds where their spread is known, else by the number of validation images; None where neither is known.
        """
        student = None if self.found is None else self.found.of(c.trial)
        if self.found is None or student is None:
            return self._of_its_run(c)
        return self.found.interval(student) or self._wilson(student.mean)

    def columns(self, c: Candidate) -> dict[str, float | None]:
        """`accuracy_low` and `accuracy_high`: 95 % of the accuracy of the search's own run; None without one."""
        return ends(None if c.outcome is None else self._of_its_run(c))

    def tied(self, one: Candidate, other: Candidate) -> tuple[bool, How]:
        """Whether two students cannot be told apart, and by what they were compared."""
        if self.found is not None:
            first, second = self.found.of(one.trial), self.found.of(other.trial)
            if first is not None and second is not None:
                return self.found.tied(first, second), "seeds"
        self._fetch([one.trial, other.trial])
        mine, theirs = self._known.get(one.trial), self._known.get(other.trial)
        if mine is not None and theirs is not None and mine.of == theirs.of:
            return tied_paired(*mine.only(theirs)), "paired"
        return not self.val or tied_unpaired((self._right(one), self._right(other)), self.val), "unpaired"

    def tied_with(self, best: Candidate, others: Iterable[Candidate]) -> list[Candidate]:
        """Of these, the students that cannot be told from the best one, in their order; it is not among them."""
        rows = [c for c in others if c.trial != best.trial]
        self._fetch([best.trial, *(c.trial for c in rows)])
        return [c for c in rows if self.tied(best, c)[0]]

    def cheapest(self, best: Candidate, front: Sequence[Candidate]) -> Candidate | None:
        """The first of a front, the cheapest student first, that cannot be told from the best; None where none does.

        The best one is the front's last, or as good: all of the others are cheaper.
        """
        return next(iter(self.tied_with(best, front)), None)

    def how(self, one: Candidate, other: Candidate) -> str:
        """By what two students were compared, for people."""
        by = self.tied(one, other)[1]
        both_read = one.trial in self._known and other.trial in self._known
        return {
            "seeds": "by the means of their fresh seeds",
            "paired": f"on the same {self.val:,} validation images, one by one (McNemar's test)",
            "unpaired": f"by their numbers of right images of {self.val:,} alone: which ones "
            + ("was not stored" if both_read else "cannot be read just now"),
        }[by]

    def _of_its_run(self, c: Candidate) -> Interval | None:
        return self._wilson(self._searched(c))

    def _wilson(self, share: float) -> Interval | None:
        return wilson(self._count(share), self.val) if self.val else None

    def _right(self, c: Candidate) -> int:
        """How many validation images the search's own run has right."""
        return self._count(self._searched(c))

    def _searched(self, c: Candidate) -> float:
        """The accuracy of the search's own run."""
        assert c.outcome is not None
        student = None if self.found is None else self.found.of(c.trial)
        return student.search_accuracy if student else c.outcome.val_accuracy

    def _count(self, share: float) -> int:
        return min(self.val, max(0, round(share * self.val)))

    def _fetch(self, trials: Sequence[int]) -> None:
        """Read what is not known yet. A storage that cannot be read now leaves the comparison unpaired until it can."""
        left = [trial for trial in dict.fromkeys(trials) if trial not in self._known]
        if not left or (self.unread and time.monotonic() - self._asked < RETRY):
            return
        try:
            found = self.read(left)
        except InputError:
            self.unread = True
        else:
            self.unread = False
            self._known.update({trial: found.get(trial) for trial in left})
        self._asked = time.monotonic()


def summary(ties: Ties, students: Sequence[Candidate]) -> str | None:
    """For people: the interval of the first of these students, the best one, and the cheapest that ties with it.

    Cheap: in parameters. None where there is no student, or the number of validation images is not known.
    """
    if not students:
        return None
    best, front = students[0], front_on(students, "parameters")
    interval = ties.interval(best)
    if interval is None or best.outcome is None:
        return None
    text = (
        f"trial {best.trial} has {format_accuracy(best.outcome.val_accuracy)} "
        f"({100 * interval.low:.1f} to {100 * interval.high:.1f}, 95%)"
    )
    cheaper = ties.cheapest(best, front)
    if cheaper is None or cheaper.outcome is None:
        return f"{text}; every cheaper student of the front can be told from it."
    return (
        f"{text}; the cheapest of the front that cannot be told from it is trial {cheaper.trial} with "
        f"{format_accuracy(cheaper.outcome.val_accuracy)} and {format_count(cheaper.cost.params)} parameters, "
        f"compared {ties.how(best, cheaper)}."
    )
