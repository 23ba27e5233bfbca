"""The paper's points: as its tables have them, and as our counter counts them."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from search.read.published import Rounded, nearest, published
from search.read.reader import read
from search.results import print_results
from tests.app import synthetic
from tests.helpers import REFERENCE


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_fitnets_are_the_references(number: int) -> None:
    known = REFERENCE["datasets"]["cifar10"]["students"][f"fitnet{number}"]
    net = next(p for p in published("cifar10") if p.name == f"FitNet {number}")
    assert net.test_accuracy == pytest.approx(known["reported"]["acc"] / 100)
    assert (net.speedup, net.compression) == (known["reported"]["speedup"], known["reported"]["compression"])
    assert net.net.depth == known["layers"]
    assert net.hint is not None and net.hint.guided == known["hint"]["student"]
    unit = {"K": 1e3, "M": 1e6}
    for got, value in (("params", net.params), ("mults", net.macs)):
        text = known["reported"][got].lstrip("~")
        assert value == float(text[:-1]) * unit[text[-1]]


def test_every_printed_count_is_the_references() -> None:
    for data in ("cifar10", "cifar100", "svhn", "mnist"):
        spec = REFERENCE["datasets"][data]
        rows = {p.of.name.split("/")[1]: p for p in published(data)}
        known = {"teacher": spec["teacher"]} | spec.get("students", {})
        known |= {"fitnet4" if data == "cifar100" else "fitnet": spec["student"]} if "student" in spec else {}
        for name, got in known.items():
            if "reported" in got:
                printed = rows[name].printed_params
                assert printed is not None and f"~{printed.text}" == got["reported"]["params"]


def test_errors_became_accuracies() -> None:
    known = REFERENCE["datasets"]["mnist"]["student"]["reported"]["error"]
    names = {"FitNet": "hint", "FitNet by KD": "kd", "FitNet by labels": "backprop"}
    rows = {p.name: p for p in published("mnist")}
    assert {error: round(100 * (1 - rows[name].test_accuracy), 2) for name, error in names.items()} == known
    assert next(p for p in published("svhn") if p.name == "FitNet").test_accuracy == pytest.approx(1 - 0.0242)
    aflw = REFERENCE["datasets"]["aflw"]
    for row in published("aflw"):
        errors = aflw[row.of.name.split("/")[1]]["reported"]["error"]
        error = errors if row.role == "teacher" else errors["kd" if row.role == "student" else "hint"]
        assert 100 * (1 - row.test_accuracy) == pytest.approx(error)


@pytest.mark.parametrize(
    ("text", "counted", "agrees"),
    [
        ("862K", 861_928, True),
        ("862K", 862_501, False),
        ("2.5M", 2_544_712, True),
        ("2.5M", 2_589_712, False),
        ("9M", 9_499_999, True),
    ],
)
def test_a_printed_count_agrees_with_what_rounds_to_it(text: str, counted: int, agrees: bool) -> None:
    assert Rounded(text=text).agrees(counted) is agrees


def test_a_data_set_that_the_paper_lacks_has_none(tmp_path: Path) -> None:
    c = read(synthetic.study(tmp_path / "s.db", 3), "digits").candidates[0]
    assert published("digits") == ()
    assert nearest(c, "digits") is None
    found = nearest(c, "cifar10")
    assert found is not None and found.name == "FitNet 1"


def test_results_list_the_papers_nets_of_the_same_images(tmp_path: Path) -> None:
    definition = {"name": "digits", "data": {"name": "cifar10"}, "trials": 3}
    got = StringIO()
    url = synthetic.study(tmp_path / "a.db", 3, study=definition)
    print_results(read(url, "digits"), Console(file=got, width=100))
    assert "FitNet 4: 91.61%, 2.5M parameters, 382M multiply-adds" in got.getvalue()
    got = StringIO()
    print_results(read(synthetic.study(tmp_path / "b.db", 3), "digits"), Console(file=got, width=100))
    assert "the paper" not in got.getvalue()
