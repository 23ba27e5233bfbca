"""Confirmed students as a table for people."""

from rich.table import Table

from search.read.candidates import Snapshot
from search.ship.confirmed import Confirmation, Confirmed
from search.units import format_accuracy, format_count, format_stages


def confirmed_table(snapshot: Snapshot, found: Confirmation) -> Table:
    """The confirmed front, the smallest student first, the others, those whose runs failed, and the teacher."""
    title = f"{snapshot.study}: confirmed front, mean validation accuracy of {found.seeds} fresh seeds"
    table = Table(title=title, title_justify="left", padding=(0, 0))
    for heading in ("trial", "accuracy", "search said", "params", "mult-adds", "stages", "note"):
        wraps = heading in ("stages", "note")  # so that no number is cut where the terminal is narrow
        table.add_column(heading, justify="left" if wraps else "right", no_wrap=not wraps)
    front = found.front()
    others = sorted((c for c in found.students if c not in front), key=lambda each: (each.params, each.macs))
    failed = sorted(found.failed, key=lambda each: (each.params, each.macs))
    recipes = {c.trial: c.recipe for c in snapshot.candidates}
    for group in (front, others, failed):
        for each in group:
            table.add_row(
                str(each.trial),
                interval(found, each) if each.accuracies else "",
                format_accuracy(each.search_accuracy),
                format_count(each.params),
                format_count(each.macs),
                format_stages(recipes[each.trial].student.stages),
                _note(found, each),
            )
        table.add_section()
    teacher = snapshot.teacher
    costs = [format_count(value) if value else "?" for value in (teacher.get("params"), teacher.get("macs"))]
    table.add_row("teacher", format_accuracy(teacher["val_accuracy"]), "", *costs, "", "one run")
    return table


def interval(found: Confirmation, student: Confirmed) -> str:
    """A student's mean accuracy with its 95 % interval, as `98.10% +- 0.31`."""
    half = found.half_width(student)
    return format_accuracy(student.mean) + ("" if half is None else f" +- {100 * half:.2f}")


def optimism(found: Confirmation) -> str:
    """For people: how much too good the search's own numbers are, and what fresh seeds cannot show."""
    return (
        f"the search's single runs were {100 * found.optimism:+.2f} points better than the means, on average: the best "
        f"of many is optimistic.\nFresh seeds do not remove the chance of these {found.val:,} validation images "
        f"(+- {100 * found.images_error:.2f} points)."
    )


def _note(found: Confirmation, student: Confirmed) -> str:
    """Fewer runs than asked for, and which cheaper student of the front it cannot be told from."""
    notes = [f"{student.failed} run(s) failed"] if student.failed else []
    if not student.accuracies:
        return f"all {student.failed} runs failed" if student.failed == found.seeds else notes[0]
    tied = found.cheaper_tie(student)
    notes += [f"tied with {tied.trial}"] if tied else []
    return ", ".join(notes)
