"""`python -m search.latency STUDY`: times the students on the front on this machine, for the pages.

The search itself times nothing, because its own load would distort every number.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fitnets.errors import InputError
from search import cli
from search.read.budget import finished
from search.read.reader import read
from search.ship import latencies, student_files
from search.storage.address import storage_url
from search.storage.lock import driving
from search.units import format_count, format_number
from search.workers.machine import cores


@cli.app
def main(
    study: cli.StudyName,
    every: Annotated[bool, typer.Option("--all", help="Time every trained student, not only the front.")] = False,
    data: cli.ImagesNow = None,
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    name: cli.Name = None,
) -> None:
    """Time the students on the front as the files that would ship: onnxruntime, one image, one CPU thread."""
    url = storage_url(runs, storage)
    snapshot = read(url, cli.stored_name(study, name))
    cli.note_definition(study, snapshot)
    chosen = [c for c in finished(snapshot.candidates) if every or c.on_front]
    if not chosen:
        raise InputError(f"the study `{snapshot.study}` has no trained student yet: run it first.")
    load, busy = latencies.load()
    console = Console(highlight=False, soft_wrap=True)
    with driving(url, snapshot.study), console.status("timing ..."):
        from search.ship.shipper import Shipper  # here, because torch loads slowly: wrong input is refused first

        shipper = Shipper(snapshot, runs, data_dir=data)
        timed = 0
        for c in chosen:
            if student_files.weights(runs, c) is None:
                console.print(f"trial {c.trial:3d}  its weights are no longer stored: not timed")
                continue
            timing = shipper.exported(c).measured(load)
            latencies.add(runs, snapshot.study, c, timing)
            timed += 1
            costs = f"{format_count(c.cost.params)} params  {format_count(c.cost.macs)} multiply-adds"
            milliseconds = f"{format_number(timing.p50_ms)} ms (p90 {format_number(timing.p90_ms)})"
            console.print(f"trial {c.trial:3d}  {costs}  {milliseconds}")
    if not timed:
        store = runs / "store"
        raise InputError(f"no weights of these students are in `{store}` any more: pick one, which trains it again.")
    if busy:
        console.print(f"note: this machine was busy (load {load:.1f} on {cores()} cores): time again when it is idle.")
    console.print(f"written to {runs / latencies.LATENCIES}; the pages now offer the axis `latency`.", markup=False)


if __name__ == "__main__":
    sys.exit(main())
