"""Teachers given by their stages alone: the images decide the rest."""

from typing import Literal, Self

from pydantic import Field, PositiveInt

from fitnets.values.base import Value, later
from fitnets.values.net import Dense, Net, Shape
from fitnets.values.teachers import Ensemble, Trained
from fitnets.values.training import Precision, Training


class Staged(Value):
    """A teacher to train; its input shape and number of classes are those of the images."""

    kind: Literal["staged"] = "staged"
    stages: tuple[tuple[int, ...], ...]
    pieces: PositiveInt = 2
    norm: Literal["none", "batch"] = "none"
    dense: tuple[Dense, ...] = ()
    training: Training
    seed: int = Field(0, ge=0)
    precision: Literal["auto"] | Precision = later("float32")
    """Of its training. `auto`: the students'. `bf16` is slow where the processor does not have it natively."""
    shortcuts: bool = later(False)
    """Every convolution after the first of its stage adds its input where the widths are equal."""
    own_views: bool = later(False)
    """As `Trained.own_views`."""

    @property
    def hints(self) -> int:
        """How many layers can be hint layers."""
        return sum(len(widths) for widths in self.stages)

    def resolved(self, shape: Shape, classes: int, students: Precision = "float32") -> Trained:
        """The teacher for images of this shape and number of classes; `students` is their training's precision."""
        net = Net.staged(
            shape,
            classes,
            self.stages,
            pieces=self.pieces,
            norm=self.norm,
            dense=self.dense,
            shortcuts=self.shortcuts,
        )
        precision = students if self.precision == "auto" else self.precision
        return Trained(net=net, training=self.training, precision=precision, seed=self.seed, own_views=self.own_views)

    def smoke(self) -> Self:
        """The same, shrunk to be trained in seconds."""
        stages = tuple((min(24 * 2**i, max(widths)),) for i, widths in enumerate(self.stages))
        return self.changed(stages=stages, dense=(), training=quick_training(self.training))


class StagedEnsemble(Value):
    """An `Ensemble` of staged teachers."""

    kind: Literal["staged ensemble"] = "staged ensemble"
    members: tuple[Staged, ...] = Field(min_length=2)
    average: Literal["logits", "probabilities"] = "logits"

    @property
    def hints(self) -> int:
        """How many layers can be hint layers: the first member's."""
        return self.members[0].hints

    def resolved(self, shape: Shape, classes: int, students: Precision = "float32") -> Ensemble:
        """The ensemble, as `Staged.resolved`. Raises ValidationError for equal members."""
        members = tuple(member.resolved(shape, classes, students) for member in self.members)
        return Ensemble(members=members, average=self.average)

    def smoke(self) -> Self:
        """The same, shrunk to be trained in seconds; seeds keep members apart that the shrinking makes equal."""
        return self.changed(members=tuple(each.smoke().changed(seed=i) for i, each in enumerate(self.members)))


def quick_training(training: Training) -> Training:
    """A teacher's training, shortened to seconds."""
    return Training(epochs=min(6, training.epochs), lr=3e-3, batch=32, schedule="one-cycle")
