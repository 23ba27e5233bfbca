"""The course of a search: how the front grew, which slot trained what and when, and what failed. No torch."""

import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from fitnets.values.base import Value
from search.read import pareto
from search.read.budget import Budget, finished
from search.read.candidates import Candidate, Snapshot
from search.read.tradeoffs import TEACHERS, Axis, accuracy, front_on, measured, on_axis, verdict

EDGE = 1.1  # the box ends beyond the most expensive student, so that this one adds to the area too
DECADES = 3.0  # from the teacher's cost down to the cheapest student that the box is made for
PAUSE = 10.0  # times the median gap between two results: a longer gap is a pause of the search
WATCHED = 60.0  # seconds that a study must have been observed before its search counts as silent
BEFORE_EPOCHS = 1800.0  # seconds without news before a teacher's first epoch, when its speed is not known yet
TRAINED = ("complete", "pruned", "failed")  # states of students that were trained, to the end or not
SILENCE = 3.0  # times the duration of a median trial, or of a teacher's epoch: without news for longer is silent


class Standing(Value):
    """The status of a study, as the status line shows it."""

    counts: dict[str, int]
    """Trials in each state."""
    wanted: int | None
    """How many students the study is to train."""
    news: float | None
    """When a trial last started, reported an epoch or ended, in seconds since 1970; before the first trial, when the
    study, such as its teacher's last epoch, was last seen to change."""
    result: float | None
    """When a trial last ended."""
    patience: float
    """How many seconds a running search may be without news."""
    since: float = 0.0
    """When this process first observed the study: a continued search still has the old times of its trials."""
    stopped: float | None = None
    """When its driver ended; None where it could not record that."""
    reason: str | None = None
    """The error that ended its driver; it is stored without a time where the error was not foreseen."""

    def word(self, now: float) -> str:
        """`finished`, `running`, `silent` (its driver seems to be gone), `stopped` or `empty`."""
        if self.wanted is not None and sum(self.counts.get(state, 0) for state in TRAINED) >= self.wanted:
            return "finished"
        if self.stopped is not None or self.reason is not None or (self.counts and not self.counts.get("running")):
            return "stopped"
        if self.news is not None and now - self.news > self.patience and now - self.since >= WATCHED:
            return "silent"
        return "running" if self.counts else "empty"


def standing(
    snapshot: Snapshot, last_report: float | None = None, since: float = 0.0, last_change: float | None = None
) -> Standing:
    """The status of a study.

    `last_report` is when a trial in training was last seen to report an epoch; until then it is estimated as that
    trial's start plus the seconds of its epochs. `since` is when the study was first observed, `last_change` when the
    study itself was last seen to change: before the first trial, its teacher's epochs are the only news.
    """
    rows = snapshot.candidates
    counts = Counter([c.state for c in rows] + [u.state for u in snapshot.unread])
    running = [c for c in rows if c.state == "running"]
    moments = [moment for moment in (last_report, None if counts else last_change) if moment is not None]
    moments += [moment for c in rows if (moment := c.ended or c.started) is not None]
    moments += [c.started + sum(r.seconds for r in c.reports) for c in running if c.started is not None]
    wanted = snapshot.definition.get("trials")
    return Standing(
        counts=dict(counts),
        wanted=wanted if isinstance(wanted, int) else None,
        news=max(moments, default=None),
        result=max((c.ended for c in rows if c.ended and c.state in TRAINED), default=None),
        patience=_patience(snapshot) if counts else _patience_with_a_teacher(snapshot),
        since=since,
        stopped=snapshot.stopped,
        reason=snapshot.reason,
    )


def _patience(snapshot: Snapshot) -> float:
    """How many seconds a search may be without news of its trials."""
    if seconds := [c.outcome.seconds for c in snapshot.candidates if c.outcome is not None]:
        return max(60.0, SILENCE * statistics.median(seconds))
    return max([600.0, *(SILENCE * r.seconds for c in snapshot.candidates if c.state == "running" for r in c.reports)])


def _patience_with_a_teacher(snapshot: Snapshot) -> float:
    """How many seconds a search may be without news while its teacher is trained."""
    last = snapshot.teaching
    return BEFORE_EPOCHS if last is None else max(60.0, SILENCE * last.seconds)


class Growth(Value):
    """The front's size after one more student."""

    trial: int
    ended: float
    seconds: float
    """Training time spent until then, over all workers."""
    hypervolume: float
    """The share that the front dominates of a box: from chance accuracy to 1, and from beyond the teacher's cost to a
    thousandth of it."""
    best: float | None
    """The best accuracy so far within the budget."""
    gained: bool
    """Whether this student joined the front."""


def growth(snapshot: Snapshot, axis: Axis, budget: Budget | None = None) -> list[Growth]:
    """The search's history: the students whose cost on this axis is known, in the order in which they ended."""
    rows = measured(in_order(snapshot.candidates), axis)
    if not rows:
        return []
    costs = [math.log10(on_axis(c, axis)) for c in rows]
    low, high = _box(snapshot, axis, costs)
    width = max(high - low, 1e-9)
    classes = len(snapshot.images.get("classes", ())) or 2
    chance = 1 / classes
    points = [
        (1 - accuracy(c), (cost - low) / width if high > low else 0.0) for c, cost in zip(rows, costs, strict=True)
    ]
    reference = (1 - chance, EDGE)
    box = reference[0] * reference[1]
    history: list[Growth] = []
    spent, best = 0.0, None
    for c, step in zip(rows, pareto.hypervolumes(points, reference), strict=True):
        assert c.outcome is not None
        spent += c.outcome.seconds
        if budget is not None and not verdict(c, budget) and (best is None or accuracy(c) > best):
            best = accuracy(c)
        history.append(
            Growth(
                trial=c.trial,
                ended=c.ended or 0.0,
                seconds=spent,
                hypervolume=step.hypervolume / box,
                best=best,
                gained=step.joined,
            )
        )
    return history


def _box(snapshot: Snapshot, axis: Axis, costs: Sequence[float]) -> tuple[float, float]:
    """The ends of the box by the logarithm of the cost: the teacher's cost, and a thousandth of it.

    They stay while students come, unless one lies outside. Without the teacher's cost, those of the students.
    """
    low, high = min(costs), max(costs)
    theirs = snapshot.teacher.get(TEACHERS.get(axis, ""))
    if not isinstance(theirs, int | float) or theirs <= 0:
        return low, high
    return min(low, math.log10(theirs) - DECADES), max(high, math.log10(theirs))


def front_after(snapshot: Snapshot, axis: Axis, students: int) -> list[Candidate]:
    """The front as it was when `students` had finished, the cheapest first."""
    return front_on(measured(in_order(snapshot.candidates), axis)[:students], axis)


def in_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The finished students in the order in which they ended."""
    return sorted(finished(candidates), key=lambda c: (c.ended or 0.0, c.trial))


class Stall(Value):
    """How long no student has joined the front."""

    students: int
    seconds: float
    """Wall-clock time from the last gain to the last result."""


def stall(history: Sequence[Growth]) -> Stall | None:
    """The time since the last gain; None before the first student."""
    if not history:
        return None
    last = max((i for i, row in enumerate(history) if row.gained), default=0)
    return Stall(students=len(history) - 1 - last, seconds=max(0.0, history[-1].ended - history[last].ended))


class Failures(Value):
    """Failures of one kind."""

    message: str
    trials: tuple[int, ...]


_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d[\d.,]*(?:e[-+]?\d+)?|0x[0-9a-f]+")


def failures(snapshot: Snapshot) -> list[Failures]:
    """Failed trials grouped by their reason, numbers aside; the most frequent first."""
    groups: dict[str, list[tuple[int, str]]] = {}
    rows = [(c.trial, c.reason) for c in snapshot.candidates if c.state == "failed"]
    rows += [(u.trial, u.reason) for u in snapshot.unread if u.state == "failed"]
    for trial, reason in sorted(rows):
        text = (reason or "no reason was recorded").strip()
        groups.setdefault(_NUMBER.sub("#", text), []).append((trial, text))
    found = [Failures(message=same[0][1], trials=tuple(t for t, _ in same)) for same in groups.values()]
    return sorted(found, key=lambda f: (-len(f.trials), f.trials))


class Shift(Value):
    """One trial's time on one slot."""

    trial: int
    state: str
    slot: int
    start: float
    end: float


def shifts(snapshot: Snapshot, now: float) -> list[Shift]:
    """Which slot trained what and when: each trial on the first free slot. Trials that never ran are left out."""
    rows = [
        (c.started, c.ended if c.state != "running" else now, c)
        for c in snapshot.candidates
        if c.started is not None and c.state in (*TRAINED, "running") and c.same_as is None
    ]
    free: list[float] = []
    found: list[Shift] = []
    for start, end, c in sorted(
        ((s, e, c) for s, e, c in rows if e is not None), key=lambda row: (row[0], row[2].trial)
    ):
        slot = next((i for i, until in enumerate(free) if until <= start + 0.05), len(free))
        free[slot : slot + 1] = [end]
        found.append(Shift(trial=c.trial, state=c.state, slot=slot + 1, start=start, end=max(end, start)))
    return found


class Pace(Value):
    """The speed of a search."""

    per_hour: float
    left: int | None
    """Students still to train; None where the definition has no number of trials."""
    seconds_left: float | None


def pace(snapshot: Snapshot, recent: int = 30) -> Pace | None:
    """Students an hour over the `recent` last ones, and the time left at that pace; None before there are two.

    Stopped students count, those that failed do not.

    Pauses of the search, such as a night, are left out: gaps of more than `PAUSE` times the median one.
    """
    rows = [*finished(snapshot.candidates), *(c for c in snapshot.candidates if c.state == "pruned")]
    ends = sorted(c.ended for c in rows if c.ended)[-recent:]
    if len(ends) < 2 or ends[-1] <= ends[0]:
        return None
    gaps = [later - earlier for earlier, later in pairwise(ends)]
    median = statistics.median(gaps)
    gaps = [gap for gap in gaps if gap <= PAUSE * median] if median else gaps
    per_hour = 3600 * len(gaps) / sum(gaps)
    wanted = snapshot.definition.get("trials")
    trained = len(rows) + sum(c.state == "failed" for c in snapshot.candidates)
    left = max(0, wanted - trained) if isinstance(wanted, int) else None
    return Pace(per_hour=per_hour, left=left, seconds_left=None if left is None else 3600 * left / per_hour)
