"""Writing into the folder that --out names: an error names that option."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fitnets.errors import InputError


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
