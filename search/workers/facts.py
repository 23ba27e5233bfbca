"""What workers report to the driver of their images, teacher and speed. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fitnets.config import Precision
from fitnets.images.identity import Identity
from fitnets.images.printable import shown
from fitnets.values.base import Value, later
from fitnets.values.net import Shape
from fitnets.values.per_class import PerClass
from fitnets.values.table_sizes import HintTable

StoredTable = tuple[int, HintTable | None]
"""A table that is complete in a worker's store: its epoch, and which hints it has; None: the logits."""


class Facts(Value):
    """What the driver needs to know about the images."""

    shape: Shape
    classes: tuple[str, ...]
    train: int
    val: int
    images: str
    """Digest of the images and their split."""
    device: str
    native: Precision
    """The precision in which training is fastest on that device."""
    notes: tuple[str, ...] = later(())
    """What the user should know about the images, a line each."""
    own_val: bool = later(False)
    """Whether the images come with a validation part of their own."""


class TeacherFacts(Value):
    """What the driver needs to know about the teacher."""

    teacher: str
    """The teacher's digest."""
    hint_shapes: tuple[Shape, ...]
    val_accuracy: float
    classes: PerClass | None = later(None)
    """None for a teacher that an earlier version trained."""
    notes: tuple[str, ...] = later(())
    """What was done to a brought teacher, a line each."""
    contents: tuple[str, str] | None = later(None)
    """The digests of a brought teacher's weights and of its code."""


class Speed(Value):
    """Seconds per image, measured with the real images on a worker's machine, in one process."""

    train_step: float
    """Forward, backward and update."""
    forward: float


def other_images(stored: Mapping[str, Any], found: Facts | Identity, data: Path) -> str | None:
    """What is wrong with images that are not those of a stored study, and remedies; None where they are the same.

    `stored` are the study's facts; `found` are those of the images that are in `data` now.
    """
    digest, classes = stored.get("images"), stored.get("classes")
    if digest is None or (digest == found.images and classes in (None, list(found.classes), found.classes)):
        return None
    old = f"`{stored.get('data_dir')}`"
    if digest != found.images and found.own_val and found.train == stored.get("train", 0) + stored.get("val", 0):
        return (
            f"the study split its validation images off the training images in {old}: it began with an earlier "
            "version, which did not read the validation part (`val/`), or before that was there. Move that folder away"
        )
    differ = f"digest {found.images[:12]}, was {digest[:12]}"
    if digest == found.images and classes is not None:
        differ = f"classes {', '.join(found.classes)}; were {', '.join(classes)}"
    return (
        f"the images in `{shown(data)}` are not those that the study was trained on ({differ}, read from {old}): "
        "restore them, name their folder with --data"
    )
