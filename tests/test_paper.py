"""The paper's points: as its tables have them, and as our counter counts them."""

from pathlib import Path

import pytest

from search.paper import nearest, published
from search.results import read
from tests.app import synthetic
from tests.helpers import REFERENCE


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_fitnets_are_the_references(number: int) -> None:
    known = REFERENCE["datasets"]["cifar10"]["students"][f"fitnet{number}"]
    net = next(p for p in published("cifar10") if p.name == f"FitNet {number}")
    assert net.test_accuracy == pytest.approx(known["reported"]["acc"] / 100)
    assert net.net.depth == known["layers"]
    assert net.counted.weights == known["counted"]["fc2"]["params"]
    assert net.counted.macs == known["counted"]["fc2"]["mults"]
    assert net.hint is not None and net.hint.guided == known["hint"]["student"]
    unit = {"K": 1e3, "M": 1e6}
    for told, value in (("params", net.params), ("mults", net.macs)):
        text = known["reported"][told].lstrip("~")
        assert value == float(text[:-1]) * unit[text[-1]]


def test_every_teacher_counts_as_the_reference() -> None:
    for data in ("cifar10", "svhn", "mnist"):
        teacher = next(p for p in published(data) if p.role == "teacher")
        counted = REFERENCE["datasets"][data]["teacher"]["counted"]["fc2"]
        assert (teacher.counted.weights, teacher.counted.macs) == (counted["params"], counted["mults"])


def test_errors_became_accuracies() -> None:
    assert next(p for p in published("mnist") if p.name == "FitNet").test_accuracy == pytest.approx(1 - 0.0051)
    assert next(p for p in published("svhn") if p.name == "FitNet").test_accuracy == pytest.approx(1 - 0.0242)


def test_a_data_set_that_the_paper_lacks_has_none(tmp_path: Path) -> None:
    c = read(synthetic.study(tmp_path / "s.db", 3), "digits").candidates[0]
    assert published("digits") == ()
    assert nearest(c, "digits") is None
    found = nearest(c, "cifar10")
    assert found is not None and found.name == "FitNet 1"
