"""What the paper's updates have beside a learning rate, as values: how it falls, by layers, and within which norms.

The paper leaves most of this to pylearn2, whose files for maxout networks its teachers come from; where the released
student files say something of their own, it is named. Epochs are counted from 1.
"""

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from fitnets.values.base import Value


class LinearDecay(Value):
    """The learning rate falls by the same step in every epoch, and stays from epoch `by` on (the paper's teachers)."""

    factor: float = Field(0.01, gt=0, le=1)
    """What is left of it at the end: 0.01 for CIFAR's teachers, 0.001 for SVHN's."""
    by: PositiveInt = 500


class ExponentialDecay(Value):
    """The learning rate is divided after every update (MNIST's teacher)."""

    divisor: float = Field(1.00004, ge=1)
    least: NonNegativeFloat = 1e-6
    """It never falls below this."""


class Ramp(Value):
    """Momentum rises linearly from its start in epoch 1 to `to` in epoch `by`, and stays (the paper's teachers)."""

    to: float = Field(ge=0, lt=1)
    by: int = Field(250, ge=2)


class LrScale(Value):
    """Factors on the learning rate of weights and biases alike, by kind of layer.

    0.05 for convolutions in the released CIFAR and SVHN files, none in MNIST's; the paper's text has none.
    """

    conv: PositiveFloat = 0.05
    dense: PositiveFloat = 1.0
    output: PositiveFloat = 1.0
    regressor: PositiveFloat = 1.0
    guided: PositiveFloat = 1.0
    """Stage 2 only: a further factor on layers 1..guided (`-lrs` of the released code; its value there is unknown)."""


class MaxNorm(Value):
    """The largest L2 norm that a filter or a column may have after an update, each linear piece of a maxout alone.

    The values of the released CIFAR files. As in pylearn2, weights are scaled by `min(norm, limit) / (1e-7 + norm)`.
    """

    convs: tuple[PositiveFloat, ...] = Field((0.9,), min_length=1)
    """Of the first convolutions, in order; the last one holds for all that follow."""
    dense: PositiveFloat = 1.9
    output: PositiveFloat = 1.9365
    regressor: PositiveFloat = 0.9


class Muon(Value):
    """What a training by Muon has beside `lr`, the filters' learning rate (not the paper's).

    airbench94's, whose filters are followed by batch normalisation as well.
    """

    momentum: float = Field(0.6, ge=0, lt=1)
    """Of the filters; Nesterov's."""
    others_lr: PositiveFloat = 0.01
    """AdamW's learning rate, for everything but those filters: normalisation, biases, output, regressor, dense layers,
    maxout or unnormalised convolutions. It falls by the same schedule."""


class Dropout(Value):
    """Dropout of every layer's input in training, as pylearn2 has it (the paper's teachers; students have none).

    The images are masked and not scaled up; what later layers see is divided by `keep`.
    """

    keep_input: float = Field(0.8, gt=0, le=1)
    """The chance that a number of the network's input stays."""
    keep: float = Field(0.5, gt=0, le=1)
    """The chance that a number of a later layer's input stays."""
