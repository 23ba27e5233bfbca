"""`python -m search.confirm STUDY`: train the front's students again with fresh seeds, and say how good they are."""

import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import optuna
import typer
from rich.console import Console

from fitnets.disk.store import Store
from fitnets.errors import InputError
from search import cli
from search.driver.fresh import FreshRuns, confirm, planned
from search.driver.identity import check_unchanged
from search.driver.registration import writable
from search.read.budget import Budget, finished, fitting
from search.read.candidates import SUFFIX, Snapshot
from search.read.reader import read
from search.ship.confirmed import LEAST_SEEDS, confirmation
from search.ship.sure.confirmed_table import confirmed_table, optimism
from search.storage.address import storage_url
from search.storage.faults import writing
from search.storage.lock import driving
from search.units import format_duration, parse_accuracy, parse_count, typed_accuracy

if TYPE_CHECKING:
    from search.workers.crew import RayWorkers


@cli.app
def main(
    study: cli.StudyName,
    seeds: Annotated[int, typer.Option(help="Fresh runs a student; more than before adds runs.")] = LEAST_SEEDS,
    max_params: cli.Count = None,
    max_macs: cli.Count = None,
    min_accuracy: Annotated[
        str | None, typer.Option(metavar="SHARE", help="In the search's run, as 0.85 or 85%; default: the study's own.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Slots; default: one per core, or per GPU share.")] = None,
    data: Annotated[Path | None, typer.Option(help="The images' folder, where it moved since the search.")] = None,
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    address: Annotated[str | None, typer.Option(metavar="RAY", help="Join this Ray cluster; default: local.")] = None,
    name: cli.Name = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained, and train nothing.")] = False,
) -> None:
    """Confirm a study's front: its students, and those near it, trained again. The same command continues."""
    if seeds < LEAST_SEEDS:
        raise InputError(
            f"`--seeds` is {seeds}, but the mean of fewer than {LEAST_SEEDS} runs is no better than the search's own "
            f"choice: give {LEAST_SEEDS} or more."
        )
    console = Console(highlight=False, soft_wrap=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    budget = Budget(
        max_params=parse_count(max_params, "--max-params"),
        max_macs=parse_count(max_macs, "--max-macs"),
        min_accuracy=parse_accuracy(min_accuracy, "--min-accuracy"),
    )
    url = storage_url(runs, storage)
    options: dict[str, object] = {"max-params": max_params, "max-macs": max_macs, "min-accuracy": min_accuracy}
    options |= {"workers": workers, "data": data, "address": address, "name": name}
    options["storage"] = cli.typed_storage(storage)
    options["seeds"] = seeds if seeds != LEAST_SEEDS else None
    options["runs"] = runs if runs != Path("runs") else None
    snapshot = read(url, cli.stored_name(study, name))
    if not finished(snapshot.candidates):
        raise InputError(f"the study `{snapshot.study}` has no trained student yet: run it first.")
    cli.note_definition(study, snapshot)
    budget = _of_use(snapshot, budget)
    fresh = planned(url, snapshot, budget, seeds)
    if data is not None and address is None:
        check_unchanged(snapshot, fresh.study.data, data, Store(runs / "store"))
    slots = workers or os.cpu_count() or 1
    console.print(_intention(fresh, slots, budget), markup=False)
    if dry_run:
        return
    if fresh.missing:
        with cli.resumable(cli.typed("confirm", study, options)), ExitStack() as opened:
            writable(runs)
            opened.enter_context(writing(url))
            searching = opened.enter_context(driving(url, snapshot.study))  # nobody searches on meanwhile
            storing = opened.enter_context(driving(url, fresh.study.name))
            with console.status("starting the workers ..."):
                crew = opened.enter_context(closing(_workers(address, workers, fresh)))
            confirm(console, fresh, crew, searching, storing, data, runs)
    failures = cli.command_for(fresh.study.name, runs, url, "results")
    _print(console, snapshot, read(url, snapshot.study + SUFFIX), failures)


def _of_use(snapshot: Snapshot, budget: Budget) -> Budget:
    """The budget, with the study's own least accuracy where none was given and some student reaches it."""
    own = budget.changed(min_accuracy=snapshot.definition.get("min_accuracy"))
    return own if budget.min_accuracy is None and fitting(snapshot.candidates, own) else budget


def _intention(fresh: FreshRuns, slots: int, budget: Budget) -> str:
    students = len(fresh.plan.trials)
    least = f" of {typed_accuracy(budget.min_accuracy)} or more" if budget.min_accuracy else ""
    near = "near it" if fresh.plan.spread is None else "near it by the spread over seeds that is known"
    text = (
        f"{fresh.plan.study}: {students} students{least} on the front or {near}, {fresh.plan.seeds} fresh seeds each: "
    )
    if not fresh.missing:
        return f"{text}all {students * fresh.plan.seeds} runs are there."
    about = format_duration(fresh.seconds / slots)
    return f"{text}{fresh.missing} runs to train, about {about} by the search's own times on {slots} slot(s)"


def _workers(address: str | None, slots: int | None, fresh: FreshRuns) -> "RayWorkers":
    from search.workers.crew import RayWorkers  # here, so that a wrong option is reported at once

    return RayWorkers(address, slots, fresh.study.gpu_fraction)


def _print(console: Console, snapshot: Snapshot, runs: Snapshot, failures: str) -> None:
    """`failures`: the command that says why runs failed."""
    found = confirmation(snapshot, runs)
    if found is None:
        raise InputError(f"every fresh run failed: `{failures}` says why.")
    console.print(confirmed_table(snapshot, found))
    console.print(optimism(found))


if __name__ == "__main__":
    sys.exit(main())
