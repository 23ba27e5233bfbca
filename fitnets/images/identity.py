"""The digest by which a data set is known again. No torch: a finished study is checked before anything heavy starts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fitnets.config import Data
from fitnets.disk.store import Store
from fitnets.images.parts import FileStats, file_stats, key_of, part_of, shape_of
from fitnets.images.raw import Raw, stratified
from fitnets.images.sources import has_val
from fitnets.values.base import Value, sha256


class Identity(Value):
    """What tells one data set from another."""

    images: str
    """Digest of the pixels, the labels and the split of the training and validation images."""
    classes: tuple[str, ...]
    train: int
    """How many training images there are after the split."""
    own_val: bool
    """Whether they come with a validation part of their own."""


def identity(data: Data, root: Path, store: Store) -> Identity:
    """The identity of the images; they are decoded only if `store` has no answer for the files as they are now.

    Raises InputError when they cannot be read.
    """
    stats = file_stats(data, root)
    entry = key_of(data, root, f"identity {data.digest()}", stats)
    stored = store.get("images", entry) if stats else None
    if stored is not None:
        return Identity.model_validate_json(stored["identity.json"])
    whole = undivided(data, root, store, stats)
    own_val = len(whole) == 2
    train = whole[0] if own_val else whole[0].split(data.val_fraction, data.seed)[0]
    found = Identity(images=digest_of(data, whole), classes=whole[0].classes, train=len(train.label_N), own_val=own_val)
    if stats:
        store.try_put("images", entry, {"identity.json": found.model_dump_json().encode()})
    return found


def undivided(data: Data, root: Path, store: Store | None, stats: FileStats | None = None) -> list[Raw]:
    """The training images before any are split off for validation, then the validation part where there is one."""
    raw = limited(part_of(data, root, "train", store, stats=stats), data)
    if not has_val(data, root):
        return [raw]
    return [raw, limited(part_of(data, root, "val", store, shape_of(raw), stats), data)]


def digest_of(data: Data, whole: Sequence[Raw]) -> str:
    """The digest of images as `undivided` returns them, and of how they are split and normalised."""
    arrays = [array for part in whole for array in (part.pixels_NHWC, part.label_N)]
    content = [sha256(np.ascontiguousarray(array).tobytes()) for array in arrays]
    normalisation = (data.whiten, *(("local contrast",) if data.local_contrast else ()))
    return sha256(repr((content, data.val_fraction, data.seed, *normalisation)))


def limited(raw: Raw, data: Data) -> Raw:
    """About `data.limit` of the images, with at least two of each class; all of them without a limit."""
    if data.limit is None or data.limit >= len(raw.label_N):
        return raw
    fraction = data.limit / len(raw.label_N)
    return raw.take(stratified(raw.label_N, fraction, seed=0, classes=raw.classes, least=2)[1])
