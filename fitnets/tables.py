"""Tables of what a frozen teacher says of every image as one epoch shows it: made once, shared by every trial.

A table is kept in chunks, and whoever wants it makes the chunks that nobody else is making: two workers that start
together each compute half of it. Shape suffixes: N images, B batch.
"""

import io
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fitnets.store import Store

CHUNK = 512  # images: 2 s of the paper's teacher on one core, so nobody waits long for another's
WAIT_SECONDS = 0.05


def tabled(
    kind: str, digest: str, num_images: int, rows: Callable[[Tensor], Tensor], store: Store | None, device: torch.device
) -> Tensor:
    """`rows(index_B)` of all images as one float16 tensor, from the store as far as it is there.

    Without a store everything is computed. `rows` must give an image's row whatever the rest of its batch.
    """
    starts = range(0, num_images, CHUNK)
    table: Tensor | None = None
    missing = list(starts)
    while missing:
        left = []
        for start in missing:
            stop = min(start + CHUNK, num_images)
            chunk = _chunk(kind, f"{digest}-{start // CHUNK}", range(start, stop), rows, store, device)
            if chunk is None:
                left.append(start)
                continue
            if table is None:  # allocated whole, once: joining chunks would hold the table twice
                table = torch.empty((num_images, *chunk.shape[1:]), dtype=torch.float16, device=device)
            table[start:stop] = chunk
        if left == missing:
            time.sleep(WAIT_SECONDS)
        missing = left
    assert table is not None
    return table


def _chunk(
    kind: str,
    name: str,
    images: range,
    rows: Callable[[Tensor], Tensor],
    store: Store | None,
    device: torch.device,
) -> Tensor | None:
    """One chunk, read or computed; None while somebody else is computing it."""

    def computed() -> Tensor:
        return rows(torch.arange(images.start, images.stop, device=device)).half()

    if store is None:
        return computed()
    found = store.get(kind, name)
    if found is None:
        with store.claimed(kind, name) as mine:
            if not mine:
                return None
            found = store.get(kind, name)  # made between the look and the claim
            if found is None:
                chunk = computed()
                buffer = io.BytesIO()
                np.save(buffer, chunk.cpu().numpy(), allow_pickle=False)
                store.put(kind, name, {"rows.npy": buffer.getvalue()})
                return chunk
    return torch.from_numpy(np.load(io.BytesIO(found["rows.npy"]), allow_pickle=False))
