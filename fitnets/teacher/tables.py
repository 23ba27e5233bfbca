"""Tables of a frozen teacher's outputs for the views of all images in one epoch: computed once, shared by all trials.

A table is stored in chunks, and each worker that needs it computes the chunks that no other worker is computing: two
that start together compute half of it each. One pass of the teacher fills every table that it can, not only the
requested one. Shape suffixes: N images, B batch.
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

CHUNK = 512  # images: 2 s of the paper's teacher on one core, so no worker waits long for another
WAIT_SECONDS = 0.05


class Table(NamedTuple):
    """A table: a row for each image, from one pass of the teacher over all images."""

    kind: str
    run: str
    """The digest of the pass; a chunk is computed for all tables of one pass together."""
    name: str = ""
    """Distinguishes tables of the same kind and pass."""

    def chunk(self, number: int) -> str:
        """A chunk's name in the store."""
        return "-".join(part for part in (self.run, self.name, str(number)) if part)


class Rows(Protocol):
    """Computes the rows of each of `tables`, which belong to one pass, for the images index_B."""

    def __call__(self, index_B: Tensor, tables: Sequence[Table], /) -> list[Tensor]: ...


def tabled(
    tables: Sequence[Table],
    num_images: int,
    rows: Rows,
    store: Store | None,
    device: torch.device,
    transform: Callable[[Tensor], Tensor] = lambda chunk: chunk,
) -> Tensor:
    """The first table's rows of all images as one float16 tensor, with the chunks in the store read from it.

    The pass that computes one of its chunks also computes the missing ones of the other tables. Without a store,
    everything is computed, for the first table only. `transform` is applied to each of its chunks, on `device`.
    """
    starts = range(0, num_images, CHUNK)
    table: Tensor | None = None
    missing = list(starts)
    while missing:
        pending = []
        for start in missing:
            stop = min(start + CHUNK, num_images)
            chunk = _chunk(tables, range(start, stop), rows, store, device)
            if chunk is None:
                pending.append(start)
                continue
            chunk = transform(chunk.to(device))  # on the device, as rounding may depend on it
            if table is None:  # allocated once: concatenating chunks would take twice the memory
                table = torch.empty((num_images, *chunk.shape[1:]), dtype=torch.float16, device=device)
            table[start:stop] = chunk
        if pending == missing:
            time.sleep(WAIT_SECONDS)
        missing = pending
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
    wanted, *others = tables
    number = images.start // CHUNK
    index_B = torch.arange(images.start, images.stop, device=device)
    if store is None:
        return rows(index_B, [wanted])[0].half()
    found = store.get(wanted.kind, wanted.chunk(number))
    if found is None:
        with store.claimed("logits", f"{wanted.run}-{number}") as claimed:
            if not claimed:
                return None
            found = store.get(wanted.kind, wanted.chunk(number))  # stored between the first `get` and the claim
            if found is None:
                missing = [other for other in others if store.get(other.kind, other.chunk(number)) is None]
                computed = [part.half() for part in rows(index_B, [wanted, *missing])]
                for table, part in zip([wanted, *missing], computed, strict=True):
                    buffer = io.BytesIO()
                    np.save(buffer, part.cpu().numpy(), allow_pickle=False)
                    store.try_put(table.kind, table.chunk(number), {"rows.npy": buffer.getvalue()})
                return computed[0]
    return torch.from_numpy(np.load(io.BytesIO(found["rows.npy"]), allow_pickle=False))
