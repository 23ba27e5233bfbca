"""The answer that every page begins with: the best student within the budget, how sure it is, and what ties with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from app import confirmed, words
from app.source import Picture
from search.read import tradeoffs
from search.read.budget import Budget
from search.read.candidates import Candidate
from search.read.tradeoffs import TEACHERS, Axis, accuracy, on_axis
from search.units import format_bytes, format_count


@dataclass(frozen=True, slots=True)
class Answer:
    """What fits the budget. Confirmed students are at their means."""

    best: Candidate | None
    """The student that `search.pick` takes with the same limits; None where none fits.

    With a limit on size or latency, by what is stored: `search.pick` measures the files itself. `sentence` says so.
    """
    front: Sequence[Candidate] = ()
    """Of what fits, on the axis that is drawn, the cheapest first."""
    beyond: Sequence[Candidate] = ()
    """Students on the front of all that do not fit."""
    cheapest: Candidate | None = None
    """The cheapest of the front that cannot be told from the best; None where that is the best one itself."""


def found(picture: Picture, axis: Axis, budget: Budget) -> Answer:
    """The answer; computed once for a picture, an axis and a budget, unless its ties cannot be read just now."""
    key = (axis, budget)
    answer: Answer = picture.answers.get(key) or _found(picture, axis, budget)
    if not picture.ties.unread:
        picture.answers[key] = answer
    return answer


def _found(picture: Picture, axis: Axis, budget: Budget) -> Answer:
    best = next(iter(confirmed.best(picture.students, picture.confirmation, budget, 1)), None)
    whole = picture.front(axis)
    if budget == Budget():
        front: Sequence[Candidate] = whole
    else:
        fitting = [c for c in picture.students if not tradeoffs.verdict(c, budget)]
        front = confirmed.front_on(fitting, picture.confirmation, axis)
    fits = {c.trial for c in front}
    beyond = [c for c in whole if c.trial not in fits and tradeoffs.verdict(c, budget)]
    cheapest = None
    if best is not None:
        cheaper = [c for c in front if not tradeoffs.measured([best], axis) or on_axis(c, axis) < on_axis(best, axis)]
        cheapest = picture.ties.cheapest(best, cheaper)
    return Answer(best, front, beyond, cheapest)


def sentence(picture: Picture, axis: Axis, budget: Budget) -> str:
    """Data set, students, teacher, and which student to take: Markdown."""
    answer, students = found(picture, axis, budget), picture.students
    about = f"{words.escaped(_data(picture))}: {words.plural(len(students), 'trained student')}{_teacher(picture)}."
    if not students:
        return about
    limits = words.budget(budget)
    begins = f"Within **{limits}**: " if limits else "The most accurate: "
    unsure = " ".join([*_ties(picture), *_size(picture, budget, answer.best), *_latency(picture, budget)])
    unsure = f" {unsure}" if unsure else ""
    if answer.best is None:
        return f"{about} {begins}{misses(students, budget)}{unsure}"
    text = f"{about} {begins}**student {answer.best.trial}, {words.percent(accuracy(answer.best))}**"
    text += f"{_sure(picture, answer.best)}{_smaller(picture, answer.best, axis)}"
    if answer.cheapest is not None:
        text += f"; the cheapest that cannot be told from it is {_short(answer.cheapest, axis)}"
    return f"{text}.{unsure}"


def _ties(picture: Picture) -> list[str]:
    """What students were compared by, where the storage keeps back what is stored."""
    if not picture.ties.unread:
        return []
    return [
        "Which images each student has right cannot be read just now: what cannot be told from it goes by accuracies "
        "alone."
    ]


def _size(picture: Picture, budget: Budget, best: Candidate | None) -> list[str]:
    """What a limit on the file's size was held against: `search.pick` checks the file itself."""
    if budget.max_size_kb is None:
        return []
    if best is None or best.file_bytes is None:
        return [
            "The size limit is held against the float32 weights alone: `search.pick` checks the exported file, which "
            "is a little larger, and may take another student or none."
        ]
    size = f"Its exported file has {format_bytes(best.file_bytes)}"
    if picture.confirmation is None or picture.confirmation.of(best.trial):
        return [f"{size}."]
    return [
        f"{size}. It is not confirmed: `search.pick` checks the files of the confirmed students alone, if any fits."
    ]


def _latency(picture: Picture, budget: Budget) -> list[str]:
    """Which timings a limit on latency was held against: `search.pick` makes its own."""
    if budget.max_latency_ms is None:
        return []
    timed = [c.timing.device for c in picture.students if c.timing is not None]
    by = (
        f"The latency limit is held against stored timings alone, on {words.escaped(timed[0])}, which "
        f"{len(timed):,} of {words.plural(len(picture.students), 'student')} "
        f"{'has' if len(timed) == 1 else 'have'}"
        if timed
        else "No student is timed, so none is within the latency limit here"
    )
    return [f"{by}: `search.pick` times students on the machine that it runs on, and may take another or none."]


def misses(students: Sequence[Candidate], budget: Budget) -> str:
    """Which students come nearest to a budget that none is within: one for each limit that it takes to give up."""
    rows = tradeoffs.near_misses(students, budget)
    texts = [f"student {c.trial} with {words.percent(accuracy(c))} ({words.limits(limits)})" for c, limits in rows]
    return f"no student. The nearest: {'; '.join(texts)}." if texts else "no student."


def _data(picture: Picture) -> str:
    return str(picture.snapshot.definition.get("data", {}).get("name") or picture.snapshot.study)


def _teacher(picture: Picture) -> str:
    teacher = picture.snapshot.teacher
    if "val_accuracy" not in teacher:
        return ""
    size = f" of {format_count(teacher['params'])} parameters" if isinstance(teacher.get("params"), int) else ""
    return f" of a teacher{size} with {words.percent(teacher['val_accuracy'])}"


def _sure(picture: Picture, c: Candidate) -> str:
    """Its interval, and whether that is over fresh seeds."""
    student = picture.confirmation.of(c.trial) if picture.confirmation else None
    interval = words.between(picture.ties.interval(c))
    if student is None:
        return interval
    runs = f"mean of {words.plural(len(student.accuracies), 'fresh seed')}"
    return f"{interval[:-1]}, {runs})" if interval else f" ({runs})"


def _smaller(picture: Picture, c: Candidate, axis: Axis) -> str:
    """27x smaller than the teacher, in the cost that is drawn."""
    name = axis if axis in TEACHERS else "parameters"
    text = words.beside(picture.snapshot.teacher.get(TEACHERS[name]), on_axis(c, name))
    in_what = "" if name == "parameters" else f" in {name}"
    return f", {text}{in_what}" if text else ""


def _short(c: Candidate, axis: Axis) -> str:
    cost = words.cost(on_axis(c, axis), axis)
    noun = {"parameters": " parameters", "multiply-adds": " multiply-adds"}.get(axis, "")
    return f"student {c.trial} ({cost}{noun}, {words.percent(accuracy(c))})"
