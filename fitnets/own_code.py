"""The user's own code: a teacher's function, or a study's file, in the folder that a command was started in.

`python -m` puts that folder first in `sys.path`, and a file there that is called as one of our packages or a library's
then takes its place. The command `fitnet-search` does not; here the folder comes last, and only while own code loads.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


def comes_first() -> bool:
    """Whether this process looks into the current folder for any module, as `python -m` has it."""
    return bool({"", str(Path.cwd())} & set(sys.path))


@contextmanager
def importable() -> Iterator[None]:
    """In this context modules of the current folder can be imported; installed ones of the same name go before."""
    here = str(Path.cwd())
    added = not comes_first()
    if added:
        sys.path.append(here)
    try:
        yield
    finally:
        if added:
            sys.path.remove(here)


def names_in(folder: Path) -> list[str]:
    """The modules directly in a folder; none where it is not there."""
    return sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_"))


def imported(name: str) -> ModuleType:
    """The module of that name, which may import others of the current folder."""
    with importable():
        return importlib.import_module(name)


def executed(path: Path) -> ModuleType:
    """The module of a file, wherever it is; raises whatever the file raises."""
    spec = importlib.util.spec_from_file_location(f"study_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with importable():
        spec.loader.exec_module(module)
    return module
