"""`python -m search.latency STUDY`: times the students on the front on this machine, for the pages.

The search itself times nothing, because its own load would distort every number. `--export` makes a folder that another
device times, `--add` takes its timings back.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fitnets.errors import InputError
from search import cli
from search.read.budget import finished
from search.read.candidates import Candidate, Snapshot
from search.read.reader import read
from search.ship import latencies, student_files
from search.ship.board import folder
from search.storage.address import storage_url
from search.storage.lock import driving
from search.units import format_count, format_number
from search.workers.machine import cores

if TYPE_CHECKING:
    from search.ship.shipper import Shipper


@cli.app
def main(
    study: cli.StudyName,
    every: Annotated[bool, typer.Option("--all", help="Time every trained student, not only the front.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a pass.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Images of a pass.")] = 1,
    int8: Annotated[
        bool, typer.Option("--int8", help="Time the int8 files, as search.pick --int8 ships them.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="Time nothing here: write a folder to be timed on another device.")
    ] = None,
    add: Annotated[
        Path | None, typer.Option(help="Time nothing here: take the timings that another device printed.")
    ] = None,
    data: cli.ImagesNow = None,
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    name: cli.Name = None,
) -> None:
    """Time the students on the front as the files that would ship, with onnxruntime."""
    url = storage_url(runs, storage)
    snapshot = read(url, cli.stored_name(study, name))
    cli.note_definition(study, snapshot)
    if export is not None and add is not None:
        raise InputError("`--export` and `--add` are two steps: give the one that is next.")
    console = Console(highlight=False, soft_wrap=True)
    if add is not None:
        _add(add, snapshot, runs, console)
        return
    chosen = [c for c in finished(snapshot.candidates) if every or c.on_front]
    if not chosen:
        raise InputError(f"the study `{snapshot.study}` has no trained student yet: run it first.")
    if export is not None:
        folder.check(export)
        if (threads, batch) != (1, 1):
            raise InputError(
                f"`--threads` and `--batch` are given on the device, to `{folder.SCRIPT}`: leave them out."
            )
    with driving(url, snapshot.study), console.status("exporting ..." if export else "timing ..."):
        from search.ship.shipper import Shipper  # here, because torch loads slowly: wrong input is refused first

        shipper = Shipper(snapshot, runs, data_dir=data, int8=int8, threads=threads, batch=batch)
        stored = _stored(chosen, runs, console)
        if export is not None:
            back = cli.command_for(snapshot.study, runs, url, "latency", "--add", "timings.json")
            trials = _exported(export, shipper, stored, back)
        else:
            trials = _timed(shipper, stored, console)
    if not trials:
        store = runs / "store"
        raise InputError(f"no weights of these students are in `{store}` any more: pick one, which trains it again.")
    if export is not None:
        console.print(
            f"written to {export}/: {len(trials)} students. On the device: python {folder.SCRIPT}", markup=False
        )
        return
    message = f"written to {runs / latencies.LATENCIES}; "
    plain = not int8 and threads == batch == 1
    message += "the pages now offer the axis `latency`." if plain else "each student's page shows it beside the others."
    console.print(message, markup=False)


def _stored(chosen: list[Candidate], runs: Path, console: Console) -> Iterator[Candidate]:
    """The students whose weights are still stored."""
    for c in chosen:
        if student_files.weights(runs, c) is None:
            console.print(f"trial {c.trial:3d}  its weights are no longer stored: not timed")
        else:
            yield c


def _timed(shipper: "Shipper", students: Iterator[Candidate], console: Console) -> list[int]:
    """Time the students here and store it. Returns their trial numbers."""
    load, busy = latencies.load()
    trials: list[int] = []
    for c in students:
        timing = shipper.exported(c).measured(load)
        if not trials:
            console.print(f"{timing.device}, {timing.how()}", markup=False)
        latencies.add(shipper.runs, shipper.snapshot.study, c, timing)
        trials.append(c.trial)
        costs = f"{format_count(c.cost.params)} params  {format_count(c.cost.macs)} multiply-adds"
        console.print(f"trial {c.trial:3d}  {costs}  {_milliseconds(timing)}")
    if trials and busy:
        console.print(f"note: this machine was busy (load {load:.1f} on {cores()} cores): time again when it is idle.")
    return trials


def _exported(out: Path, shipper: "Shipper", students: Iterator[Candidate], back: str) -> list[int]:
    """Write the folder that another device times. Returns the students' trial numbers."""
    files = [(c, shipper.exported(c).shipped.file) for c in students]
    if not files:
        return []
    return folder.write(out, shipper.snapshot.study, shipper.images.shape, shipper.precision, files, back)


def _add(file: Path, snapshot: Snapshot, runs: Path, console: Console) -> None:
    """Store another device's timings."""
    for c, timing in folder.brought_back(file, snapshot):
        latencies.add(runs, snapshot.study, c, timing)
        console.print(f"trial {c.trial:3d}  {_milliseconds(timing)}  {timing.device}, {timing.how()}", markup=False)
    console.print(f"written to {runs / latencies.LATENCIES}; the pages show it beside other devices'.", markup=False)


def _milliseconds(timing: latencies.Measured) -> str:
    return f"{format_number(timing.p50_ms)} ms (p90 {format_number(timing.p90_ms)})"


if __name__ == "__main__":
    sys.exit(main())
