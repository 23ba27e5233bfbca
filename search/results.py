"""`python -m search.results STUDY`: a study's students as a table, JSON or CSV."""

import json
import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from search import cli
from search.read.budget import finished
from search.read.candidates import Candidate, Snapshot, as_csv
from search.read.published import published
from search.read.reader import read
from search.read.stopped import describe, stops
from search.ship.confirmed import Confirmation, columns, stored_confirmation
from search.ship.sure.confirmed_table import confirmed_table, optimism
from search.ship.sure.ties import Ties, summary
from search.storage.address import storage_url
from search.units import format_accuracy, format_count, format_stages


class Format(StrEnum):
    """How the results are written."""

    table = "table"
    json = "json"
    csv = "csv"


@cli.app
def main(
    study: cli.StudyName,
    format: Annotated[Format, typer.Option(help="How the results are written.")] = Format.table,
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    name: cli.Name = None,
) -> None:
    """List a study's students: every trial as JSON or CSV, the Pareto front first as a table."""
    url = storage_url(runs, storage)
    snapshot = read(url, cli.stored_name(study, name))
    cli.note_definition(study, snapshot)
    confirmed = stored_confirmation(url, snapshot)
    ties = Ties.stored(url, snapshot, confirmed)
    rows = [c.row() | ties.columns(c) | columns(confirmed, c.trial) for c in snapshot.candidates]
    for left_out in snapshot.unreadable():
        cli.ERRORS.print(f"trial {left_out.trial} is left out: {left_out.reason}.", markup=False)
    if format == Format.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    elif format == Format.csv:
        sys.stdout.write(as_csv(rows))
    else:
        print_results(snapshot, Console(), confirmed, ties)


def print_results(
    snapshot: Snapshot, console: Console, confirmed: Confirmation | None = None, ties: Ties | None = None
) -> None:
    """Print the front as a table, the number of trials in each state, and the paper's results on the same data set.

    `ties`: of the storage, to say which students of the front cannot be told apart.
    """
    front = snapshot.front()
    if confirmed is not None:
        console.print(confirmed_table(snapshot, confirmed))
        console.print(optimism(confirmed), soft_wrap=True)
    if front:
        console.print(front_table(front, snapshot))
        if ties is not None and confirmed is None and (text := summary(ties, finished(snapshot.candidates))):
            console.print(text, markup=False, soft_wrap=True)
    else:
        console.print(f"{snapshot.study}: no student has finished yet.")
    counts = Counter(c.state for c in snapshot.candidates)
    stopped = f"{counts['pruned']} stopped early, " if counts["pruned"] else ""
    over = f"; {counts['infeasible']} over the limits and never trained" if counts["infeasible"] else ""
    console.print(
        f"{counts['complete']} trained, {stopped}{counts['running']} running, {counts['failed']} failed{over}."
    )
    if images := snapshot.images_line():
        console.print(images, markup=False, soft_wrap=True)
    if found := stops(snapshot.candidates):
        console.print(f"{describe(found)}.")
    for failed in [c for c in snapshot.candidates if c.state == "failed"][:3]:
        console.print(f"  trial {failed.trial} failed: {failed.reason}", markup=False)
    known = published(str(snapshot.definition.get("data", {}).get("name", "")))
    if known:
        console.print("the paper's nets on this data set, by accuracy on the test images:")
    for one in known:
        macs = f", {format_count(one.macs)} multiply-adds" if one.macs else ""
        console.print(
            f"  {one.name}: {format_accuracy(one.test_accuracy)}, {format_count(one.params)} parameters{macs}",
            markup=False,
        )


def front_table(front: tuple[Candidate, ...], snapshot: Snapshot) -> Table:
    """Accuracy and cost of the students on the front, the smallest first, the teacher last."""
    table = Table(title=f"{snapshot.study}: Pareto front, validation accuracy", title_justify="left", padding=(0, 0))
    for heading in ("trial", "accuracy", "params", "mult-adds", "stages", "hint", "tau", "lambda"):
        table.add_column(heading, justify="left" if heading == "stages" else "right", no_wrap=True)
    for c in front:
        assert c.outcome is not None
        recipe, hint = c.recipe, c.recipe.hint
        table.add_row(
            f"{c.trial}" + (f" {c.name}" if c.name else ""),
            format_accuracy(c.outcome.val_accuracy),
            format_count(c.cost.params),
            format_count(c.cost.macs),
            format_stages(recipe.student.stages),
            f"{hint.guided}<-{hint.hint}" if hint else "-",
            f"{recipe.distill.tau:.1f}",
            f"{recipe.distill.lambda_start:.1f}->{recipe.distill.lambda_end:.1f}",
        )
    teacher = snapshot.teacher
    if teacher:
        params, macs = teacher.get("params"), teacher.get("macs")
        costs = [format_count(value) if value else "?" for value in (params, macs)]
        table.add_section()
        table.add_row("teacher", format_accuracy(teacher["val_accuracy"]), *costs, "", "", "", "")
    return table


if __name__ == "__main__":
    sys.exit(main())
