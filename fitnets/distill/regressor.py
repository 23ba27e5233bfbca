"""Stage 1's own parts: the hint as a regression target, and the regressor that predicts it from the guided layer.

Shape suffixes: B batch, C channels, H rows, W columns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitnets.config import Hint
from fitnets.nets.network import maxout
from fitnets.values.net import Shape
from fitnets.values.table_sizes import meeting_map

MIN_RELATIVE_DEVIATION = 1e-5  # of a channel, relative to the largest deviation; below it, a channel counts as constant


class Regressor(nn.Module):
    """Predicts the hint layer's map from the guided layer's (r in Eq. 3). Discarded after stage 1.

    Where the teacher's map is the larger one, the hint is pooled down to the student's (`Hints` does it); `out` is the
    number of rows and columns at which prediction and hint are compared.
    """

    def __init__(self, guided: Shape, hint: Shape, kind: str, pieces: int):
        super().__init__()
        self.kind, self.pieces = kind, pieces
        self.out = meeting_map(guided, hint)
        if kind == "paper":
            kernel = (guided[1] - self.out[0] + 1, guided[2] - self.out[1] + 1)
            self.conv = nn.Conv2d(guided[0], pieces * hint[0], kernel)
        else:
            self.conv = nn.Conv2d(guided[0], hint[0], 1)
        self.norm = nn.BatchNorm2d(hint[0], affine=False) if kind == "normalised" else nn.Identity()

    def forward(self, guided_BCHW: Tensor) -> Tensor:
        """The guided layer's output to the predicted hint, both BCHW; rows and columns become `out`."""
        if self.kind == "paper":
            return maxout(self.conv(guided_BCHW), self.pieces)
        if guided_BCHW.shape[2:] != self.out:  # a 1x1 convolution and average pooling commute; pooling first is cheaper
            guided_BCHW = F.adaptive_avg_pool2d(guided_BCHW, self.out)
        predicted_BCHW: Tensor = self.norm(self.conv(guided_BCHW))
        return predicted_BCHW


class Target(nn.Module):
    """Turns the teacher's pooled hint into what the regressor has to predict: scaled per channel.

    With `scale="r2"` every channel is standardised by its mean and standard deviation over training images, so that the
    mean squared error is 1 - R2. A ReLU regressor cannot predict negative numbers: for it, the mean is not subtracted.
    """

    mean_C11: Tensor
    deviation_C11: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_C11", torch.zeros(1))
        self.register_buffer("deviation_C11", torch.ones(1))

    def forward(self, hint_BCHW: Tensor) -> Tensor:
        """A hint to its target, both BCHW; float32."""
        return (hint_BCHW.float() - self.mean_C11) / self.deviation_C11

    def measure(self, hint_BCHW: Tensor, *, centre: bool) -> None:
        """Measure the channels' means (0 unless `centre`) and standard deviations on BCHW.

        A channel that is constant on these images may vary on others, where dividing by its tiny deviation would let it
        dominate the loss: it gets the largest channel's deviation instead.
        """
        hint_BCHW = hint_BCHW.float()
        self.mean_C11 = hint_BCHW.mean((0, 2, 3), keepdim=True)[0] * centre
        deviation_C11 = hint_BCHW.std((0, 2, 3), keepdim=True)[0].clamp_min(1e-6)
        largest = deviation_C11.max()
        self.deviation_C11 = torch.where(deviation_C11 < MIN_RELATIVE_DEVIATION * largest, largest, deviation_C11)


def can_centre(hint: Hint, pieces: int) -> bool:
    """Whether the target may be centred: not where the regressor ends in a ReLU."""
    return not (hint.regressor == "paper" and pieces == 1)
