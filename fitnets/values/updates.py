"""The details of the paper's updates, as values: learning-rate decay, factors by layer, momentum, norm limits, dropout.

The paper leaves most of this to pylearn2, whose maxout recipes its teachers follow; where the released student files
differ, that is noted. Epochs are counted from 1.
"""

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from fitnets.values.base import Value


class LinearDecay(Value):
    """The learning rate falls linearly from epoch to epoch until `by`, then is constant (the paper's teachers)."""

    factor: float = Field(0.01, gt=0, le=1)
    """The final learning rate as a fraction of the initial one: 0.01 for CIFAR's teachers, 0.001 for SVHN's."""
    by: PositiveInt = 500


class ExponentialDecay(Value):
    """The learning rate is divided by `divisor` after every update (MNIST's teacher)."""

    divisor: float = Field(1.00004, ge=1)
    least: NonNegativeFloat = 1e-6
    """It never falls below this."""


class Ramp(Value):
    """Momentum rises linearly from epoch 1 to `to` in epoch `by`, then is constant (the paper's teachers)."""

    to: float = Field(ge=0, lt=1)
    by: int = Field(250, ge=2)


class LrScale(Value):
    """Factors on the learning rate of weights and biases alike, by kind of layer; normalisation has none.

    0.05 for convolutions in the released CIFAR and SVHN files, none in MNIST's; the paper's text has none.
    """

    conv: PositiveFloat = 0.05
    dense: PositiveFloat = 1.0
    output: PositiveFloat = 1.0
    regressor: PositiveFloat = 1.0
    guided: PositiveFloat = 1.0
    """Stage 2 only: a further factor on layers 1..guided (`-lrs` of the released code; its value there is unknown)."""


class MaxNorm(Value):
    """The largest L2 norm of a filter or column after an update, for each linear piece of a maxout unit by itself.

    The values of the released CIFAR files. As in pylearn2, weights are scaled by `min(norm, limit) / (1e-7 + norm)`.
    """

    convs: tuple[PositiveFloat, ...] = Field((0.9,), min_length=1)
    """Of the first convolutions, in order; the last one applies to all that follow."""
    dense: PositiveFloat = 1.9
    output: PositiveFloat = 1.9365
    regressor: PositiveFloat = 0.9


class Muon(Value):
    """Muon's settings beside `lr`, which is the filters' learning rate (not the paper's).

    The defaults are airbench94's, whose filters are followed by batch normalisation as well.
    """

    momentum: float = Field(0.6, ge=0, lt=1)
    """Nesterov momentum of the filters."""
    others_lr: PositiveFloat = 0.01
    """AdamW's learning rate, for everything but those filters: normalisation, biases, output, regressor, dense layers,
    maxout or unnormalised convolutions. It follows the same schedule."""


class Dropout(Value):
    """Dropout of every layer's input in training, as pylearn2 has it (the paper's teachers; students have none).

    Masked images are not rescaled; the masked inputs of later layers are divided by `keep`.
    """

    keep_input: float = Field(0.8, gt=0, le=1)
    """The probability that a number of the network's input is not masked."""
    keep: float = Field(0.5, gt=0, le=1)
    """The probability that a number of a later layer's input is not masked."""
