"""A teacher that is ready to be used: a frozen network, whose logits are tabled for each epoch.

Shape suffixes: N images, B batch, K classes, C channels, H rows, W columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from fitnets.config import Precision
from fitnets.disk.store import Store, key
from fitnets.images.images import Images
from fitnets.images.views import Plan
from fitnets.nets.network import Network
from fitnets.nets.precision import computing
from fitnets.nets.taps import Tap, tapped
from fitnets.teacher.ensemble import Average
from fitnets.teacher.tables import Table, as_float16, tabled
from fitnets.values.net import Shape
from fitnets.values.per_class import PerClass


class Frozen(nn.Module):
    """A network that stays in eval mode and without gradients, also when `train` is called on it or its parent."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Does nothing, so that batch normalisation and dropout stay in eval mode."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """The network's output for `x`, without an autograd graph."""
        with torch.no_grad():
            y: Tensor = self.network(x)
            return y


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher, ready to be used. Hint layers are numbered from 1, as in `Hint.hint`."""

    network: Frozen
    digest: str
    """Of the network, its weights and, if it was brought, its code: teachers with equal digests have equal outputs."""
    hint_shapes: tuple[Shape, ...]
    """Each hint layer's output for one image: channels, rows, columns."""
    hint_pieces: tuple[int, ...]
    """The maxout pieces of each hint layer; 1 for ReLU, and for every layer of a brought teacher."""
    hint_names: tuple[str, ...]
    """The names of the hint layers as submodules of the network."""
    val_accuracy: float
    classes: PerClass | None = None
    """None for a teacher that an earlier version trained."""
    notes: tuple[str, ...] = ()
    """How a brought teacher was adapted, a line of text each."""
    contents: tuple[str, str] | None = None
    """The digests of a brought teacher's weights and of its code."""

    def prefix(self, hint: int) -> Frozen:
        """The network up to hint layer `hint`; nothing above it is computed."""
        inner = self.network.network
        if isinstance(inner, Network | Average):
            return Frozen(inner.prefix(hint))
        return Frozen(Tap(inner, self.hint_names[hint - 1]))

    def logits(self, images: Images, epoch: int, store: Store | None, precision: Precision = "float32") -> Tensor:
        """The teacher's logits NK for every training image's view in `epoch`, float16.

        Computed on first use and shared through `store` by all trials with the same teacher and images. Logits, not
        probabilities, so that they serve every tau.
        """
        epoch = images.data.equivalent_epoch(epoch)
        plan = Plan.draw(len(images.train), epoch, images.data, images.device)

        def rows(index_B: Tensor, tables: Sequence[Table]) -> list[Tensor]:
            with computing(precision, images.device):
                logits_BK = self.network(images.views(plan, index_B))
            return [as_float16(logits_BK, index_B, self.name_output("training", None))]

        table = Table("logits", self.table_key(images, epoch=epoch, precision=precision))
        return tabled([table], len(images.train), rows, store, images.device)

    def outputs(self, x_BCHW: Tensor, hints: Sequence[int], *, logits: bool) -> list[Tensor]:
        """One pass: the outputs BCHW of these hint layers, followed by the logits BK if `logits` is set."""
        with torch.no_grad():
            return tapped(self.network.network, x_BCHW, [self.hint_names[hint - 1] for hint in hints], whole=logits)

    def name_output(self, split: str, hint: int | None) -> str:
        """A name for errors of the teacher's output on a split: of hint layer `hint` or, if None, of the logits."""
        layer = "logits" if hint is None else f"hints of layer {hint} (`{self.hint_names[hint - 1]}`)"
        return f"the {layer} of teacher {self.digest[:12]} for the {split} images"

    def table_key(self, images: Images, **parts: object) -> str:
        """The digest of everything that a pass over the images, and so each of its tables, depends on."""
        context = {"views": images.data.views, "torch": (torch.__version__, images.device.type)}
        return key(teacher=self.digest, images=images.digest, **context, **parts)
