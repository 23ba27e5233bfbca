"""One trial, as values: what is learnt from what, and what came of it. Nothing here needs torch.

Layers are numbered from 1; accuracies are fractions in [0, 1]; times are seconds. Its trainings and its teacher have
files of their own, and can be imported from here too.
"""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from fitnets.classes import PerClass
from fitnets.net import Net
from fitnets.teachers import Brought as Brought
from fitnets.teachers import Ensemble as Ensemble
from fitnets.teachers import Teacher as Teacher
from fitnets.teachers import Trained as Trained
from fitnets.training import Precision as Precision
from fitnets.training import Training as Training
from fitnets.value import Value, later


class Data(Value):
    """Which images, how they are split, and which views of them a training epoch shows."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """`digits`, `mnist`, `cifar10`, `cifar100`, `svhn`, or any other name: an image folder of that name."""
    val_fraction: float = Field(0.2, gt=0, lt=1)
    """The share of the training images that is held out for validation, class by class."""
    seed: int = Field(0, ge=0)
    """Seeds the split and the epoch plans, so that every trial of a study sees the same views."""
    shift: int = Field(0, ge=0)
    """Pixels by which a view may be shifted, along each axis; fewer than the images have rows and columns."""
    flip: bool = False
    """Whether half of the views are mirrored."""
    border: Literal["reflect", "zero"] = later("reflect")
    """What a shift moves in: the image's own pixels, mirrored, or zeros of the network's input. The released CIFAR
    files pad by 8 (the teacher's by 4) and crop: `shift=8, border="zero"`."""
    whiten: bool = False
    """Global contrast normalisation and ZCA whitening (the paper's) instead of per-channel standardisation."""
    local_contrast: bool = later(False)
    """Global, then local contrast normalisation over 7x7 pixels (the paper's for SVHN, from pylearn2), likewise."""
    limit: PositiveInt | None = None
    """Use about so many training images (before the split), and as many test images, evenly by class."""
    max_size: PositiveInt = 64
    """Image folders only: larger images are scaled down to this many rows or columns."""

    @model_validator(mode="after")
    def _one_normalisation(self) -> Self:
        if self.whiten and self.local_contrast:
            raise ValueError("`whiten` and `local_contrast` are two ways to normalise images: choose one.")
        return self

    @property
    def standardised(self) -> bool:
        """Whether images stay pixels that are standardised per channel when they are looked at."""
        return not (self.whiten or self.local_contrast)

    @property
    def views(self) -> tuple[object, ...]:
        """All that the views of an image depend on."""
        return (self.shift, self.flip, self.seed, *((self.border,) if self.border != "reflect" else ()))

    def alike(self, epoch: int) -> int:
        """The first epoch that shows the very views of `epoch`: what is tabled for the one serves the other.

        Images as they are look the same in every epoch; mirrored ones, in every other.
        """
        if self.shift:
            return epoch
        return 2 - epoch % 2 if self.flip else 1


class Hint(Value):
    """The hint pair and the regressor between them (section 2.2 of the paper)."""

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
    """A softmax on the guided layer that learns the labels, in the hint's place (section 3.1: it failed).

    It is thrown away after training. Its own learning rate and norm are an output layer's.
    """

    guided: PositiveInt
    """The student's layer that it sits on."""
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
    label_hint: LabelHint | None = later(None)
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
    retrain: bool = later(False)
    """Afterwards, train anew on the training and the validation images together, from the same start, for the epochs
    whose weights were kept (the paper: CIFAR-10). Those weights are the result; the accuracies stay the first run's."""

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
        """The guided layer, whoever guides it."""
        guide = self.hint or self.label_hint
        return None if guide is None else guide.guided

    def without_hints(self) -> Self:
        """The same student by plain knowledge distillation: stage 1 left out."""
        return self.changed(hint=None, label_hint=None, stage1=None)

    def on_labels(self) -> Self:
        """The same without the teacher's term: lambda 0."""
        return self.changed(distill=self.distill.changed(lambda_start=0.0, lambda_end=0.0))

    def backpropagation(self) -> Self:
        """The same student on the labels alone."""
        return self.without_hints().on_labels()


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


Stage = Literal["teacher", "stage 1", "stage 2"]


class Report(Value):
    """One epoch's news."""

    stage: Stage
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
    replayed: bool = False
    """Not trained now, but told again: by a run that goes on from its checkpoint, or one that reuses a prefix."""
    retraining: bool = later(False)
    """Of the second run, on training and validation images together, which measures nothing (`Recipe.retrain`)."""

    @property
    def measure(self) -> float:
        """What an epoch is judged by on the validation images, more being better: the hint's R2, or accuracy."""
        found = self.hint_r2 if self.hint_r2 is not None else self.val_accuracy
        assert found is not None, "retraining measures nothing"
        return found


class Outcome(Value):
    """A finished trial."""

    val_accuracy: float
    """Of the weights that were kept: after the last epoch, unless the recipe says `keep="best"`. The search maximises
    it. Where the recipe says `retrain`, it is that of the first run, which had not seen the validation images."""
    best_val_accuracy: float
    """At the best epoch: for the curious; choosing by it would be optimistic."""
    stage1_epoch: int | None = None
    """The epoch whose weights stage 1 handed on; None without stage 1."""
    stage2_epoch: int | None = None
    """The epoch whose weights were kept; None in the outcomes of earlier versions."""
    retrained: bool = later(False)
    """Whether the weights are those of a second run, on training and validation images together."""
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
    classes: PerClass | None = None
    """Of the weights whose accuracy `outcome` tells. Beside it: a hundred classes weigh more than all else."""
