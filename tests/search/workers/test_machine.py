"""How much of a machine is ours, and addresses where no cluster is."""

import os
from pathlib import Path

import pytest

from fitnets.errors import InputError
from search.workers import cluster
from search.workers.machine import cores


@pytest.mark.parametrize(
    ("quota", "wanted"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("6400000 100000", 8)],
)
def test_a_containers_share_counts(quota: str, wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores(tmp_path / "cpu.max") == wanted


def test_a_schedulers_share_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert cores(tmp_path / "absent") == 2


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "ray://127.0.0.1:1", "127.0.0.1:²"])
def test_a_cluster_that_is_not_there_is_told_at_once(address: str) -> None:
    with pytest.raises(InputError, match=r"cannot be joined|nothing answers"):
        cluster._join(address)
