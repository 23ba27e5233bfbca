"""Writing into the folder that --out names, nothing that is not ours; an error names that option."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from fitnets.errors import InputError
from search.paper.table import Comparison


@contextmanager
def written(path: Path) -> Iterator[None]:
    """The context in which `path` is written; its folder is created. Raises InputError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"`{path}` cannot be written ({error.strerror or error}): choose another folder with --out."
        ) from error


def check_ours(table: Path, picture: Path) -> None:
    """Raises InputError where a file that is not an earlier table of ours, or its picture, is in the way."""
    try:
        if table.is_file():
            Comparison.model_validate_json(table.read_bytes())
        elif picture.is_file():
            raise FileExistsError
    except (OSError, ValidationError):
        theirs = table if table.is_file() else picture
        raise InputError(f"`{theirs}` is not a table of this command's: choose another folder with --out.") from None
