"""Tables of a frozen teacher's outputs for every image in one epoch's view of it: computed once, shared by all trials.

A table is stored in chunks, and each worker that needs it computes the chunks that no other worker is computing: two
that start together compute half of it each. One pass of the teacher fills every table that it can, not only the one
that was asked for.
Shape suffixes: N images, B batch.
"""

import io
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from fitnets.disk.store import Store
from fitnets.errors import InputError

CHUNK = 512  # images: 2 s of the paper's teacher on one core, so nobody waits long for another's
WAIT_SECONDS = 0.05


class Table(NamedTuple):
    """Rows of all images, from one pass of the teacher over them."""

    kind: str
    run: str
    """The digest of the pass: whoever makes a chunk of one of its tables makes it for all of them."""
    name: str = ""
    """Distinguishes the tables of one kind and pass."""

    def chunk(self, number: int) -> str:
        """A chunk's name in the store."""
        return "-".join(part for part in (self.run, self.name, str(number)) if part)


class Rows(Protocol):
    """The rows of each of these tables, of one kind and pass, for the images index_B: whatever the batch is."""

    def __call__(self, index_B: Tensor, tables: Sequence[Table], /) -> list[Tensor]: ...


def tabled(
    tables: Sequence[Table],
    num_images: int,
    rows: Rows,
    store: Store | None,
    device: torch.device,
    shown: Callable[[Tensor], Tensor] = lambda chunk: chunk,
) -> Tensor:
    """The first table's rows of all images as one float16 tensor, from the store as far as it is there.

    The pass that makes a chunk of it makes those of the other tables too, where they are missing. Without a store
    everything is computed, of the first table only. `shown` is applied to its chunks as they come, on `device`.
    """
    starts = range(0, num_images, CHUNK)
    table: Tensor | None = None
    missing = list(starts)
    while missing:
        left = []
        for start in missing:
            stop = min(start + CHUNK, num_images)
            chunk = _chunk(tables, range(start, stop), rows, store, device)
            if chunk is None:
                left.append(start)
                continue
            chunk = shown(chunk.to(device))  # always there: a mean may round otherwise elsewhere
            if table is None:  # allocated whole, once: joining chunks would hold the table twice
                table = torch.empty((num_images, *chunk.shape[1:]), dtype=torch.float16, device=device)
            table[start:stop] = chunk
        if left == missing:
            time.sleep(WAIT_SECONDS)
        missing = left
    assert table is not None
    return table


def as_float16(rows: Tensor, index_B: Tensor, what: str) -> Tensor:
    """The rows of the images index_B (any shape B...) as float16, checked in one device read.

    Raises InputError that names `what` and the first image whose rows float16 cannot hold.
    """
    half = rows.half()
    finite_B = half.isfinite().flatten(1).all(1)
    if not finite_B.all():
        first = int(finite_B.int().argmin())
        largest = float(rows[first].float().abs().max())
        raise InputError(
            f"{what} reach {largest:.3g} on image {int(index_B[first])} (counted from 0), but its tables hold float16, "
            f"at most {torch.finfo(torch.float16).max:,.0f}: scale the teacher's layer down (a normalisation after it "
            "does), train the teacher with a lower learning rate, or choose another teacher."
        )
    return half


def _chunk(
    tables: Sequence[Table], images: range, rows: Rows, store: Store | None, device: torch.device
) -> Tensor | None:
    """One chunk of the first table, read or computed; None while another worker is computing it."""
    wanted, *beside = tables
    number = images.start // CHUNK
    index_B = torch.arange(images.start, images.stop, device=device)
    if store is None:
        return rows(index_B, [wanted])[0].half()
    found = store.get(wanted.kind, wanted.chunk(number))
    if found is None:
        with store.claimed("logits", f"{wanted.run}-{number}") as mine:
            if not mine:
                return None
            found = store.get(wanted.kind, wanted.chunk(number))  # made between the look and the claim
            if found is None:
                missing = [other for other in beside if store.get(other.kind, other.chunk(number)) is None]
                made = [part.half() for part in rows(index_B, [wanted, *missing])]
                for table, part in zip([wanted, *missing], made, strict=True):
                    buffer = io.BytesIO()
                    np.save(buffer, part.cpu().numpy(), allow_pickle=False)
                    store.try_put(table.kind, table.chunk(number), {"rows.npy": buffer.getvalue()})
                return made[0]
    return torch.from_numpy(np.load(io.BytesIO(found["rows.npy"]), allow_pickle=False))
