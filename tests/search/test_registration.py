"""search/driver/registration.py: what a study's entry in the storage is compared with, and a folder's rights."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fitnets.errors import InputError
from search.driver.registration import writable
from tests.helpers import unprivileged


def test_drivers_that_look_at_one_folder_at_once_do_not_hinder_each_other(tmp_path: Path) -> None:
    def look(_: int) -> None:
        for _ in range(200):
            writable(tmp_path)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(look, range(8))) == [None] * 8
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with unprivileged(), pytest.raises(InputError, match=r"cannot be written \(Permission denied\): .* with --out"):
        writable(tmp_path / "out", "--out")
