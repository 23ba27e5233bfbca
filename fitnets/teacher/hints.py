"""The hints of a whole image set: from tables if they fit, otherwise computed live.

Both are float16 before pooling, and equal except for rounding in batches of another size. If the maps of several hint
layers are small enough, one pass of the teacher fills tables of all of them, unpooled, and of the logits of the same
views. A layer that is too large for that has a separate table for each size that it is pooled to.

Shape suffixes: N images, B batch, C channels, H rows, W columns.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fitnets.config import Precision
from fitnets.disk.store import Store
from fitnets.images.images import Images, Split
from fitnets.images.views import Plan
from fitnets.nets.precision import computing
from fitnets.teacher.tables import Table, as_float16, tabled
from fitnets.teacher.teacher import Teacher
from fitnets.values.table_sizes import HintTable, hint_tables

SAMPLE_SIZE = 1024  # images over which a hint's channels are standardised and R2 is measured


def sample(split: Split) -> Split:
    """At most SAMPLE_SIZE of a split's images, evenly spaced, because a folder's images are ordered by class."""
    if len(split) <= SAMPLE_SIZE:
        return split
    index_N = torch.arange(SAMPLE_SIZE, device=split.label_N.device) * len(split) // SAMPLE_SIZE
    return Split(split.pixels_NHWC[index_N], split.label_N[index_N])


class Hints:
    """The output of a hint layer for a whole image set, as float16 BCHW, pooled to `out` (rows, columns).

    `logit_epochs` is the number of epochs, from the first, whose logits stage 2 will need.
    """

    def __init__(
        self,
        teacher: Teacher,
        layer: int,
        out: tuple[int, int],
        images: Images,
        precision: Precision,
        store: Store | None,
        *,
        logit_epochs: int = 0,
    ):
        self.teacher, self.layer, self.out, self.images = teacher, layer, out, images
        self.precision, self.store, self.logit_epochs = precision, store, logit_epochs
        self._prefix = teacher.prefix(layer)

    def of(self, x_BCHW: Tensor) -> Tensor:
        """The hint BCHW of a network input BCHW, computed live."""
        with computing(self.precision, self.images.device):
            return pooled(self._prefix(x_BCHW).half(), self.out)

    def epoch(self, number: int) -> Callable[[Tensor, Tensor], Tensor]:
        """For epoch `number`: a function from (index_B, these images' views BCHW) to their hints BCHW."""
        number = self.images.data.equivalent_epoch(number)
        needed = self._tables_of(len(self.images.train), number)
        if self.store is None or not needed:
            return lambda index_B, x_BCHW: self.of(x_BCHW)
        plan = Plan.draw(len(self.images.train), number, self.images.data, self.images.device)
        run = self.teacher.table_key(self.images, epoch=number, precision=self.precision)
        logits = [Table("logits", run)] if number <= self.logit_epochs else []
        hint_NCHW = self._tabled(self.images.train, "training", plan, run, needed, logits)
        return lambda index_B, x_BCHW: hint_NCHW[index_B]

    def unaugmented(self, split: Split, name: str) -> Tensor:
        """The hints BCHW of a `sample` of a split's images, without augmentation."""
        few = sample(split)
        run = self.teacher.table_key(self.images, split=name, precision=self.precision)
        needed = self._tables_of(len(few), 1) or [(self.layer, self.out)]
        return self._tabled(few, name, Plan.identity(len(few), self.images.device), run, needed, [])

    def _tables_of(self, num_images: int, epoch: int) -> list[HintTable]:
        return hint_tables(self.layer, self.out, num_images, self.teacher.hint_shapes, epoch)

    def _tabled(
        self,
        split: Split,
        name: str,
        plan: Plan,
        run: str,
        needed: Sequence[HintTable],
        logits: Sequence[Table],
    ) -> Tensor:
        of = {
            Table("hints", run, f"{layer}-{rows}x{columns}"): (layer, (rows, columns))
            for layer, (rows, columns) in needed
        }

        def rows(index_B: Tensor, tables: Sequence[Table]) -> list[Tensor]:
            asked = [of[table] for table in tables if table in of]
            x_BCHW = self.images.input(split, plan, index_B)
            with computing(self.precision, self.images.device):
                outputs = self.teacher.outputs(x_BCHW, [layer for layer, _ in asked], logits=len(asked) < len(tables))
            layers = [layer for layer, _ in asked] + [None] * (len(outputs) - len(asked))
            halves = [
                as_float16(output, index_B, self.teacher.name_output(name, layer))
                for output, layer in zip(outputs, layers, strict=True)
            ]
            hints = [pooled(hint_BCHW, out) for hint_BCHW, (_, out) in zip(halves, asked, strict=False)]
            return [*hints, *halves[len(hints) :]]

        device = self.images.device
        return tabled([*of, *logits], len(split), rows, self.store, device, lambda chunk: pooled(chunk, self.out))


def pooled(hint_BCHW: Tensor, out: tuple[int, int]) -> Tensor:
    """A map BCHW average-pooled to `out` (rows, columns): summed in float32, returned in its own precision."""
    if hint_BCHW.shape[2:] == out:
        return hint_BCHW
    return F.adaptive_avg_pool2d(hint_BCHW.float(), out).to(hint_BCHW.dtype)
