"""The studies kept with the documents say what the runs folder says, and nothing of the machine that made them."""

import zipfile
from pathlib import Path

import pytest

from bench import front
from fitnets.errors import InputError
from search.read.reader import read
from search.ship.confirmed import confirmation
from tests.app import synthetic


def test_the_zip_has_the_study_and_its_fresh_runs_without_this_machine_s_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, out = tmp_path / "runs", tmp_path / "docs" / "front.zip"
    path = runs / "studies.db"
    images = {"shape": [1, 8, 8], "classes": list("0123456789"), "train": 1, "val": 1, "data_dir": str(tmp_path)}
    runs.mkdir()
    url = synthetic.study(path, 12, images=images)
    best = next(c for c in read(url, "digits").candidates if c.on_front)
    synthetic.confirm(path, [(best.trial, (0.9, 0.91, 0.92))])
    synthetic.empty(path, "digits2")

    monkeypatch.setattr("sys.argv", ["front", "digits", "--runs", str(runs), "--out", str(out)])
    front.main()
    with zipfile.ZipFile(out) as whole:
        whole.extractall(tmp_path / "copied")
    copied = f"sqlite:///{tmp_path / 'copied' / 'studies.db'}"

    for name in ("digits", "digits.confirm"):
        before, after = read(url, name), read(copied, name)
        assert after.candidates == before.candidates
        assert after.images == before.images | {"data_dir": "data"}
    assert confirmation(read(copied, "digits"), read(copied, "digits.confirm")) == confirmation(
        read(url, "digits"), read(url, "digits.confirm")
    )
    assert str(tmp_path).encode() not in (tmp_path / "copied" / "studies.db").read_bytes()
    with pytest.raises(InputError, match="digits2"):
        read(copied, "digits2")
