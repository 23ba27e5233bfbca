"""What the commands share: options, and errors as one line and an exit code."""

import errno
import functools
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from fitnets.errors import DiskError, InputError
from fitnets.values.base import explain
from search.read.candidates import Snapshot
from search.read.definition import definition_note
from search.storage.address import shown, storage_url
from search.storage.faults import StorageLost
from search.study import NAME, Study, find_study, own_namesake, study_names
from search.units import CONSOLE as CONSOLE
from search.units import STARTED_BY as STARTED_BY
from search.units import command as command
from search.workers.protocol import Stopped

OK, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
ERRORS = Console(stderr=True, soft_wrap=True, highlight=False)
DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study in studies/, or the path of such a file.")]
Runs = Annotated[Path, typer.Option(help="The folder for everything that a run writes.")]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL", envvar="FITNET_STORAGE", help="sqlite:///FILE or postgresql://...; default: runs/studies.db."
    ),
]
ImagesNow = Annotated[
    Path | None, typer.Option("--data", help="Where the study's images are now; default: where it read them.")
]
Count = Annotated[str | None, typer.Option(metavar="COUNT", help="As 250k, 0.25M, 30M or 250000.")]
Name = Annotated[str | None, typer.Option(help="The study's name in the storage; default: the study's own.")]


def command_for(study: str, runs: Path, url: str, name: str, *words: str) -> str:
    """The command of `search` of this name, with more words, for the stored study `study` in the storage at `url`."""
    argv = [*command(name), study, *words]
    argv += [] if runs.resolve() == Path("runs").resolve() else ["--runs", str(runs)]
    argv += [] if study.removesuffix("-smoke") in study_names() else ["--name", study]
    argv += [] if url == storage_url(runs, None) else ["--storage", shown(url)]
    return shlex.join(argv)


def app(command: Callable[..., None]) -> Callable[[], None]:
    """The command line of one function: its docstring is the help, its exceptions become exit codes."""

    @functools.wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            _check_folder()
            command(*arguments, **options)
        except DiskError as error:
            ERRORS.print(f"stopped: {error}", markup=False)
            raise typer.Exit(FAILED) from None
        except (InputError, ValidationError) as error:
            text = explain(error) if isinstance(error, ValidationError) else str(error)
            ERRORS.print(f"[bold red]error:[/] {_plain(text)}")
            raise typer.Exit(WRONG_INPUT) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(FAILED) from None
        except OSError as error:
            if error.errno not in DISK_FAULTS:
                raise
            where = f"`{error.filename}`" if error.filename else "a file"
            ERRORS.print(
                f"stopped: {where} cannot be written ({error.strerror}): make room on that disk and run the same "
                "command again.",
                markup=False,
            )
            raise typer.Exit(FAILED) from None

    cli = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    cli.command()(guarded)
    return cli


def _check_folder() -> None:
    """Raises InputError where the working folder was deleted after the shell entered it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise InputError(
            "the folder that this command was started in does not exist any more: change to another one."
        ) from None


@contextmanager
def terminable() -> Iterator[None]:
    """Within this context, SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def resumable(again: str) -> Iterator[None]:
    """Within this context, whatever stops a driver is said in a line, with `again`, the command that continues it."""
    try:
        with terminable():
            yield
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; everything finished is kept. Continue with:\n  {again}")
        raise typer.Exit(INTERRUPTED) from None
    except StorageLost as error:
        ERRORS.print(f"stopped: {error}: everything finished is kept. Continue with: {again}", markup=False)
        raise typer.Exit(FAILED) from None
    except Stopped as error:
        ERRORS.print(f"stopped: {error}", markup=False)
        raise typer.Exit(FAILED) from None


def typed_storage(storage: str | None) -> str | None:
    """A storage as it was typed, without a password; None where the environment names it."""
    return shown(storage) if storage and storage != os.environ.get("FITNET_STORAGE") else None


def typed(name: str, study: str, options: Mapping[str, Any], switches: Sequence[str] = ()) -> str:
    """The command of `search` of this name as a person types it; options without a value are left out."""
    words = [word for option, value in options.items() if value is not None for word in (f"--{option}", str(value))]
    return shlex.join([*command(name), study, *words, *switches])


def _plain(text: str) -> str:
    """Text for rich to print as it is: brackets are not markup."""
    return text.replace("[", r"\[")


def found(study: str) -> Study:
    """The study of that name or file. Where there are two of the name, a note says which one it is."""
    own = own_namesake(study)
    if own is not None:
        ERRORS.print(f"note: `{study}` is the built-in study; your own is called `{own}`.", markup=False)
    return find_study(study)


def stored_name(study: str, name: str | None) -> str:
    """A study's name in the storage: --name, or the study's own; `X-smoke` is the name of a smoke run."""
    if name is not None:
        return checked_name(name)
    try:
        return found(study).name
    except InputError:
        if NAME.fullmatch(study) and study.endswith("-smoke"):
            return study
        raise


def note_definition(study: str, snapshot: Snapshot) -> None:
    """Tell on stderr when the study that was read has another definition than the study `study` has now."""
    try:
        note = definition_note(snapshot.study, snapshot.definition, find_study(study))
    except InputError:  # its file is not here any more, or is being edited
        return
    if note:
        ERRORS.print(note, markup=False)


def checked_name(name: str, option: str = "--name") -> str:
    """`name`, if it is a valid name of a study. Raises InputError, which names the option, if not."""
    if not NAME.fullmatch(name):
        raise InputError(f"`{option}` is `{name}`, but a name is letters, digits, '.', '_' and '-', 100 at most.")
    return name


def named(study: Study, name: str | None) -> Study:
    """The study under the name that --name gives it, if any."""
    return study if name is None else study.changed(name=checked_name(name))
