"""What can be known to be wrong before Ray starts, which takes many seconds. No torch, no ray."""

from pathlib import Path

from fitnets.config import Brought, Data
from fitnets.errors import InputError
from fitnets.images.folders import class_folders, shown
from search.study import Study

OBTAINABLE = ("digits", "mnist", "cifar10", "cifar100", "svhn")  # these ship with a library, or are downloaded


def check_files(study: Study, data: Path) -> None:
    """Raises InputError where this machine lacks files that the study reads.

    Not for a cluster: its workers read them, each on its own machine.
    """
    _check_images(study.data, data)
    if isinstance(study.teacher, Brought) and study.teacher.weights is not None:
        weights = Path(study.teacher.weights)
        if not weights.is_file():
            raise InputError(
                f"the teacher's `weights` are `{shown(weights)}`, but there is no such file: give the path of its "
                "safetensors file, or leave `weights` out where its function loads them itself."
            )


def _check_images(images: Data, root: Path) -> None:
    if images.name == "digits":
        return
    if root.exists() and not root.is_dir():
        raise InputError(f"`--data` is `{shown(root)}`, which is a file: name the folder that holds the images.")
    if images.name in OBTAINABLE:
        return
    if not root.is_dir():
        raise InputError(f"no images in `{shown(root)}`: there is no such folder. Name the folder with --data.")
    places = [folder / part for folder in (root / images.name, root) for part in ("train", "")]
    if not any(class_folders(folder) for folder in places):
        raise InputError(
            f"no images in `{shown(root)}`: it must hold one folder for each class, `train/<class>/*` and "
            "`test/<class>/*`, or `<class>/*`. Name the folder with --data."
        )
