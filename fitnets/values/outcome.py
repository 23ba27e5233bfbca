"""The results of a trial, as values: its cost, its epochs' reports and its outcome. Nothing here needs torch.

Accuracies are fractions in [0, 1]; times are seconds.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from fitnets.values.base import Value, later
from fitnets.values.per_class import PerClass
from fitnets.values.per_image import PerImage

FORMER_FIELDS = ("prefix", "prefix_reused")  # of an Outcome: earlier versions shared stage 1 between trials


class Cost(Value):
    """What a net costs when deployed, known before it is trained."""

    params: int
    """Every trained number: weights, biases, normalisation."""
    weights: int
    """Weights alone: the paper's convention for "parameters"."""
    macs: int
    """Multiply-adds for one image; every maxout piece counts, biases and pooling do not (the paper's convention)."""
    weight_bytes: int
    """Bytes of all parameters and running statistics in float32."""
    peak_activation_bytes: int
    """Peak memory of float32 activations for one image, in bytes (see `fitnets.nets.footprint`). Earlier versions
    stored the largest layer's input and output before pooling: for a student, `Candidate.footprint` counts it anew."""


Stage = Literal["teacher", "stage 1", "stage 2"]


class Report(Value):
    """The results of one epoch."""

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
    """Whether this epoch was trained before and is only repeated by a run that continues from its checkpoint."""
    retraining: bool = later(False)
    """Whether it is of the second run, on training and validation images, which has no measure (`Recipe.retrain`)."""

    @property
    def measure(self) -> float:
        """The score of an epoch on the validation images, higher is better: the hint's R2, or accuracy."""
        found = self.hint_r2 if self.hint_r2 is not None else self.val_accuracy
        assert found is not None, "retraining measures nothing"
        return found


class Outcome(Value):
    """A finished trial."""

    val_accuracy: float
    """Of the chosen weights: those after the last epoch, or after the best one with `keep="best"`. The search maximises
    it. With `retrain` it is the first run's, which had not seen the validation images."""
    best_val_accuracy: float
    """At the best epoch. For information only: a choice by it would be optimistic."""
    stage1_epoch: int | None = None
    """The epoch whose weights stage 1 passed to stage 2; None without stage 1."""
    stage2_epoch: int | None = None
    """The epoch whose weights were chosen; None in the outcomes of earlier versions."""
    retrained: bool = later(False)
    """Whether the weights come from a second run, on training and validation images together."""
    hint_r2: float | None
    seconds: float
    weights_sha256: str
    teacher: str
    """Digest of the teacher."""
    data: str
    """Digest of the images and their split."""
    versions: dict[str, str]

    @model_validator(mode="before")
    @classmethod
    def _without_former_fields(cls, fields: Any) -> Any:
        """Drops fields of outcomes stored by earlier versions that no longer exist."""
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if name not in FORMER_FIELDS}


@dataclass(frozen=True, slots=True)
class Result:
    """A finished trial and its student's weights, as a safetensors file's bytes."""

    outcome: Outcome
    weights: bytes
    classes: PerClass | None = None
    """For the weights of `outcome.val_accuracy`. Not part of `outcome`, as it is large for 100 classes."""
    right: PerImage | None = None
    """Which validation images those weights have right."""
