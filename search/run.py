"""`python -m search.run STUDY`: train students until the study has as many as it wants. Wiring; no logic."""

import shlex
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import optuna
import typer
from rich.console import Console

from fitnets.config import Brought, Trained
from fitnets.cost import cost
from fitnets.store import Store
from search import cli
from search.display import Display
from search.facts import Facts
from search.forecast import forecast, typical
from search.lock import held
from search.loop import Search, Stopped
from search.register import check_images, check_teacher, known_study, register, trained, writable
from search.results import read
from search.results_cli import print_results
from search.study import Study, find_study, shown, storage_url

if TYPE_CHECKING:
    from search.workers import RayWorkers


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
    smoke: Annotated[bool, typer.Option("--smoke", help="Shrink the study to about a minute.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how long it would take, and train nothing.")] = False,
) -> None:
    """Search students for a teacher. The same command again continues; a finished study says so."""
    console = Console(highlight=False, soft_wrap=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    chosen = find_study(study)
    chosen = chosen.smoke() if smoke else chosen
    chosen = cli.named(chosen if seed is None else chosen.changed(seed=seed), name)
    chosen = chosen if trials is None else chosen.changed(trials=trials)
    url = storage_url(runs, storage)
    again = _again(study, data=data, runs=runs, storage=storage, address=address, name=name, seed=seed, smoke=smoke)
    try:
        with ExitStack() as opened:
            known = None
            if not dry_run:
                writable(runs)
                opened.enter_context(held(runs, chosen.name))
                known = known_study(chosen, url)
                if known is not None and trained(known) >= chosen.trials:
                    _say_finished(console, chosen, url, trained(known), again)
                    return
            with console.status("starting the workers ..."):
                crew = opened.enter_context(closing(_workers(address, workers, chosen)))
            facts, teacher = _open(console, chosen, known, crew, data, runs)
            if not dry_run:
                _search(console, chosen, known, crew, facts, teacher, url, data, runs)
    except KeyboardInterrupt:
        more = f" --trials {trials}" if trials is not None else ""
        console.print(f"\nstopped; everything finished is kept. Continue with:\n  {again}{more}", markup=False)
        raise typer.Exit(cli.INTERRUPTED) from None
    except Stopped as error:
        cli.ERRORS.print(f"stopped: {error}", markup=False)
        raise typer.Exit(cli.FAILED) from None
    if not dry_run:
        print_results(read(url, chosen.name), console)
        console.print(f"\nnext: {_pick(study, runs, storage, chosen)}", markup=False)


def _say_finished(console: Console, study: Study, url: str, number: int, again: str) -> None:
    print_results(read(url, study.name), console)
    console.print(f"\n{study.name} has trained its {number} students: it is finished. To train more:")
    console.print(f"  {again} --trials {2 * number}", markup=False)


def _workers(address: str | None, slots: int | None, study: Study) -> "RayWorkers":
    from search.workers import RayWorkers  # here, so that a wrong word on the command line is told at once

    return RayWorkers(address, slots, study.gpu_fraction)


def _open(
    console: Console, study: Study, known: optuna.Study | None, crew: "RayWorkers", data: Path, runs: Path
) -> tuple[Facts, Trained | Brought]:
    """Have the workers read the images, and say what the study will take."""
    with console.status("reading the images ..."):
        facts = crew.open(study.data, data, runs / "store")
    check_images(known, facts)
    teacher = study.resolved_teacher(facts.shape, len(facts.classes))
    console.print(
        f"{study.name}: {facts.train:,} training and {facts.val:,} validation images of {facts.shape}, "
        f"{len(facts.classes)} classes; {crew.slots} slot(s) on {facts.device}"
    )
    with console.status("timing a few batches ..."):
        lines = _forecast(study, facts, teacher, crew)
    console.print("\n".join(lines))
    return facts, teacher


def _search(
    console: Console,
    study: Study,
    known: optuna.Study | None,
    crew: "RayWorkers",
    facts: Facts,
    teacher: Trained | Brought,
    url: str,
    data: Path,
    runs: Path,
) -> None:
    """Teach the workers, enter the study into the storage, and search."""
    with Display(console, study.trials) as display:
        taught = crew.teach(teacher, display.teacher)
        note = check_teacher(known, taught, study)
        if note:
            console.print(note)
        about = {
            "teacher": taught.model_dump(mode="json") | _teacher_cost(teacher),
            "images": facts.model_dump(mode="json") | {"data_dir": str(data.resolve())},
        }
        frame = study.frame(facts.shape, len(facts.classes), len(taught.hint_shapes), facts.native)
        search = Search(study, frame, register(study, url, about), crew, Store(runs / "store"))
        search.run(study.trials, display.event)


def _forecast(study: Study, facts: Facts, teacher: Trained | Brought, crew: "RayWorkers") -> list[str]:
    """How long the study will take, timed on the first slot."""
    frame = study.frame(facts.shape, len(facts.classes), teacher.hints, facts.native)
    student = crew.measure(typical(study, frame)[0].student, study.stage2.batch, frame.precision)
    if isinstance(teacher, Brought):
        net, epochs, speed = None, 0, crew.measure_brought(teacher, study.stage2.batch)
    else:
        net, epochs = teacher.net, 0 if crew.has(teacher) else teacher.training.epochs
        speed = crew.measure(net, teacher.training.batch, teacher.precision)
    told = forecast(study, facts, frame, student, speed, net, teacher_epochs=epochs, slots=crew.slots)
    return [f"  {line}" for line in told.lines()]


def _teacher_cost(teacher: Trained | Brought) -> dict[str, Any]:
    return cost(teacher.net).model_dump(mode="json") if isinstance(teacher, Trained) else {}


def _again(study: str, *, data: Path, runs: Path, storage: str | None, smoke: bool, **rest: Any) -> str:
    """The command that continues this run, as it was given, less a password."""
    options: dict[str, Any] = {f"--{option}": value for option, value in rest.items()}
    options |= {"--data": data if data != Path("data") else None, "--runs": runs if runs != Path("runs") else None}
    options["--storage"] = shown(storage) if storage else None
    words = [word for flag, value in options.items() if value is not None for word in (flag, str(value))]
    return shlex.join(["python", "-m", "search.run", study, *words] + ["--smoke"] * smoke)


def _pick(study: str, runs: Path, storage: str | None, chosen: Study) -> str:
    """The command that takes a student away."""
    words = ["--runs", str(runs)] if runs != Path("runs") else []
    words += ["--storage", shown(storage)] if storage else []
    words += ["--name", chosen.name] if chosen.name != study else []
    return shlex.join(["python", "-m", "search.pick", study, "--max-params", "10k", "--out", "picked", *words])


if __name__ == "__main__":
    sys.exit(main())
