"""One trial, as a value: the student, its hint, the losses and both training stages. Nothing here needs torch.

Layers are numbered from 1; accuracies are fractions in [0, 1]; times are seconds.
"""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from fitnets.values.base import Value, later
from fitnets.values.net import Net
from fitnets.values.training import Precision, Training


class Hint(Value):
    """The hint layer, the guided layer and the regressor between them (section 2.2 of the paper)."""

    hint: PositiveInt
    """The teacher's layer to imitate."""
    guided: PositiveInt
    """The student's layer that learns to predict it."""
    regressor: Literal["paper", "linear", "normalised"] = "linear"
    """`paper`: an unpadded convolution of kernel `N_guided - N_hint + 1` with the hint layer's own nonlinearity;
    `linear`: a 1x1 convolution; `normalised`: the same, then batch normalisation without scale or shift."""
    scale: Literal["r2", "paper", "released"] = "r2"
    """`r2`: targets standardised per channel, mean squared error, so that the loss is 1 - R2 and comparable between
    layers; `paper`: Eq. 3, half the squared distance, summed over the map; `released`: the released code's, which sums
    over the map's rows and takes the mean of the rest."""


class LabelHint(Value):
    """A softmax on the guided layer that learns the labels, instead of a hint (section 3.1: it failed).

    It is discarded after training. Its learning-rate factor and norm limit are those of an output layer.
    """

    guided: PositiveInt
    """The student's layer whose output it takes."""
    joint: bool = False
    """False: in stage 1, on layers 1..guided alone. True: in stage 2, where its cross-entropy is added to the loss, and
    there is no stage 1."""


class Distill(Value):
    """The loss of stage 2 (Eq. 2): cross-entropy with the labels + lambda * cross-entropy with the softened teacher."""

    tau: float = Field(3.0, ge=1)
    lambda_start: NonNegativeFloat = 4.0
    lambda_end: NonNegativeFloat = 1.0
    schedule: Literal["linear", "paper"] = "linear"
    """`linear` from start to end over all of stage 2; `paper`: see `hold` and `saturate`."""
    hold: PositiveInt = 5
    """`paper` only: the epoch up to which lambda stays at its start (the released code: 5)."""
    saturate: PositiveInt = 400
    """`paper` only: the epoch from which lambda stays at its end (the released code: 400)."""
    tau_squared: bool = True
    """Multiply the teacher's term by tau^2, so that its gradient's size does not depend on tau. Not in the paper."""
    soften_student: bool = True
    """Soften the student by tau too (Eq. 2). The paper's released code in effect does not."""

    @model_validator(mode="after")
    def _saturates_after_holding(self) -> Self:
        if self.saturate <= self.hold:
            raise ValueError(
                f"`saturate` is {self.saturate}, but must come after `hold` (={self.hold}): "
                f"choose {self.hold + 1} or more."
            )
        return self


class Recipe(Value):
    """Everything that one trial does. Without a hint, stage 1 is left out: plain KD; with lambda 0: backpropagation."""

    student: Net
    hint: Hint | None = None
    label_hint: LabelHint | None = later(None)
    stage1: Training | None = None
    distill: Distill = Distill()
    stage2: Training
    init: Literal["scaled", "uniform"] = "scaled"
    """`scaled`: normal, with the variance that preserves the signal's size through the layers (He's, and its maxout
    counterpart); `uniform`: within +-`init_range`, the paper's."""
    init_range: PositiveFloat = 0.005
    precision: Precision = "float32"
    """Of both stages, and of the teacher's passes for them."""
    seed: int = Field(0, ge=0)
    """Seeds the initial weights and the order of the batches."""
    retrain: bool = later(False)
    """Train a second time, on training and validation images together, from the same initial weights, up to the epochs
    that the first run chose (the paper: CIFAR-10). Those weights are the result; the accuracies are the first run's."""

    @model_validator(mode="after")
    def _stage_one_is_whole(self) -> Self:
        if self.hint is not None and self.label_hint is not None:
            raise ValueError("`hint` and `label_hint` are two ways to guide the same layers: give one.")
        if self.label_hint is not None and self.label_hint.joint:
            if self.stage1 is not None:
                raise ValueError("`stage1` is given, but a joint `label_hint` learns in stage 2: leave `stage1` out.")
        elif (self.guided is None) != (self.stage1 is None):
            given, missing = ("stage1", "hint") if self.guided is None else ("hint", "stage1")
            raise ValueError(f"`{given}` is given without `{missing}`: give both, or neither to leave stage 1 out.")
        last = len(self.student.convs)
        if self.guided is not None and self.guided >= last:
            remedy = f"choose 1..{last - 1}." if last > 1 else "give the student a second convolution."
            name = "hint" if self.hint is not None else "label_hint"
            raise ValueError(
                f"`{name}.guided` is {self.guided}, but the student has {last} convolutions and the guided layer "
                f"must come before the last: {remedy}"
            )
        return self

    @model_validator(mode="after")
    def _uniform_is_exact(self) -> Self:
        if self.init == "uniform" and self.precision == "bf16":
            raise ValueError(
                '`precision` is "bf16", but the paper\'s initial weights are so small that gradients are lost in it: '
                'choose "float32", or `init="scaled"`.'
            )
        return self

    @property
    def guided(self) -> int | None:
        """The guided layer of the hint or of the label hint; None without either."""
        guide = self.hint or self.label_hint
        return None if guide is None else guide.guided

    def without_hints(self) -> Self:
        """The same student trained by plain knowledge distillation, without stage 1."""
        return self.changed(hint=None, label_hint=None, stage1=None)

    def on_labels(self) -> Self:
        """The same recipe without the teacher's term: lambda 0."""
        return self.changed(distill=self.distill.changed(lambda_start=0.0, lambda_end=0.0))

    def backpropagation(self) -> Self:
        """The same student trained on the labels alone."""
        return self.without_hints().on_labels()
