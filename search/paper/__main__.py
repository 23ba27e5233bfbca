"""`python -m search.paper WHAT`: the paper's nets counted, and its tables run again. Wiring; no logic."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer
from rich.console import Console

from fitnets.config import Report
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.paper.recipes import Family
from search import cli
from search.driver.registration import writable
from search.paper import counts
from search.paper.experiments import Experiment, Scale, System, data_of, experiment
from search.paper.forecast import forecast
from search.paper.outputs import check_ours, written
from search.paper.picture import draw
from search.paper.runner import FinishedRuns, key_of, train
from search.paper.table import show
from search.paper.watch import Watch
from search.study import Study
from search.workers.facts import Facts
from search.workers.protocol import Stopped

if TYPE_CHECKING:
    from search.workers.crew import RayWorkers

What = Literal["counts", "mnist", "cifar10", "cifar100", "svhn", "aflw", "figure2"]
GPU_FRACTION = Study.model_fields["gpu_fraction"].default


@cli.app
def main(
    what: Annotated[What, typer.Argument(help="`counts`, or the system to train.")],
    scale: Annotated[Scale, typer.Option(help="For two CPU cores, or for one GPU.")] = "quick",
    seeds: Annotated[int | None, typer.Option(min=1, help="Of every student; default: the experiment's.")] = None,
    recipe: Annotated[
        Literal["paper", "modern", "both"] | None,
        typer.Option(help="Default: modern; figure2: both."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Slots; default: one per core, or per GPU share.")] = None,
    data: Annotated[Path, typer.Option(help="Where the images are, or are downloaded to.")] = Path("data"),
    runs: cli.Runs = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="The folder for tables and pictures; default: RUNS/paper.")] = None,
    address: Annotated[str | None, typer.Option(metavar="RAY", help="Join this Ray cluster; default: local.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how long it would take, and train nothing.")] = False,
) -> None:
    """The paper's nets, counted, or one of its tables, trained. The same command again continues."""
    console = Console(highlight=False)
    if what == "counts":
        counts.show(console)
        return
    recipe = recipe or ("both" if what == "figure2" else "modern")
    families: Sequence[Family] = get_args(Family) if recipe == "both" else (recipe,)
    writable(runs)
    if not dry_run:
        writable(_folder(runs, out), "--out")
    from search.workers.crew import RayWorkers  # here, because Ray loads slowly: wrong input is refused first

    try:
        with cli.terminable(), ExitStack() as opened:
            if not dry_run and not opened.enter_context(Store(runs / "store").claimed("paper", f"{what}-{scale}")):
                raise InputError(f"another command trains {what}, {scale} in `{runs}`: wait for it, or stop it.")
            with console.status("starting the workers ..."):
                crew = RayWorkers(address, workers, GPU_FRACTION)
            with closing(crew):
                planned = _trained(console, crew, what, scale, families, seeds, data, runs, out, dry_run)
            if not dry_run:
                _compared(console, *planned, data, runs, out)
    except KeyboardInterrupt:
        console.print("\nstopped; everything finished is kept. The same command continues.")
        raise typer.Exit(cli.INTERRUPTED) from None
    except Stopped as error:
        cli.ERRORS.print(f"stopped: {error}", markup=False)
        raise typer.Exit(cli.FAILED) from None


def _trained(
    console: Console,
    crew: "RayWorkers",
    system: System,
    scale: Scale,
    families: Sequence[Family],
    seeds: int | None,
    data: Path,
    runs: Path,
    out: Path | None,
    dry_run: bool,
) -> tuple[Experiment, list[str], str]:
    """Train the runs that are missing. Returns the experiment, the keys of its runs, and the device."""
    with console.status("reading the images ..."):
        facts = crew.open(data_of(system, scale, families[-1]), data, runs / "store")
    planned = experiment(system, scale, families, seeds, facts.native)
    _check_images(planned, facts, data)
    check_ours(_table(planned, runs, out), _table(planned, runs, out).with_suffix(".png"))
    summary = f"{system}, {scale}: {facts.train:,} training and {facts.val:,} validation images of {facts.shape}"
    console.print(f"{summary}; {crew.slots} slot(s) on {facts.device}", soft_wrap=True)
    finished = FinishedRuns(_folder(runs, out) / "done", Store(runs / "store"))

    def keys_with_teacher(on_report: Callable[[Report], None]) -> list[str]:
        """The runs' keys: they depend on the teacher, which is trained unless the store has it."""
        teacher = crew.teach(planned.teacher, on_report)
        return [key_of(recipe, planned.data, facts, teacher) for _, _, recipe in planned.runs()]

    def missing(keys: list[str]) -> list[int]:
        return [number for number, key in enumerate(keys) if finished.get(key) is None]

    with console.status("timing a few batches ..."):
        has_teacher = crew.has(planned.teacher)
        keys = keys_with_teacher(lambda report: None) if has_teacher else []  # fast: it is only loaded
        left = missing(keys) if has_teacher else list(range(len(planned.runs())))
        expected = forecast(planned, facts, left, has_teacher, crew.measure)
    console.print(f"  {expected.line(left, crew.slots)}", soft_wrap=True)
    if dry_run:
        return planned, [], facts.device
    with Watch(console, planned, expected, left, crew.slots) as watch:
        keys = keys or keys_with_teacher(watch.teacher)
        watch.missing = set(missing(keys))  # a teacher that was trained again may be equal to the one before
        train(planned, keys, finished, crew, watch.on_event)
    return planned, keys, facts.device


def _check_images(planned: Experiment, facts: Facts, data: Path) -> None:
    """Raises InputError when the images are not of the paper's shape and number of classes."""
    net, given = planned.teacher.net, (facts.shape, len(facts.classes))
    if given != (net.input, net.classes):
        raise InputError(
            f"the images of `{planned.data.name}` in `{data}` are {given[0]} with {given[1]} classes, but the paper's "
            f"`{planned.teacher_name}` takes {net.input} and tells {net.classes} classes apart: put such images there, "
            "or name another folder with --data."
        )


def _folder(runs: Path, out: Path | None) -> Path:
    return out if out is not None else runs / "paper"


def _table(planned: Experiment, runs: Path, out: Path | None) -> Path:
    families = "-".join(dict.fromkeys(arm.family for arm in planned.arms))
    return _folder(runs, out) / f"{planned.system}-{planned.scale}-{families}.json"


def _compared(
    console: Console, planned: Experiment, keys: list[str], device: str, data: Path, runs: Path, out: Path | None
) -> None:
    """Measure every run on the test images, print our results beside the paper's, and write table and picture."""
    from search.paper.compare import compare  # needs torch

    store, folder = Store(runs / "store"), _folder(runs, out)
    with console.status("reading the test images ..."):
        comparison = compare(planned, keys, FinishedRuns(folder / "done", store), data, runs, store, device)
    show(comparison, console)
    path = _table(planned, runs, out)
    with written(path):
        path.write_text(comparison.model_dump_json(indent=1) + "\n")
        drawn = draw(comparison, path.with_suffix(".png"))
    console.print(f"written: {path}" + (f" and {path.with_suffix('.png').name}" if drawn else ""), soft_wrap=True)
    if not drawn:
        console.print("no picture: it needs matplotlib, `pip install fitnet-search[paper]`", markup=False)


if __name__ == "__main__":
    sys.exit(main())
