"""Checks of the input files that need no Ray, whose start takes many seconds. No torch, no ray."""

from pathlib import Path

from fitnets.config import Brought
from fitnets.errors import InputError
from fitnets.images.printable import shown
from fitnets.images.sources import check_folders
from search.study import Study


def check_files(study: Study, data: Path) -> None:
    """Raises InputError where this machine lacks files that the study reads.

    Not to be called for a cluster, whose workers read the files on their own machines.
    """
    check_folders(study.data, data)
    if isinstance(study.teacher, Brought) and study.teacher.weights is not None:
        weights = Path(study.teacher.weights)
        if not weights.is_file():
            raise InputError(
                f"the teacher's `weights` are `{shown(weights)}`, but there is no such file: give the path of its "
                "safetensors file, or leave `weights` out where its function loads them itself."
            )
