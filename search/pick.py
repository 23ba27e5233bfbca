"""`python -m search.pick STUDY --max-params 10k`: the student for a budget, as a folder to ship."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fitnets.errors import InputError
from search import cli
from search.read.budget import Budget, finished, fitting, nearest_miss
from search.read.reader import read
from search.ship import latencies, out_folder, test_reads
from search.ship.selection import Selection, none_within, retrained_note
from search.storage.address import storage_url
from search.units import format_count, format_stages, parse_count

if TYPE_CHECKING:
    from search.ship.shipper import Exported

Count = Annotated[str | None, typer.Option(metavar="COUNT", help="As 250k, 0.25M, 30M or 250000.")]


@cli.app
def main(
    study: cli.StudyName,
    max_params: Count = None,
    max_macs: Count = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Milliseconds an image on this machine, one CPU thread, p50.")
    ] = None,
    max_size_kb: Annotated[float | None, typer.Option(help="Of the ONNX file, in kB of 1,000 bytes.")] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="On the validation images, 0 to 1.")] = None,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("picked"),
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    name: cli.Name = None,
) -> None:
    """Export the most accurate student within a budget: ONNX, safetensors, recipe, card, README and predict.py."""
    budget = Budget(
        max_params=parse_count(max_params, "--max-params"),
        max_macs=parse_count(max_macs, "--max-macs"),
        max_latency_ms=max_latency_ms,
        max_size_kb=max_size_kb,
        min_accuracy=min_accuracy,
    )
    url = storage_url(runs, storage)
    snapshot = read(url, cli.stored_name(study, name))
    if not finished(snapshot.candidates):
        raise InputError(f"the study `{snapshot.study}` has no trained student yet: run it first.")
    within = fitting(snapshot.candidates, budget.known_before_export())
    if not within:
        raise InputError(none_within(snapshot, nearest_miss(snapshot.candidates, budget)))
    out_folder.check(out, runs)
    test_reads.check(runs)
    out_folder.check_writable(out)
    console = Console(highlight=False)
    with console.status("exporting ...") as status:
        from search.ship.shipper import Shipper  # here, because torch loads slowly: wrong input is refused first

        shipper = Shipper(snapshot, runs, status.update)
        selection = Selection(shipper, budget, within)
        chosen = selection.chosen()
        if chosen is None:
            raise InputError(selection.none_fits(latencies.command(snapshot.study, runs, url, every=True)))
        limits = budget.model_dump(mode="json", exclude_none=True)
        card = shipper.write(chosen, out, {"by": "the highest validation accuracy within the budget", "budget": limits})
    if budget != budget.known_before_export():
        console.print(selection.effort(), soft_wrap=True)
    if chosen.retrained:
        console.print(retrained_note(chosen, runs), markup=False, soft_wrap=True)
    _print(console, chosen, card, out)


def _print(console: Console, chosen: "Exported", card: dict[str, Any], out: Path) -> None:
    """The chosen student's cost and accuracy, and the files written."""
    candidate, accuracy, teacher = chosen.candidate, card["accuracy"], card["teacher"]
    console.print(f"trial {candidate.trial}: {format_stages(candidate.recipe.student.stages)}", markup=False)
    console.print(
        f"  {format_count(candidate.cost.params)} parameters, {format_count(candidate.cost.macs)} multiply-adds, ",
        end="",
    )
    console.print(f"{chosen.size_kb:.0f} kB, {chosen.latency.p50_ms:.3g} ms an image (p50, one thread)")
    console.print(f"  validation accuracy {accuracy['validation']['accuracy']:.2%} (what the search chose by)")
    against = f", the teacher's {teacher['test_accuracy']:.2%}" if teacher["test_accuracy"] is not None else ""
    console.print(f"  test accuracy {accuracy['test']['accuracy']:.2%}{against}")
    tested = accuracy["test"]["students_tested_in_this_study"]
    if tested > 1:
        console.print(f"  {tested} students of this study have seen the test images: the best of them is optimistic.")
    console.print(f"written to {out}/: {', '.join(out_folder.written(out))}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
