"""One trial, as values: what is learnt from what, and what came of it. Nothing here needs torch.

Layers are numbered from 1; accuracies are fractions in [0, 1]; times are seconds.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from fitnets.net import Net
from fitnets.value import Value

Precision = Literal["float32", "bf16"]
"""bf16: convolutions and matrix products in bfloat16; weights, losses and evaluation stay float32."""


class Data(Value):
    """Which images, how they are split, and which views of them a training epoch shows."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """`digits`, `mnist`, `cifar10`, `cifar100`, `svhn`, or any other name: an image folder of that name."""
    val_fraction: float = Field(0.2, gt=0, lt=1)
    """The share of the training images that is held out for validation, class by class."""
    seed: int = Field(0, ge=0)
    """Seeds the split and the epoch plans, so that every trial of a study sees the same views."""
    shift: int = Field(0, ge=0)
    """Pixels by which a view may be shifted, along each axis."""
    flip: bool = False
    """Whether half of the views are mirrored."""
    whiten: bool = False
    """Global contrast normalisation and ZCA whitening (the paper's) instead of per-channel standardisation."""
    limit: PositiveInt | None = None
    """Use about so many training images (before the split), and as many test images, evenly by class."""
    max_size: PositiveInt = 64
    """Image folders only: larger images are scaled down to this many rows or columns."""


class Training(Value):
    """One training: how long, with which optimiser, at which learning rate."""

    epochs: PositiveInt
    lr: PositiveFloat
    batch: PositiveInt = 128
    optimizer: Literal["adamw", "sgd", "rmsprop"] = "adamw"
    """`sgd` has Nesterov momentum; `rmsprop` is the paper's, `lr * g / max(sqrt(v), 1e-5)`."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "cosine", "one-cycle"] = "cosine"
    """Over the full length; `one-cycle` rises linearly for the first quarter, then falls as a cosine."""


class Hint(Value):
    """The hint pair and the regressor between them (section 2.2 of the paper)."""

    hint: PositiveInt
    """The teacher's layer to imitate."""
    guided: PositiveInt
    """The student's layer that learns to predict it."""
    regressor: Literal["paper", "linear", "normalised"] = "linear"
    """`paper`: an unpadded convolution of kernel `N_guided - N_hint + 1` with the hint layer's own nonlinearity;
    `linear`: a 1x1 convolution; `normalised`: the same, then batch normalisation without scale or shift."""
    scale: Literal["r2", "paper"] = "r2"
    """`r2`: targets standardised per channel, mean squared error, so that the loss is 1 - R2 and comparable between
    layers; `paper`: Eq. 3, half the squared distance, summed over the map."""


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
    """Multiply the teacher's term by tau^2, which keeps its gradient's size independent of tau. The paper does not."""
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
    """Everything that one trial does. With no `hint`, stage 1 is off: plain KD; with lambda 0 too: backpropagation."""

    student: Net
    hint: Hint | None = None
    stage1: Training | None = None
    distill: Distill = Distill()
    stage2: Training
    init: Literal["scaled", "uniform"] = "scaled"
    """`scaled`: normal, so that the signal keeps its size through the layers (He's, and its maxout counterpart);
    `uniform`: within +-`init_range`, the paper's."""
    init_range: PositiveFloat = 0.005
    precision: Precision = "float32"
    """Of both stages, and of the teacher's passes for them."""
    seed: int = Field(0, ge=0)
    """Seeds the initial weights and the order of the batches."""

    @model_validator(mode="after")
    def _stage_one_is_whole(self) -> Self:
        if (self.hint is None) != (self.stage1 is None):
            given, missing = ("stage1", "hint") if self.hint is None else ("hint", "stage1")
            raise ValueError(f"`{given}` is given without `{missing}`: give both, or neither to leave stage 1 out.")
        last = len(self.student.convs)
        if self.hint is not None and self.hint.guided >= last:
            remedy = f"choose 1..{last - 1}." if last > 1 else "give the student a second convolution."
            raise ValueError(
                f"`hint.guided` is {self.hint.guided}, but the student has {last} convolutions and the guided layer "
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

    def without_hints(self) -> Self:
        """The same student by plain knowledge distillation: stage 1 left out."""
        return self.changed(hint=None, stage1=None)

    def backpropagation(self) -> Self:
        """The same student on the labels alone."""
        return self.without_hints().changed(distill=self.distill.changed(lambda_start=0.0, lambda_end=0.0))


class Trained(Value):
    """A teacher that we train: a net on the labels."""

    kind: Literal["trained"] = "trained"
    net: Net
    training: Training
    precision: Precision = "float32"
    seed: int = Field(0, ge=0)

    @property
    def hints(self) -> int:
        """How many layers can be hint layers."""
        return len(self.net.convs)


class Brought(Value):
    """A teacher that somebody brings: a function returning an `nn.Module`, its weights, and its hint layers by name."""

    kind: Literal["brought"] = "brought"
    build: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`package.module:function`: a function without arguments that returns an `nn.Module` from images to logits."""
    weights: str | None = None
    """A safetensors file with the module's state, or None where the function loads it itself."""
    hint_layers: tuple[str, ...] = Field(min_length=1)
    """Names of submodules with spatial outputs (as in `named_modules`), from the input up: hint layers 1, 2, ..."""
    mean: tuple[float, ...] | None = None
    """Per-channel mean of pixels in [0, 1] that the module expects; None: the data set's own standardisation."""
    std: tuple[PositiveFloat, ...] | None = None
    min_accuracy: float = Field(0.0, ge=0, le=1)
    """Refused when its validation accuracy is lower: the sign of wrong weights, classes or normalisation."""

    @property
    def hints(self) -> int:
        """How many layers can be hint layers."""
        return len(self.hint_layers)

    @model_validator(mode="after")
    def _mean_goes_with_std(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("`mean` and `std` go together: give both, or neither.")
        return self


Teacher = Annotated[Trained | Brought, Field(discriminator="kind")]


class Cost(Value):
    """What a net costs to ship, known before it is trained."""

    params: int
    """Every trained number: weights, biases, normalisation."""
    weights: int
    """Weights alone: the paper's convention for "parameters"."""
    macs: int
    """Multiply-adds for one image; every maxout piece counts, biases and pooling are free (the paper's convention)."""
    weight_bytes: int
    """Float32 size of everything that is stored."""
    peak_activation_bytes: int
    """The most float32 activations that one layer holds for one image: its input and its output before pooling."""


class Report(Value):
    """One epoch's news."""

    stage: Literal["teacher", "stage 1", "stage 2"]
    epoch: int
    """From 1."""
    epochs: int
    loss: float
    hint_r2: float | None = None
    """Stage 1: R2 of the hint on the validation images; 1 is perfect, 0 is the channel means."""
    val_accuracy: float | None = None
    lam: float | None = None
    """Stage 2: lambda in this epoch."""
    seconds: float


class Outcome(Value):
    """A finished trial."""

    val_accuracy: float
    """After the last epoch: the number that the search maximises."""
    best_val_accuracy: float
    """At the best epoch: for the curious; choosing by it would be optimistic."""
    hint_r2: float | None
    seconds: float
    weights_sha256: str
    teacher: str
    """Digest of the teacher."""
    data: str
    """Digest of the images and their split."""
    prefix: str | None = None
    """Digest of the trained prefix that stage 1 ended in: trials that share it share all of stage 1."""
    prefix_reused: bool = False
    """Whether an earlier trial had trained that prefix; then this one's `seconds` hold none of it."""
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """A finished trial and its student's weights, as a safetensors file's bytes."""

    outcome: Outcome
    weights: bytes
