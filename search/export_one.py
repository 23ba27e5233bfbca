"""`python -m search.export_one STUDY --trial 23`: one student as a folder to ship, whatever the budget.

The pages use this for their downloads. `search.pick` chooses a student by a budget.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fitnets.errors import InputError
from search import cli
from search.read.reader import read
from search.ship import out_folder, test_reads
from search.storage.address import storage_url


@cli.app
def main(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study's name in the storage.")],
    trial: Annotated[int, typer.Option(min=0, help="The student's number.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("picked"),
    int8: Annotated[bool, typer.Option("--int8", help="Ship an int8 file.")] = False,
    data: cli.ImagesNow = None,
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
) -> None:
    """Export one student of a study: ONNX, safetensors, recipe, card, README and predict.py."""
    snapshot = read(storage_url(runs, storage), cli.checked_name(study, "STUDY"))
    found = next((c for c in snapshot.candidates if c.trial == trial), None)
    if found is None or found.state != "complete" or found.outcome is None:
        known = [c.trial for c in snapshot.front()]
        state = "is not in the study" if found is None else f"is {found.state}, not trained to its end"
        raise InputError(f"trial {trial} {state}: choose one that is, as {known[:5]}.")
    out_folder.check(out, runs)
    test_reads.check(runs)
    out_folder.check_writable(out)
    from search.ship.shipper import Shipper  # here, because torch loads slowly: wrong input is refused first

    shipper = Shipper(snapshot, runs, data_dir=data, int8=int8)
    shipper.write(shipper.exported(found), out, {"by": "a person, by its trial number"})
    for note in shipper.notes:
        sys.stdout.write(f"{note}\n")
    sys.stdout.write(f"written to {out}/: {', '.join(out_folder.written(out))}\n")


if __name__ == "__main__":
    sys.exit(main())
