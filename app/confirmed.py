"""Students at their confirmed accuracies, and how the pages write them. See `search.confirm`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

from app import words
from search.read import tradeoffs
from search.read.budget import Budget
from search.read.candidates import Candidate, Confirms, Snapshot
from search.read.progress import Standing
from search.read.tradeoffs import Axis, accuracy
from search.ship.confirmed import Confirmation, Confirmed, run_name
from search.ship.sure.ties import Ties

NAMED = 8  # students in a sentence


@dataclass(frozen=True, slots=True)
class FreshRuns:
    """The runs with fresh seeds as they stand, finished or not."""

    snapshot: Snapshot
    """Of their own study."""
    confirms: Confirms
    standing: Standing

    @property
    def wanted(self) -> int:
        """How many runs there are to be."""
        return len(self.confirms.trials) * self.confirms.seeds

    @property
    def ended(self) -> int:
        """How many have ended, failed ones among them."""
        return sum(c.state in ("complete", "failed") for c in self.snapshot.candidates)

    @property
    def awaited(self) -> frozenset[int]:
        """The students whose runs have not all ended."""
        return frozenset(
            trial
            for trial in self.confirms.trials
            if any(run is None or run.state == "running" for run in self.of(trial))
        )

    def of(self, trial: int) -> list[Candidate | None]:
        """A student's runs, None for one that has not begun; empty where the student is not to be confirmed."""
        if trial not in self.confirms.trials:
            return []
        begun = {c.name: c for c in self.snapshot.candidates}
        return [begun.get(run_name(trial, run)) for run in range(self.confirms.seeds)]


def front_on(students: Sequence[Candidate], found: Confirmation | None, axis: Axis) -> list[Candidate]:
    """The front of accuracy and this cost, the cheapest first: of the confirmed students alone, where there are any.

    `students` are at their means. A single run, the best of many, is optimistic: beside means it would win too often.
    """
    confirmed = [] if found is None else [c for c in students if found.of(c.trial)]
    return tradeoffs.front_on(confirmed, axis) or tradeoffs.front_on(students, axis)


def best(students: Sequence[Candidate], found: Confirmation | None, budget: Budget, count: int) -> list[Candidate]:
    """The most accurate students within the budget, as `search.pick` orders them; of equal recipes only the first.

    `students` are at their means, in the order of the search's accuracies. Like is compared with like: the confirmed
    ones come first, by their means, then the others by their single runs, which are optimistic.
    """
    if found is None:
        return tradeoffs.best(students, budget, count)
    fit = [c for c in students if found.of(c.trial) and c.same_as is None and not tradeoffs.verdict(c, budget)]
    fit.sort(key=lambda c: (-accuracy(c), c.cost.params, c.cost.macs))
    single = (c for c in students if not found.of(c.trial) and c.same_as is None and not tradeoffs.verdict(c, budget))
    return list(islice(chain(fit, single), count))


def percent(c: Candidate, found: Confirmation | None) -> str:
    """A student's accuracy; of a confirmed one the mean with its 95 % interval: 98.10% ± 0.31."""
    student = None if found is None else found.of(c.trial)
    return words.percent(accuracy(c)) if found is None or student is None else interval(found, student)


def between(c: Candidate, found: Confirmation | None, ties: Ties | None) -> str:
    """The interval that stands behind an accuracy without a ±: ` (97.4 to 99.5)`; empty behind one that has it."""
    student = None if found is None else found.of(c.trial)
    if ties is None or (found is not None and student is not None and found.half_width(student) is not None):
        return ""
    return words.between(ties.interval(c))


def with_interval(c: Candidate, found: Confirmation | None, ties: Ties | None) -> str:
    """A student's accuracy and its 95 % interval: 98.10% ± 0.31 over fresh seeds, else 98.10% (96.2 to 99.1)."""
    return percent(c, found) + between(c, found, ties)


def interval(found: Confirmation, student: Confirmed) -> str:
    """98.10% ± 0.31; no interval while no student has two runs."""
    half = found.half_width(student)
    return words.percent(student.mean) + ("" if half is None else f" ± {100 * half:.2f}")


def seeds(found: Confirmation, student: Confirmed) -> str:
    """3 fresh seeds; 2 of 3 fresh seeds, 1 failed."""
    done = len(student.accuracies)
    text = words.plural(done, "fresh seed") if done == found.seeds else f"{done} of {found.seeds} fresh seeds"
    return f"{text}, {student.failed} failed" if student.failed else text


def said(student: Confirmed) -> str:
    """The search said 98.70%."""
    return f"the search said {words.percent(student.search_accuracy)}"


def tie(found: Confirmation, student: Confirmed) -> str:
    """Cannot be told from student 12 (fewer parameters); empty for a student that differs from every cheaper one."""
    other = found.cheaper_tie(student)
    if other is None:
        return ""
    fewer = ["parameters"] if other.params < student.params else []
    fewer += ["multiply-adds"] if other.macs < student.macs else []
    return f"cannot be told from student {other.trial} ({f'fewer {words.listed(fewer)}' if fewer else 'the same cost'})"


def note(found: Confirmation, student: Confirmed) -> str:
    """Its runs and its tie, for a table."""
    return "; ".join(part for part in (seeds(found, student), tie(found, student)) if part)


def columns(c: Candidate, found: Confirmation | None, said: float, ties: Ties | None) -> dict[str, float | str]:
    """The accuracy in a table of all students: where any is confirmed, beside what the search said."""
    if found is None:
        return {"accuracy %": float(words.percent(said)[:-1]), "95% interval": between(c, found, ties).strip(" ()")}
    student, failed = found.of(c.trial), found.failure(c.trial)
    single = f"one run; {seeds(found, failed)}" if failed else "one run"
    return {
        "accuracy": with_interval(c, found, ties),
        "the search said %": float(words.percent(said)[:-1]),
        "note": note(found, student) if student else single,
    }


def not_confirmed(found: Confirmation, front: Sequence[Candidate]) -> str:
    """Which students of the search's front have no fresh runs yet; empty where all have."""
    left = sorted(c.trial for c in front if found.of(c.trial) is None)
    if not left:
        return ""
    numbers = words.listed([*map(str, left[:NAMED]), *(["others"] if len(left) > NAMED else [])])
    some, are = ("student", "is") if len(left) == 1 else ("students", "are")
    return f"Of the search's own front, {some} {numbers} {are} not confirmed: one run each, so optimistic."


def chance(found: Confirmation) -> str:
    """How much too good the search's own runs are on average, and what fresh seeds do not show."""
    return (
        f"The search's single runs were {100 * found.optimism:+.2f} points better than the means, on average: the best "
        f"of many is optimistic. Fresh seeds do not remove the chance of these {found.val:,} validation images "
        f"(± {100 * found.images_error:.2f} points)."
    )
