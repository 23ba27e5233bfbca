"""A data set is known again by the digest that its students are keyed by; nothing is decoded twice for it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fitnets.config import Data
from fitnets.disk.store import Store
from fitnets.images import identity as module
from fitnets.images.identity import identity
from fitnets.images.images import load
from fitnets.images.raw import Raw
from tests.helpers import DIGITS


def folder(root: Path, *parts: str) -> Data:
    """Two classes of eight images in each part of `x`."""
    draws = np.random.default_rng(0)
    for part in parts:
        for name in ("a", "b"):
            (root / "x" / part / name).mkdir(parents=True)
            for number in range(8):
                pixels = draws.integers(0, 255, (4, 4), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "x" / part / name / f"{number}.bmp")
    return Data(name="x")


@pytest.mark.parametrize("parts", [("",), ("train", "test"), ("train", "val", "test")])
@pytest.mark.parametrize("fields", [{}, {"limit": 8}, {"whiten": True}, {"seed": 3, "val_fraction": 0.4}])
def test_the_digest_is_that_of_the_loaded_images(
    tmp_path: Path, parts: tuple[str, ...], fields: dict[str, object]
) -> None:
    data = folder(tmp_path, *parts).changed(**fields)
    images = load(data, tmp_path)
    for _ in range(2):  # computed, then stored
        found = identity(data, tmp_path, Store(tmp_path / "store"))
        assert (found.images, found.classes) == (images.digest, images.classes)


def test_images_without_files_have_one_too(tmp_path: Path) -> None:
    images = load(DIGITS, tmp_path)
    found = identity(DIGITS, tmp_path, Store(tmp_path / "store"))
    assert (found.images, found.classes) == (images.digest, images.classes)


def test_it_is_computed_once_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, store = folder(tmp_path, ""), Store(tmp_path / "store")
    computed: list[Data] = []
    compute = module.undivided

    def counted(data: Data, *rest: Any) -> list[Raw]:
        computed.append(data)
        return compute(data, *rest)

    monkeypatch.setattr(module, "undivided", counted)
    first = identity(data, tmp_path, store)
    assert identity(data, tmp_path, store) == first
    assert len(computed) == 1
    identity(data.changed(seed=5), tmp_path, store)
    assert len(computed) == 2, "the split is part of it"
    file = tmp_path / "x" / "a" / "3.bmp"
    before, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 64
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert identity(data, tmp_path, store) != first, "a copy may keep size and time"
