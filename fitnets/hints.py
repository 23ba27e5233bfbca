"""Stage 1's own parts: the hint as a regression target, and the regressor that predicts it from the guided layer.

Shape suffixes: B batch, C channels, H rows, W columns.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitnets.config import Hint, Precision
from fitnets.data import Images, Split
from fitnets.models import maxout
from fitnets.net import Shape
from fitnets.precision import computing
from fitnets.store import Store
from fitnets.tables import tabled
from fitnets.teacher import Teacher
from fitnets.views import Plan

SOME = 1024  # images over which a hint's channels are standardised, and R2 is told
TABLE_BYTES = 2**30  # of memory: a larger table of one epoch's hints is not made
TABLES_BYTES = 4 * 2**30  # of disk for one hint layer: the epochs beyond are computed live


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


def meeting_map(guided: Shape, hint: Shape) -> tuple[int, int]:
    """Rows and columns at which hint and prediction are compared: the smaller of the two maps, along each axis."""
    return min(guided[1], hint[1]), min(guided[2], hint[2])


class Target(nn.Module):
    """The teacher up to its hint layer, pooled to the meeting map, and scaled per channel.

    With `scale="r2"` every channel is standardised with `mean` and `deviation`, measured over training images, so
    that the squared error is 1 - R2. A ReLU regressor cannot predict negative numbers: there only the scale changes.
    """

    mean_C11: Tensor
    deviation_C11: Tensor

    def __init__(self, prefix: nn.Module, out: tuple[int, int]):
        super().__init__()
        self.prefix, self.out = prefix, out
        self.register_buffer("mean_C11", torch.zeros(1))
        self.register_buffer("deviation_C11", torch.ones(1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images to the target that the regressor has to predict."""
        return self.scaled(self.raw(x_BCHW))

    @torch.no_grad()
    def raw(self, x_BCHW: Tensor) -> Tensor:
        """Images to the hint layer's output, pooled."""
        hint_BCHW: Tensor = self.prefix(x_BCHW).float()
        return F.adaptive_avg_pool2d(hint_BCHW, self.out) if hint_BCHW.shape[2:] != self.out else hint_BCHW

    def scaled(self, hint_BCHW: Tensor) -> Tensor:
        """What `raw` gave, as a target: float32."""
        return (hint_BCHW.float() - self.mean_C11) / self.deviation_C11

    def calibrate(self, x_BCHW: Tensor, *, centre: bool) -> None:
        """Measure the channels' mean and standard deviation on the images `x_BCHW`."""
        self.measure(self.raw(x_BCHW), centre=centre)

    def measure(self, hint_BCHW: Tensor, *, centre: bool) -> None:
        """Measure the channels' mean and standard deviation on what `raw` gave."""
        hint_BCHW = hint_BCHW.float()
        self.mean_C11 = hint_BCHW.mean((0, 2, 3), keepdim=True)[0] * centre
        self.deviation_C11 = hint_BCHW.std((0, 2, 3), keepdim=True)[0].clamp_min(1e-6)


class Hints:
    """The hints of a whole image set as float16 BCHW, from tables where they fit, else live: the same numbers."""

    def __init__(
        self, teacher: Teacher, layer: int, target: Target, images: Images, precision: Precision, store: Store | None
    ):
        self.teacher, self.layer, self.target, self.images = teacher, layer, target, images
        self.precision, self.store = precision, store

    def of(self, x_BCHW: Tensor) -> Tensor:
        """The hint of a network input, live."""
        with computing(self.precision, self.images.device):
            return self.target.raw(x_BCHW).half()

    def epoch(self, number: int) -> Callable[[Tensor, Tensor], Tensor]:
        """For the plan of epoch `number`: the hint of (index_B, the views of these images as BCHW)."""
        channels = self.teacher.hint_shapes[self.layer - 1][0]
        num_images = len(self.images.train)
        table_bytes = 2 * num_images * channels * self.target.out[0] * self.target.out[1]
        if self.store is None or table_bytes > TABLE_BYTES or number * table_bytes > TABLES_BYTES:
            return lambda index_B, x_BCHW: self.of(x_BCHW)
        plan = Plan.draw(num_images, number, self.images.data, self.images.device)
        hint_NCHW = self._tabled(self.images.train, plan, f"epoch {number}")
        return lambda index_B, x_BCHW: hint_NCHW[index_B]

    def still(self, split: Split, name: str) -> Tensor:
        """The hints of a split's first images, as they are."""
        some = Split(split.pixels_NHWC[:SOME], split.label_N[:SOME])
        return self._tabled(some, Plan.still(len(some), self.images.device), name)

    def _tabled(self, split: Split, plan: Plan, name: str) -> Tensor:
        digest = self.teacher.table_key(
            self.images, split=name, layer=self.layer, out=self.target.out, precision=self.precision
        )

        def rows(index_B: Tensor) -> Tensor:
            return self.of(self.images.input(split, plan, index_B))

        return tabled("hints", digest, len(split), rows, self.store, self.images.device)


def standardises(hint: Hint, pieces: int) -> bool:
    """Whether the target may be centred: not where the regressor ends in a ReLU."""
    return not (hint.regressor == "paper" and pieces == 1)
