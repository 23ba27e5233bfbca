"""Checks of a study, its limits and its input files, before anything is trained. No torch, no ray."""

from pathlib import Path

from fitnets.config import Brought
from fitnets.errors import InputError
from fitnets.images.printable import shown
from fitnets.images.sources import check_folders
from fitnets.nets.cost import cost
from search.space import Frame, extreme
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


def check_limits(study: Study, frame: Frame) -> None:
    """Raises InputError where the space's smallest student is over a limit of the study."""
    smallest = cost(extreme(study.space, frame, 0).student)
    for name, excess in study.excess(smallest).items():
        if excess > 0:
            value = smallest.params if name == "max_params" else smallest.macs
            raise InputError(
                f"`{name}` is {getattr(study, name):,}, but the space's smallest student has {value:,}: "
                "raise the limit, or lower `depth` or `base_width` in the study's space."
            )
