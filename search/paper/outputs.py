"""The folder that --out names: what cannot be written there is told in its words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fitnets.errors import InputError


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Around what writes `path`. Raises InputError when its folder or its disk refuses it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"`{path}` cannot be written ({error.strerror or error}): choose another folder with --out."
        ) from error
