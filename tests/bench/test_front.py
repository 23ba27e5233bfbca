"""The studies kept with the documents say what the runs folder says, and nothing of the machine that made them."""

import zipfile
from pathlib import Path

import pytest

from bench import front
from fitnets.errors import InputError
from search.read.listing import studies
from search.read.reader import read
from search.ship.confirmed import confirmation
from tests.app import synthetic
from tests.helpers import ROOT


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


def test_a_front_s_table_is_that_of_its_fresh_runs_where_there_are_some(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    url = synthetic.study(path, 12)
    students = read(url, "digits").front()
    first, _, *rows, teacher = front.front_table(url, "digits").splitlines()
    assert first == "| student | accuracy (one run) | parameters | multiply-adds | guided <- hint |"
    assert [row.split(":")[0] for row in rows] == [f"| {c.trial}" for c in students]
    assert teacher.startswith("| its teacher | 98.74% |")
    synthetic.confirm(path, [(students[0].trial, (0.5, 0.5, 0.53))])
    first, _, *rows, teacher = front.front_table(url, "digits").splitlines()
    assert first == "| student | accuracy | the search said | parameters | multiply-adds | guided <- hint |"
    assert len(rows) == 1 and rows[0].startswith(f"| {students[0].trial}: ") and " | 51.00% ± " in rows[0]
    assert teacher.startswith("| its teacher | 98.74% (one run) |  |")


def test_the_documents_have_the_fronts_that_are_kept_with_them(tmp_path: Path) -> None:
    with zipfile.ZipFile(ROOT / "docs" / "cifar10" / "front.zip") as whole:
        whole.extractall(tmp_path)
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "cifar10.md").read_text()
    assert studies(url)
    for name in studies(url):
        for line in front.front_table(url, name).splitlines():
            assert line in text, f"`python -m bench.front {name}` prints the table"
