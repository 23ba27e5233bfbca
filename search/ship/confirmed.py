"""Confirmed accuracies: the best of many single runs is optimistic, so a front's students are trained again.

`python -m search.confirm` trains them with fresh seeds. Here: which students, and what the runs say. No torch, no ray.
"""

import math
from collections.abc import Sequence
from functools import cached_property

from scipy.stats import t as student_t  # type: ignore[import-untyped]

from fitnets.values.base import Value, seed_of
from search.read import pareto
from search.read.budget import Budget, fitting
from search.read.candidates import SUFFIX, Candidate, Snapshot
from search.read.evidence.statistics import Interval, ends
from search.read.reader import read
from search.storage.faults import StudyMissing

LEAST_SEEDS = 3  # with fewer, the mean is no better than the search's own choice


class Confirmed(Value):
    """One student's runs with fresh seeds. The search's own run, by which it was chosen, is not among them."""

    trial: int
    search_accuracy: float
    """Of the search's run."""
    params: int
    macs: int
    accuracies: tuple[float, ...]
    failed: int = 0
    """Runs that failed."""

    @property
    def mean(self) -> float:
        """Of the runs' validation accuracies."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def optimism(self) -> float:
        """By how much the search's run was better."""
        return self.search_accuracy - self.mean


class Confirmation(Value):
    """The confirmed students of a study."""

    seeds: int
    """Runs a student that were asked for."""
    val: int
    """The number of validation images."""
    students: tuple[Confirmed, ...]
    """Those with at least one run, the most accurate first."""
    missing: int = 0
    """Runs that are still to be trained."""
    failed: tuple[Confirmed, ...] = ()
    """Students without a mean: some of their runs failed, and none has finished."""

    @cached_property
    def spread(self) -> float | None:
        """phi: a run's variance is phi * m(1 - m) at mean accuracy m, pooled over the students; None with single runs.

        A student whose every validation image is right has no spread of its own: half an image is taken as wrong.
        """
        if not self._degrees:
            return None
        squares = sum(
            (x - each.mean) ** 2 / self._binomial(each.mean) for each in self.students for x in each.accuracies
        )
        return squares / self._degrees

    def standard_error(self, student: Confirmed) -> float | None:
        """Of a student's mean; None where the spread is not known."""
        if self.spread is None:
            return None
        return math.sqrt(self.spread * self._binomial(student.mean) / len(student.accuracies))

    def half_width(self, student: Confirmed) -> float | None:
        """Of the 95 % interval of a student's mean, over seeds."""
        error = self.standard_error(student)
        return None if error is None else float(student_t.ppf(0.975, self._degrees)) * error

    def interval(self, student: Confirmed) -> Interval | None:
        """95 % of a student's mean, over seeds; None where the spread is not known."""
        half = self.half_width(student)
        return None if half is None else Interval(max(0.0, student.mean - half), min(1.0, student.mean + half))

    def tied(self, one: Confirmed, other: Confirmed) -> bool:
        """Whether the two means differ by less than two standard errors of their difference."""
        errors = self.standard_error(one), self.standard_error(other)
        if errors[0] is None or errors[1] is None:
            return True
        return abs(one.mean - other.mean) < 2 * math.hypot(errors[0], errors[1])

    @cached_property
    def optimism(self) -> float:
        """By how much the search's runs were better, on average."""
        return sum(each.optimism for each in self.students) / len(self.students)

    @cached_property
    def images_error(self) -> float:
        """The standard error of the best mean that comes from the choice of validation images: no seed removes it."""
        best = self.students[0].mean
        return math.sqrt(self._binomial(best) / self.val)

    def of(self, trial: int) -> Confirmed | None:
        """A trial's student; None where it was not confirmed."""
        return self._by_trial.get(trial)

    def failure(self, trial: int) -> Confirmed | None:
        """A trial's student where it has failed runs and no mean; None for every other trial."""
        return next((each for each in self.failed if each.trial == trial), None)

    def front(self) -> tuple[Confirmed, ...]:
        """The students that no other beats in mean accuracy, parameters and multiply-adds, the smallest first."""
        on_front = pareto.front([(-each.mean, each.params, each.macs) for each in self.students])
        return tuple(sorted((self.students[i] for i in on_front), key=lambda each: (each.params, each.macs)))

    def cheaper_tie(self, student: Confirmed) -> Confirmed | None:
        """The smallest student of the front that costs no more than this one and ties with it; None where none does."""
        cheaper = (o for o in self.front() if o.params <= student.params and o.macs <= student.macs)
        return next((o for o in cheaper if o.trial != student.trial and self.tied(o, student)), None)

    def best(self, trials: Sequence[int]) -> Confirmed | None:
        """Of these trials, the student with the highest mean; None where none of them was confirmed."""
        return next((each for each in self.students if each.trial in trials), None)

    def within_one_error(self, trials: Sequence[int]) -> list[Confirmed]:
        """Of these trials, those within one standard error of the best mean, the smallest first."""
        best = self.best(trials)
        if best is None:
            return []
        least = best.mean - (self.standard_error(best) or 0.0)
        near = [each for each in self.students if each.trial in trials and each.mean >= least]
        return sorted(near, key=lambda each: (each.params, each.macs))

    def cheapest_within_one_error(self, trials: Sequence[int]) -> Confirmed | None:
        """Of these trials, the one with the fewest parameters within one standard error of the best mean."""
        return next(iter(self.within_one_error(trials)), None)

    @cached_property
    def _by_trial(self) -> dict[int, Confirmed]:
        return {each.trial: each for each in self.students}

    @cached_property
    def _degrees(self) -> int:
        return sum(len(each.accuracies) - 1 for each in self.students)

    def _binomial(self, mean: float) -> float:
        half_an_image = 0.5 / self.val
        inside = min(max(mean, half_an_image), 1 - half_an_image)
        return inside * (1 - inside)


def to_confirm(
    candidates: Sequence[Candidate], budget: Budget, val: int, spread: float | None = None
) -> list[Candidate]:
    """The trained students within the budget that are on the front or near it, in the order of their numbers.

    Near: less accurate than the best student that costs no more, by at most one standard deviation over seeds where
    earlier fresh runs say it (`spread`, see `Confirmation`), else by at most the standard error of an accuracy that is
    counted on `val` images.
    """
    within, phi = fitting(candidates, budget), 1 / val if spread is None else spread

    def is_near(student: Candidate) -> bool:
        own = _accuracy(student)
        no_costlier = [c for c in within if c.cost.params <= student.cost.params and c.cost.macs <= student.cost.macs]
        return max(map(_accuracy, no_costlier)) - own <= math.sqrt(phi * own * (1 - own))

    return sorted((c for c in within if is_near(c)), key=lambda c: c.trial)


def run_name(trial: int, run: int) -> str:
    """The name of a student's run with a fresh seed, from 0."""
    return f"student {trial}, fresh seed {run + 1}"


def run_seed(study_seed: int, digest: str, run: int) -> int:
    """The seed of a run of the recipe with this digest."""
    return seed_of("confirm", study_seed, digest, run)


def confirmation(snapshot: Snapshot, runs: Snapshot) -> Confirmation | None:
    """What the fresh runs of a study's students say; None before the first one has finished."""
    if runs.confirms is None:
        return None
    seeds, by_name = runs.confirms.seeds, {run.name: run for run in runs.candidates}
    searched = {c.trial: c for c in snapshot.candidates if c.state == "complete" and c.outcome is not None}
    students, failures, missing = [], [], 0
    for trial in runs.confirms.trials:
        if (student := searched.get(trial)) is None:
            continue
        own = [by_name.get(run_name(trial, i)) for i in range(seeds)]
        done = [c.outcome.val_accuracy for c in own if c is not None and c.state == "complete" and c.outcome]
        failed = sum(c is not None and c.state == "failed" for c in own)
        missing += seeds - len(done) - failed
        costs = {"params": student.cost.params, "macs": student.cost.macs}
        row = Confirmed(trial=trial, search_accuracy=_accuracy(student), accuracies=tuple(done), failed=failed, **costs)
        if done:
            students.append(row)
        elif failed:
            failures.append(row)
    students.sort(key=lambda each: (-each.mean, each.params, each.macs))
    if not students:
        return None
    known = {"students": tuple(students), "missing": missing, "failed": tuple(failures)}
    return Confirmation(seeds=seeds, val=int(runs.images["val"]), **known)


def stored_confirmation(url: str, snapshot: Snapshot) -> Confirmation | None:
    """What the fresh runs in the storage say of a study's students; None where there are none yet."""
    try:
        return confirmation(snapshot, read(url, snapshot.study + SUFFIX))
    except StudyMissing:
        return None


def columns(found: Confirmation | None, trial: int) -> dict[str, float | int | None]:
    """A trial's confirmed accuracy as columns of a table; None where it was not confirmed."""
    student = None if found is None else found.of(trial)
    if found is None or student is None:
        unknown = {"confirmed_accuracy": None, "confirmed_half_width": None, "confirmed_runs": 0}
        failed = None if found is None else found.failure(trial)
        return unknown | {"confirmed_failed": failed.failed if failed else 0} | ends(None, "confirmed")
    known = {
        "confirmed_accuracy": student.mean,
        "confirmed_half_width": found.half_width(student),
        "confirmed_runs": len(student.accuracies),
        "confirmed_failed": student.failed,
    }
    return known | ends(found.interval(student), "confirmed")


def _accuracy(candidate: Candidate) -> float:
    assert candidate.outcome is not None
    return candidate.outcome.val_accuracy


def at_means(students: Sequence[Candidate], found: Confirmation | None) -> Sequence[Candidate]:
    """The students in the same order, each confirmed one with its confirmed mean as its validation accuracy."""
    if found is None:
        return students
    return [_at_mean(c, found.of(c.trial)) for c in students]


def _at_mean(c: Candidate, student: Confirmed | None) -> Candidate:
    if student is None or c.outcome is None:
        return c
    return c.model_copy(update={"outcome": c.outcome.model_copy(update={"val_accuracy": student.mean})})
