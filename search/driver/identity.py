"""Whether the images and the teacher are those of a stored study. Its results are printed only after that."""

from pathlib import Path
from typing import TYPE_CHECKING

import optuna

from fitnets.config import Brought, Data
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.images.identity import identity
from search.driver.registration import check_brought, check_images
from search.read.candidates import Snapshot
from search.study import Study
from search.workers.facts import other_images

if TYPE_CHECKING:
    from search.workers.crew import RayWorkers


def check_here(known: optuna.Study, study: Study, data: Path, store: Store, *, teacher: bool) -> None:
    """Check this machine's images and, with `teacher`, the brought teacher, if it is one. Fast, and without Ray.

    Raises InputError when they are not the study's.
    """
    found = identity(study.data, data, store)
    check_images(known, found, data)
    if teacher and isinstance(study.teacher, Brought):
        from search.workers.trainer import Trainer  # here, because torch loads slowly

        trainer = Trainer(study.data, str(data), str(store.root), "cpu", None)
        check_brought(known, *trainer.brought_digests(study.teacher))


def check_unchanged(snapshot: Snapshot, images: Data, data: Path, store: Store) -> None:
    """Raises InputError when the images in `data` are not those that a study was trained on."""
    if problem := other_images(snapshot.images, identity(images, data, store), data):
        raise InputError(f"{problem}, or search these under another name with `search.run --name`.")


def check_on_cluster(known: optuna.Study, study: Study, crew: "RayWorkers", data: Path, store: Store) -> None:
    """The same for the files of a cluster's workers, which this machine may lack."""
    facts = crew.open(study.data, data, store.root)
    check_images(known, facts, data)
    if isinstance(study.teacher, Brought):
        teacher = crew.teach(study.teacher, lambda report: None)
        check_brought(known, teacher.teacher, teacher.contents)
