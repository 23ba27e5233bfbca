"""The settings of one training run, as a value. Nothing here needs torch."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from fitnets.values.base import Value, later
from fitnets.values.updates import ExponentialDecay, LinearDecay, LrScale, MaxNorm, Muon, Ramp

Precision = Literal["float32", "bf16"]
"""bf16: convolutions and matrix products in bfloat16; weights, losses and evaluation stay float32."""


class Training(Value):
    """The settings of one training run: its length, optimiser, learning rate and stopping rule."""

    epochs: PositiveInt
    lr: PositiveFloat
    batch: PositiveInt = 128
    optimizer: Literal["adamw", "sgd", "rmsprop", "muon"] = "adamw"
    """`rmsprop` is the paper's, `lr * g / max(sqrt(v), 1e-5)`; `muon` updates the filters of ReLU convolutions with
    batch normalisation by Muon at `lr`, and everything else by AdamW."""
    muon: Muon = later(Muon())
    """`muon` only."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """`sgd` only."""
    nesterov: bool = later(True)
    """`sgd` only: Nesterov momentum, or the classical one, whose velocity includes the learning rate (the paper's
    teachers)."""
    momentum_ramp: Ramp | None = later(None)
    """How `momentum` rises; None: it is constant."""
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "cosine", "one-cycle", "linear"] | LinearDecay | ExponentialDecay = "cosine"
    """Named schedules span all `epochs`; `one-cycle` rises linearly for the first quarter, then falls as a cosine;
    `linear` falls by the same amount in every update, from `lr` to 0."""
    lr_scale: LrScale | None = later(None)
    """Learning-rate factors by kind of layer; None: every layer learns at `lr`."""
    max_norm: MaxNorm | None = later(None)
    """Enforced after every update; None: no limit."""
    until: PositiveInt | None = later(None)
    """Stop after this epoch, with every schedule as for all `epochs`; None: train all of them."""
    patience: PositiveInt | None = later(None)
    """Stop after this many epochs without a better measure on the validation images (the paper: 100): in stage 1 the
    hint's R2, which falls as the hint loss rises, on at most 1,024 of them; else accuracy. None: never."""
    keep: Literal["last", "best"] = later("last")
    """Which weights are used afterwards: the last epoch's, or those of the epoch with the best measure (the paper)."""

    @model_validator(mode="after")
    def _muon_sets_the_norms(self) -> Self:
        if self.optimizer == "muon" and (self.weight_decay or self.max_norm is not None):
            name, remedy = ("max_norm", "None") if self.max_norm is not None else ("weight_decay", "0")
            raise ValueError(
                f"`{name}` is set, but `muon` scales filters to a norm of its own and lets nothing else decay: "
                f"give `{name}={remedy}`, or choose another `optimizer`."
            )
        return self

    @property
    def last(self) -> int:
        """The last epoch that may be trained."""
        return self.epochs if self.until is None else min(self.until, self.epochs)
