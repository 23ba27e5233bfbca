"""`python -m search.pick STUDY --max-params 10k`: the student for a budget, as a folder to ship."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fitnets.errors import InputError
from search import cli
from search.read.budget import Budget, finished, nearest_miss
from search.read.reader import read
from search.ship import out_folder, test_reads
from search.ship.choice import Choice
from search.ship.confirmed import at_means, stored_confirmation
from search.ship.devices import DEVICES, within
from search.ship.selection import Selection, none_within, retrained_note
from search.ship.sure.ties import Ties, summary
from search.storage.address import storage_url
from search.units import (
    format_accuracy,
    format_count,
    format_number,
    format_stages,
    parse_accuracy,
    parse_bytes,
    parse_count,
    parse_number,
)

if TYPE_CHECKING:
    from search.ship.shipped.exported import Exported


@cli.app
def main(
    study: cli.StudyName,
    max_params: cli.Count = None,
    max_macs: cli.Count = None,
    max_latency_ms: Annotated[
        str | None, typer.Option(metavar="MS", help="Milliseconds an image on this machine, one CPU thread, p50.")
    ] = None,
    max_size_kb: Annotated[
        str | None, typer.Option(metavar="KB", help="Of the ONNX file, in kB of 1,000 bytes.")
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Peak memory of float32 activations, as 64kB or 64KiB.")
    ] = None,
    max_int8_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="The same in int8, which a microcontroller's RAM must hold.")
    ] = None,
    max_int8_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Of the int8 weights, which its flash must hold.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"The limits of a device: {', '.join(DEVICES)}.")
    ] = None,
    min_accuracy: Annotated[
        str | None, typer.Option(metavar="SHARE", help="On the validation images, as 0.97 or 97%.")
    ] = None,
    one_se: Annotated[
        bool, typer.Option("--one-se", help="The cheapest within one standard error of the best confirmed student.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Ship an int8 file; limits on the file are then on that one.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("picked"),
    data: cli.ImagesNow = None,
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    name: cli.Name = None,
) -> None:
    """Export the most accurate student within a budget: ONNX, safetensors, recipe, card, README and predict.py."""
    budget = Budget(
        max_params=parse_count(max_params, "--max-params"),
        max_macs=parse_count(max_macs, "--max-macs"),
        max_latency_ms=parse_number(max_latency_ms, "--max-latency-ms", "ms"),
        max_size_kb=parse_number(max_size_kb, "--max-size-kb", "kB"),
        max_memory=parse_bytes(max_memory, "--max-memory"),
        max_int8_memory=parse_bytes(max_int8_memory, "--max-int8-memory"),
        max_int8_size=parse_bytes(max_int8_size, "--max-int8-size"),
        min_accuracy=parse_accuracy(min_accuracy, "--min-accuracy"),
    )
    if device is not None:
        budget = within(budget, device)
    url = storage_url(runs, storage)
    snapshot = read(url, cli.stored_name(study, name))
    cli.note_definition(study, snapshot)
    if not finished(snapshot.candidates):
        raise InputError(f"the study `{snapshot.study}` has no trained student yet: run it first.")
    found = stored_confirmation(url, snapshot)
    confirm = cli.command_for(snapshot.study, runs, url, "confirm")
    if one_se and found is None:
        raise InputError(f"`--one-se` needs students that were trained with fresh seeds: run `{confirm}` first.")
    choice = Choice.of(snapshot, found, budget, one_error=one_se)
    if not choice.students:
        raise InputError(none_within(snapshot, nearest_miss(at_means(finished(snapshot.candidates), found), budget)))
    out_folder.check(out, runs)
    test_reads.check(runs)
    out_folder.check_writable(out)
    console = Console(highlight=False)
    with console.status("exporting ...") as status:
        from search.ship.shipper import Shipper  # here, because torch loads slowly: wrong input is refused first

        shipper = Shipper(snapshot, runs, status.update, data, int8=int8)
        selection = Selection(shipper, choice.budget, choice.students)
        chosen = selection.chosen()
        if chosen is None and choice.found is not None:  # no confirmed student's file fits: the others, as on the pages
            others = Choice.of_unconfirmed(snapshot, found, budget)
            chosen = (other := Selection(shipper, others.budget, others.students)).chosen()
            choice, selection = (others, other) if chosen else (choice, selection)
        if chosen is None:
            raise InputError(selection.none_fits(cli.command_for(snapshot.study, runs, url, "latency", "--all")))
        limits = budget.model_dump(mode="json", exclude_none=True)
        about = {"by": choice.by(), "budget": limits, "confirmed": choice.columns(chosen.candidate)}
        card = shipper.write(chosen, out, about)
    if budget != budget.known_before_export():
        console.print(selection.effort(), soft_wrap=True)
    if chosen.retrained:
        console.print(retrained_note(chosen, runs), markup=False, soft_wrap=True)
    for note in shipper.notes:
        console.print(note, markup=False, soft_wrap=True)
    cheaper = choice.cheaper(chosen.candidate)
    if choice.found is None:  # with fresh seeds, `cheaper` says it
        students = [chosen.candidate, *(c for c in choice.students if c.trial != chosen.candidate.trial)]
        cheaper = summary(Ties.stored(url, snapshot, None), students)
    _print(console, chosen, card, out, choice.accuracy(chosen.candidate, confirm), cheaper)


def _print(
    console: Console, chosen: "Exported", card: dict[str, Any], out: Path, validation: str, cheaper: str | None
) -> None:
    """The chosen student's cost and accuracy, and the files written."""
    candidate, accuracy, teacher = chosen.candidate, card["accuracy"], card["teacher"]
    console.print(f"trial {candidate.trial}: {format_stages(candidate.recipe.student.stages)}", markup=False)
    console.print(
        f"  {format_count(candidate.cost.params)} parameters, {format_count(candidate.cost.macs)} multiply-adds, ",
        end="",
    )
    console.print(
        f"{format_number(chosen.size_kb)} kB, {format_number(chosen.shipped.latency.p50_ms)} ms an image "
        f"(p50, one thread{', int8' if chosen.int8 else ''})"
    )
    for line in [f"validation accuracy {validation}", *([cheaper] if cheaper else [])]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    against = (
        f", the teacher's {format_accuracy(teacher['test_accuracy'])}" if teacher["test_accuracy"] is not None else ""
    )
    console.print(f"  test accuracy {format_accuracy(accuracy['test']['accuracy'])}{against}")
    if chosen.int8 is not None:
        _print_int8(console, card)
    tested = accuracy["test"]["students_tested_in_this_study"]
    if tested > 1:
        console.print(f"  {tested} students of this study have seen the test images: the best of them is optimistic.")
    console.print(f"written to {out}/: {', '.join(out_folder.written(out))}", soft_wrap=True)


def _print_int8(console: Console, card: dict[str, Any]) -> None:
    """The float32 file beside the int8 one, whose numbers stand above."""
    plain, accuracy = card["int8"]["float32"], card["accuracy"]
    console.print(f"  int8: {format_accuracy(accuracy['validation']['accuracy'])} on the validation images")
    console.print(
        f"  float32: {format_accuracy(plain['validation_accuracy'])} on the validation images, "
        f"{format_accuracy(plain['test_accuracy'])} on the test images, "
        f"{format_number(plain['file_bytes'] / 1000)} kB, {format_number(plain['latency']['p50_ms'])} ms",
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
