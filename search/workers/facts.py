"""What workers report to the driver of their images, teacher and speed. No torch."""

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


class Speed(Value):
    """Seconds per image, measured with the real images on a worker's machine, in one process."""

    train_step: float
    """Forward, backward and update."""
    forward: float
