"""What workers report to the driver of their images, teacher and speed. No torch."""

from collections.abc import Mapping
from typing import Any

from fitnets.config import Precision
from fitnets.values.base import Value, later
from fitnets.values.net import Shape
from fitnets.values.per_class import PerClass


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


def other_images(stored: Mapping[str, Any], digest: str, train: int, own_val: bool) -> str | None:
    """What is wrong with images that are not those of a stored study, and a remedy; None where they are the same.

    `stored` are the study's facts; `digest` and `train`, the number of training images, are those of the images now.
    `own_val`: they have a validation part of their own.
    """
    if stored.get("images") in (None, digest):
        return None
    folder = f"`{stored.get('data_dir')}`"
    if own_val and train == stored.get("train", 0) + stored.get("val", 0):
        return (
            f"the study split its validation images off the training images in {folder}: it began with an earlier "
            "version, which did not read the validation part (`val/`), or before that was there. Move that folder away"
        )
    return (
        f"the images are not those that the study was trained on (digest {digest[:12]}, was "
        f"{str(stored['images'])[:12]}, read from {folder}): restore them"
    )
