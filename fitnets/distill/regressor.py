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

QUIET = 1e-5  # a channel whose deviation is a smaller share than this of the largest one's is silent


class Regressor(nn.Module):
    """Predicts the hint layer's map from the guided layer's (r in Eq. 3). Thrown away after stage 1.

    Where the teacher's map is the larger one, the target is pooled down to the student's (`Target` does it), so
    `out` is the shape that both sides meet at.
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
        """The guided layer's output to the prediction of the hint."""
        if self.kind == "paper":
            return maxout(self.conv(guided_BCHW), self.pieces)
        if (
            guided_BCHW.shape[2:] != self.out
        ):  # a 1x1 convolution and average pooling commute: pool first, it is cheaper
            guided_BCHW = F.adaptive_avg_pool2d(guided_BCHW, self.out)
        predicted_BCHW: Tensor = self.norm(self.conv(guided_BCHW))
        return predicted_BCHW


class Target(nn.Module):
    """The teacher's hint, pooled to the meeting map, as what the regressor has to predict: scaled per channel.

    With `scale="r2"` every channel is standardised with `mean` and `deviation`, measured over training images, so
    that the squared error is 1 - R2. A ReLU regressor cannot predict negative numbers: there only the scale changes.
    """

    mean_C11: Tensor
    deviation_C11: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_C11", torch.zeros(1))
        self.register_buffer("deviation_C11", torch.ones(1))

    def forward(self, hint_BCHW: Tensor) -> Tensor:
        """A hint to its target, float32."""
        return (hint_BCHW.float() - self.mean_C11) / self.deviation_C11

    def measure(self, hint_BCHW: Tensor, *, centre: bool) -> None:
        """Measure the channels' mean and standard deviation.

        One that is silent in these images may speak in others, and would drown them there: the largest deviation
        counts as its own.
        """
        hint_BCHW = hint_BCHW.float()
        self.mean_C11 = hint_BCHW.mean((0, 2, 3), keepdim=True)[0] * centre
        deviation_C11 = hint_BCHW.std((0, 2, 3), keepdim=True)[0].clamp_min(1e-6)
        loudest = deviation_C11.max()
        self.deviation_C11 = torch.where(deviation_C11 < QUIET * loudest, loudest, deviation_C11)


def standardises(hint: Hint, pieces: int) -> bool:
    """Whether the target may be centred: not where the regressor ends in a ReLU."""
    return not (hint.regressor == "paper" and pieces == 1)
