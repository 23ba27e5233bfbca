"""`python -m search.run STUDY`: train students until the study has as many as it wants. Wiring; no logic."""

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import optuna
import typer
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState
from rich.console import Console

from fitnets.config import Brought, Trained
from fitnets.cost import cost
from fitnets.errors import InputError
from fitnets.net import Net
from fitnets.store import Store
from search import cli
from search.display import Display
from search.facts import Facts
from search.forecast import forecast, typical
from search.loop import DIRECTIONS, METRICS, Search, Stopped
from search.results import read
from search.results_cli import print_results
from search.study import Study, differences, find_study, open_storage, storage_url


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
    chosen = find_study(study)
    chosen = chosen.smoke() if smoke else chosen
    chosen = cli.named(chosen if seed is None else chosen.changed(seed=seed), name)
    chosen = chosen if trials is None else chosen.changed(trials=trials)
    url = storage_url(runs, storage)
    again = _command(study, data, runs, storage, address, name, seed, smoke)
    if not dry_run:
        _writable(runs)
        if _finished(chosen, url, console, again):
            return
    from search.workers import RayWorkers  # here, so that a wrong word on the command line is told at once

    crew = RayWorkers(address, workers, chosen.gpu_fraction)
    try:
        with console.status("reading the images ..."):
            facts = crew.open(chosen.data, data, runs / "store")
        teacher = chosen.resolved_teacher(facts.shape, len(facts.classes))
        console.print(
            f"{chosen.name}: {facts.train:,} training and {facts.val:,} validation images of {facts.shape}, "
            f"{len(facts.classes)} classes; {crew.slots} slot(s) on {facts.device}"
        )
        with console.status("timing a few batches ..."):
            _print_forecast(console, chosen, facts, teacher, crew)
        if dry_run:
            return
        with Display(console, chosen.trials) as display:
            taught = crew.teach(teacher, display.teacher)
            frame = chosen.frame(facts.shape, len(facts.classes), len(taught.hint_shapes))
            about = taught.model_dump(mode="json") | _teacher_cost(teacher)
            open_study = _stored(chosen, url, about, facts, data)
            search = Search(chosen, frame, open_study, crew, Store(runs / "store"))
            search.run(chosen.trials, display.event)
    except KeyboardInterrupt:
        console.print(f"\nstopped; everything finished is kept. Continue with:\n  {again}", markup=False)
        raise typer.Exit(cli.INTERRUPTED) from None
    except Stopped as error:
        cli.ERRORS.print(f"stopped: {error}", markup=False)
        raise typer.Exit(cli.FAILED) from None
    finally:
        crew.close()
    print_results(read(url, chosen.name), console)
    console.print(f"\nnext: {_pick_command(study, runs, storage, chosen, data)}", markup=False)


def _finished(study: Study, url: str, console: Console, again: str) -> bool:
    """Refuse a study whose definition changed; say so when there is nothing left to train."""
    storage = open_storage(url)
    if study.name not in optuna.get_all_study_names(storage):
        return False
    known = optuna.load_study(study_name=study.name, storage=storage)
    changed = differences(known.user_attrs.get("study", {}), study.model_dump(mode="json"))
    if changed:
        raise InputError(
            f"the study `{study.name}` is stored with another definition:\n  "
            + "\n  ".join(changed)
            + "\nchange it back, or start a new study of another name with --name."
        )
    trained = [t for t in known.get_trials(deepcopy=False) if t.state in (TrialState.COMPLETE, TrialState.FAIL)]
    if len(trained) < study.trials:
        return False
    print_results(read(url, study.name), console)
    console.print(
        f"\n{study.name} has trained {len(trained)} of {study.trials} students: it is finished. "
        f"To train more:\n  {again} --trials {2 * len(trained)}",
        markup=False,
    )
    return True


def _stored(study: Study, url: str, teacher: dict[str, Any], facts: Facts, data: Path) -> optuna.storages.BaseStorage:
    """The storage, with the study in it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(url)
    made = optuna.create_study(study_name=study.name, storage=storage, directions=DIRECTIONS, load_if_exists=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # metric names, for optuna-dashboard
        made.set_metric_names(METRICS)
    made.set_user_attr("study", study.model_dump(mode="json"))
    made.set_user_attr("teacher", teacher)
    made.set_user_attr("images", facts.model_dump(mode="json") | {"data_dir": str(data.resolve())})
    return storage


def _print_forecast(console: Console, study: Study, facts: Facts, teacher: Trained | Brought, crew: Any) -> None:
    hints = teacher.hints
    frame = study.frame(facts.shape, len(facts.classes), hints)
    student = crew.measure(typical(study, frame)[0].student, study.stage2.batch)
    net: Net | None = None
    epochs = 0
    if isinstance(teacher, Trained):
        net = teacher.net
        speed = crew.measure(net, teacher.training.batch)
        epochs = 0 if crew.has(teacher) else teacher.training.epochs
    else:
        speed = crew.measure_brought(teacher, study.stage2.batch)
    told = forecast(study, facts, frame, student, speed, net, teacher_epochs=epochs, slots=crew.slots)
    for line in told.lines():
        console.print(f"  {line}")


def _teacher_cost(teacher: Trained | Brought) -> dict[str, Any]:
    return cost(teacher.net).model_dump(mode="json") if isinstance(teacher, Trained) else {}


def _writable(runs: Path) -> None:
    try:
        runs.mkdir(parents=True, exist_ok=True)
        probe = runs / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"`{runs}` cannot be written ({error.strerror}): choose another folder with --runs."
        ) from error


def _command(study: str, data: Path, runs: Path, *rest: Any) -> str:
    """The command that continues this run, as it was given."""
    storage, address, name, seed, smoke = rest
    words = ["python -m search.run", study]
    options = {
        "--data": data,
        "--runs": runs,
        "--storage": storage,
        "--address": address,
        "--name": name,
        "--seed": seed,
    }
    defaults = {"--data": Path("data"), "--runs": Path("runs")}
    words += [f"{flag} {value}" for flag, value in options.items() if value not in (None, defaults.get(flag))]
    return " ".join(words + ["--smoke"] * smoke)


def _pick_command(study: str, runs: Path, storage: str | None, chosen: Study, data: Path) -> str:
    words = ["python -m search.pick", study, "--max-params 10k --out picked"]
    words += [f"--runs {runs}"] if runs != Path("runs") else []
    words += ["--storage URL"] if storage else []
    words += [f"--name {chosen.name}"] if chosen.name != study else []
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
