"""What workers tell the driver of what they hold. No torch."""

from fitnets.config import Precision
from fitnets.values.base import Value, later
from fitnets.values.net import Shape
from fitnets.values.per_class import PerClass


class Facts(Value):
    """What the driver needs to know of the images."""

    shape: Shape
    classes: tuple[str, ...]
    train: int
    val: int
    images: str
    """Digest of the images and their split."""
    device: str
    native: Precision
    """The precision that training is fastest in there."""
    notes: tuple[str, ...] = later(())
    """What a person should know of the images, a plain line each."""


class TeacherFacts(Value):
    """What the driver needs to know of the teacher."""

    teacher: str
    """The teacher's digest."""
    hint_shapes: tuple[Shape, ...]
    val_accuracy: float
    classes: PerClass | None = later(None)
    """None for one that an earlier version trained."""
    notes: tuple[str, ...] = later(())
    """What was done to a brought one, a plain line each."""


class Speed(Value):
    """Seconds for one image, measured on the real images on this machine, this process alone."""

    train_step: float
    """Forward, backward and update."""
    forward: float
