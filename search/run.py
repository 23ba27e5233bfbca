"""`python -m search.run STUDY`: train students until the study has as many as it asks for. Wiring only."""

import itertools
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import optuna
import typer
from rich.console import Console

from fitnets.config import Brought, Ensemble, Recipe, Report, Trained
from fitnets.disk.store import Store
from fitnets.nets.cost import total_cost
from search import cli
from search.driver.checks import check_files
from search.driver.disk_limit import notes
from search.driver.display import Display
from search.driver.forecast import forecast_and_actual, measured_forecast
from search.driver.identity import check_here, check_on_cluster
from search.driver.like import COUNT, LIKE, Like, as_attribute, stored
from search.driver.loop import Search
from search.driver.registration import (
    PRECISION,
    beginning,
    check_images,
    check_teacher,
    has_running_trials,
    known_study,
    note_on_precision,
    precision_of,
    record_folder,
    recording_the_end,
    register,
    trained_count,
    writable,
)
from search.driver.rungs import shares_stopped
from search.read.budget import finished
from search.read.candidates import Snapshot
from search.read.reader import read
from search.results import print_results
from search.ship.confirmed import stored_confirmation
from search.ship.sure.ties import Ties
from search.space import Frame
from search.storage.address import storage_url
from search.storage.faults import StudyMissing, writing
from search.storage.lock import driving
from search.storage.writer import open_storage
from search.study import Study
from search.units import parse_bytes
from search.workers.facts import Facts
from search.workers.logs import logs_folder

if TYPE_CHECKING:
    from search.workers.crew import RayWorkers


@cli.app
def main(
    study: cli.StudyName,
    trials: Annotated[int | None, typer.Option(min=1, help="Students to train in all; default: the study's.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Slots; default: one per core, or per GPU share.")] = None,
    data: Annotated[Path, typer.Option(help="Where the images are, or are downloaded to.")] = Path("data"),
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    address: Annotated[str | None, typer.Option(metavar="RAY", help="Join this Ray cluster; default: local.")] = None,
    name: cli.Name = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The study's seed; default: its own.")] = None,
    max_disk: Annotated[str | None, typer.Option(metavar="SIZE", help="Of caches and students, as 20GB.")] = None,
    trial_seconds: Annotated[int | None, typer.Option(min=1, help="A trial that takes longer fails.")] = None,
    like: Annotated[
        str | None, typer.Option(metavar="OTHER", help="Begin with the front of this study in the same storage.")
    ] = None,
    like_count: Annotated[int, typer.Option(min=1, help="Students of it, at most.")] = COUNT,
    no_stopping: Annotated[bool, typer.Option("--no-stopping", help="Train every student to its end.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Shrink the study to about a minute.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the forecast, and train nothing.")] = False,
) -> None:
    """Search students for a teacher. Run the same command again to continue; a finished study says so."""
    console = Console(highlight=False, soft_wrap=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    chosen = cli.found(study)
    chosen = chosen.smoke() if smoke else chosen
    chosen = cli.named(chosen if seed is None else chosen.changed(seed=seed), name)
    chosen = chosen if trials is None else chosen.changed(trials=trials)
    chosen = chosen if max_disk is None else chosen.changed(max_disk=parse_bytes(max_disk, "--max-disk"))
    chosen = chosen if trial_seconds is None else chosen.changed(trial_seconds=trial_seconds)
    chosen = chosen.changed(stopping=None) if no_stopping else chosen
    url = storage_url(runs, storage)
    given: dict[str, Any] = {"address": address, "name": name, "seed": seed, "max-disk": max_disk}
    given |= {"workers": workers, "trial-seconds": trial_seconds, "like": like}
    given |= {"like-count": like_count if like_count != COUNT else None}
    wanted = None if like is None else _like(url, cli.checked_name(like, "--like"), like_count)
    switches = ["--no-stopping"] * no_stopping + ["--smoke"] * smoke
    again = _again(study, switches, data=data, runs=runs, storage=storage, **given)
    more = f" --trials {trials}" if trials is not None else ""
    with cli.resumable(again + more), ExitStack() as opened:
        known: optuna.Study | None = None
        storing: optuna.storages.BaseStorage | None = None
        writable(runs)
        if dry_run:
            known = opened.enter_context(_known(chosen, url))
        else:
            opened.enter_context(writing(url))
            storing = opened.enter_context(driving(url, chosen.name))
            known = known_study(chosen, storing)
        if wanted is not None:
            wanted.check(chosen, known)
        done = known is not None and trained_count(known) >= chosen.trials and not has_running_trials(known)
        if address is None:
            check_files(chosen, data)
            if known is not None:
                with console.status("comparing the images with the study's ..."):
                    check_here(known, chosen, data, Store(runs / "store"), teacher=done)
        if address is not None or not done:
            with console.status("starting the workers ..."):
                crew = opened.enter_context(closing(_workers(address, workers, chosen)))
        if known is not None and done:
            if address is not None:
                check_on_cluster(known, chosen, crew, data, Store(runs / "store"))
            if not dry_run:
                record_folder(known, data)
            _print_finished(console, chosen, url, trained_count(known), again)
            return
        facts, teacher, expected = _open(console, chosen, known, crew, data, runs, wanted)
        if storing is not None:
            began = time.monotonic()
            _search(console, chosen, known, crew, facts, teacher, storing, data, runs, wanted, expected)
            console.print(forecast_and_actual(expected, time.monotonic() - began))
    if not dry_run:
        snapshot = read(url, chosen.name)
        print_results(snapshot, console, ties=Ties.stored(url, snapshot, None))
        if not finished(snapshot.candidates):
            cli.ERRORS.print("every student failed: see the reasons above, and correct the study.", markup=False)
            raise typer.Exit(cli.FAILED)
        console.print(f"\nnext: {_pick(study, runs, storage, snapshot)}", markup=False)


@contextmanager
def _known(study: Study, url: str) -> Iterator[optuna.Study | None]:
    """The stored study, also while another process searches it. Nothing is made where none is."""
    try:
        read(url, study.name)
    except StudyMissing:
        yield None
        return
    storage = open_storage(url)
    try:
        yield known_study(study, storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _like(url: str, other: str, count: int) -> Like:
    """The front of another study in the same storage."""
    snapshot = read(url, other)
    return Like.of(snapshot, stored_confirmation(url, snapshot), count)


def _print_finished(console: Console, study: Study, url: str, number: int, again: str) -> None:
    print_results(read(url, study.name), console)
    console.print(f"\n{study.name} has trained its {number} students: it is finished. To train more:")
    console.print(f"  {again} --trials {2 * number}", markup=False)


def _workers(address: str | None, slots: int | None, study: Study) -> "RayWorkers":
    from search.workers.crew import RayWorkers  # here, so that a wrong option is reported at once

    return RayWorkers(address, slots, study.gpu_fraction)


def _open(
    console: Console,
    study: Study,
    known: optuna.Study | None,
    crew: "RayWorkers",
    data: Path,
    runs: Path,
    wanted: Like | None,
) -> tuple[Facts, Trained | Brought | Ensemble, float]:
    """Have the workers read the images, and print the forecast: the images, the teacher, the forecast's seconds."""
    with console.status("reading the images ..."):
        facts = crew.open(study.data, data, runs / "store", logs_folder(runs, study.name), study.trial_seconds)
    check_images(known, facts, data)
    precision = precision_of(known, facts.native)
    teacher = study.resolved_teacher(facts.shape, len(facts.classes), precision)
    console.print(
        f"{study.name}: {facts.train:,} training and {facts.val:,} validation images of {facts.shape}, "
        f"{len(facts.classes)} classes; {crew.slots} slot(s) on {facts.device}"
    )
    for line in facts.notes:
        console.print(f"note: {line}", markup=False)
    with console.status("timing a few batches ..."):
        done = 0 if known is None else trained_count(known)
        stopped = shares_stopped(study, [] if known is None else known.get_trials(deepcopy=False))
        left = study.changed(trials=max(1, study.trials - done))
        frame = study.frame(facts.shape, len(facts.classes), teacher.hints, precision)
        first = [recipe for _, recipe in itertools.chain(*_first(study, known, wanted, frame))]
        expected = measured_forecast(left, facts, teacher, frame, crew, stopped, first[done:])
    if done:
        console.print(f"  {done} of {study.trials} trials are done; for what is left:")
    warnings = notes(runs, expected.disk_bytes, expected.table_bytes, study.max_disk)
    console.print("\n".join(f"  {line}" for line in [*expected.lines(), *warnings]))
    return facts, teacher, expected.total_seconds


def _search(
    console: Console,
    study: Study,
    known: optuna.Study | None,
    crew: "RayWorkers",
    facts: Facts,
    teacher: Trained | Brought | Ensemble,
    storing: optuna.storages.BaseStorage,
    data: Path,
    runs: Path,
    wanted: Like | None,
    forecast: float,
) -> None:
    """Give the workers the teacher, register the study in the storage, and search."""
    images = facts.model_dump(mode="json") | {"data_dir": str(data.resolve())}
    with (
        Display(console, study.trials, forecast) as display,
        beginning(study, storing, known, {"images": images}) as note_epoch,
    ):

        def on_report(report: Report) -> None:
            display.teacher(report)
            note_epoch(report)

        teacher_facts = crew.teach(teacher, on_report)
        for line in teacher_facts.notes:
            console.print(f"note: {line}", markup=False)
        note = check_teacher(known, teacher_facts, study)
        if note:
            console.print(note)
        about = {
            "teacher": teacher_facts.model_dump(mode="json") | _teacher_cost(teacher),
            "images": images,
        }
        precision = precision_of(known, facts.native)
        frame = study.frame(facts.shape, len(facts.classes), len(teacher_facts.hint_shapes), precision)
        if slower := note_on_precision(frame.precision, facts):
            console.print(slower, markup=False)
        like, named = _first(study, known, wanted, frame)
        if wanted is not None and known is None:
            about[LIKE] = as_attribute(wanted.other.study, like)
            console.print(f"first, {len(like)} students of the front of `{wanted.other.study}`", markup=False)
        register(study, storing, about | {PRECISION: frame.precision})
        search = Search(study, frame, storing, crew, Store(runs / "store"), [*like, *named])
        # A new study's end is recorded from its beginning on, a known one's from here: a refusal changes nothing.
        with nullcontext() if known is None else recording_the_end(study.name, storing):
            search.run(study.trials, display.event)


def _first(
    study: Study, known: optuna.Study | None, wanted: Like | None, frame: Frame
) -> tuple[list[tuple[str, Recipe]], list[tuple[str, Recipe]]]:
    """The students that are known before the search: those of --like, and those designed by hand."""
    like = wanted.students(study, frame) if wanted is not None and known is None else stored(known)
    return like, [(named.name, study.named_recipe(named, frame)) for named in study.first]


def _teacher_cost(teacher: Trained | Brought | Ensemble) -> dict[str, Any]:
    nets = [member.net for member in teacher.members]
    return total_cost(nets).model_dump(mode="json") if nets else {}


def _again(study: str, switches: list[str], *, data: Path, runs: Path, storage: str | None, **rest: Any) -> str:
    """The command that continues this run, as it was given, without a password."""
    options = rest | {"data": data if data != Path("data") else None, "runs": runs if runs != Path("runs") else None}
    return cli.typed("run", study, options | {"storage": cli.typed_storage(storage)}, switches)


def _pick(study: str, runs: Path, storage: str | None, snapshot: Snapshot) -> str:
    """An example of the command that picks a student: the one in the middle of the front."""
    front = snapshot.front()
    limit = str(front[len(front) // 2].cost.params)
    words = ["--runs", str(runs)] if runs != Path("runs") else []
    words += ["--storage", typed] if (typed := cli.typed_storage(storage)) else []
    words += ["--name", snapshot.study] if snapshot.study != study else []
    return shlex.join([*cli.command("pick"), study, "--max-params", limit, "--out", "picked", *words])


if __name__ == "__main__":
    sys.exit(main())
