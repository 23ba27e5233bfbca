"""The paper's nets by name: layer by layer, count by count and hint by hint as the reference has them."""

from typing import Any

import pytest

from fitnets.distill.regressor import Regressor
from fitnets.paper.nets import PaperNet, Reading, nets
from fitnets.values.net import Net
from search.paper.counts import counts
from tests.commands import invoke
from tests.helpers import REFERENCE, paper_net

DATA = REFERENCE["datasets"]
FIGURE_2 = REFERENCE["figure2_depth_study"]["nets"]
FIVE = Reading(dense_pieces=5)
TABLE_7, FOUR = Reading(fitnet3="table 7"), Reading(mnist_pieces=4)
# our name: where the reference lists its layers, with its classes
MAXOUT = {
    "cifar10/teacher": (DATA["cifar10"]["teacher"], 10, Reading()),
    "cifar10/fitnet1": (DATA["cifar10"]["students"]["fitnet1"], 10, Reading()),
    "cifar10/fitnet2": (DATA["cifar10"]["students"]["fitnet2"], 10, Reading()),
    "cifar10/fitnet3": (DATA["cifar10"]["students"]["fitnet3_count_variant"], 10, Reading()),
    "cifar10/fitnet3, table 7": (DATA["cifar10"]["students"]["fitnet3"], 10, TABLE_7),
    "cifar10/fitnet4": (DATA["cifar10"]["students"]["fitnet4"], 10, Reading()),
    "cifar100/teacher": (DATA["cifar10"]["teacher"], 100, Reading()),
    "cifar100/fitnet4": (DATA["cifar10"]["students"]["fitnet4"], 100, Reading()),
    "svhn/teacher": (DATA["svhn"]["teacher"], 10, Reading()),
    "svhn/fitnet": (DATA["cifar10"]["students"]["fitnet3"], 10, Reading()),
    "svhn/fitnet, appendix": (DATA["cifar10"]["students"]["fitnet4"], 10, Reading(svhn_student="fitnet4")),
}
HINTED = {
    **{f"cifar10/{name}": DATA["cifar10"]["students"][name]["hint"] for name in ("fitnet1", "fitnet2", "fitnet4")},
    "cifar10/fitnet3": DATA["cifar10"]["students"]["fitnet3"]["hint"],
    "mnist/fitnet": DATA["mnist"]["student"]["hint"],
}


def counted(net: PaperNet) -> dict[str, int]:
    """In the reference's words."""
    return {"params": net.weights, "mults": net.macs}


@pytest.mark.parametrize("name", MAXOUT)
def test_maxout_nets_are_the_references_layer_by_layer(name: str) -> None:
    spec, classes, reading = MAXOUT[name]
    name = name.split(",")[0]
    two, five = nets(reading)[name], nets(reading.changed(dense_pieces=5))[name]
    units, pieces = spec["fc"]
    assert two.net == paper_net([3, 32, 32], spec["conv"], [(units, 2)], classes)
    assert five.net == paper_net([3, 32, 32], spec["conv"], [(units, pieces)], classes)
    if classes == 10:
        assert (counted(two), counted(five)) == (spec["counted"]["fc2"], spec["counted"]["fc5"])


@pytest.mark.parametrize(("who", "name"), [("teacher", "mnist/teacher"), ("student", "mnist/fitnet")])
def test_mnist_nets_in_both_readings(who: str, name: str) -> None:
    spec = DATA["mnist"][who]
    other, its_count = ("conv_pylearn2", "pylearn2") if who == "teacher" else ("conv_yaml", "yaml")
    for reading, rows, count in ((Reading(), "conv", "fc2"), (FOUR, other, its_count)):
        found = nets(reading)[name]
        assert found.net == paper_net([1, 28, 28], spec[rows], [], 10)
        assert counted(found) == spec["counted"][count]


@pytest.mark.parametrize("name", FIGURE_2)
def test_figure_2_nets(name: str) -> None:
    found = nets()[f"figure2/{name.replace('_', '-')}"]
    assert counted(found) == FIGURE_2[name]["counted"]
    assert [list(widths) for widths in found.net.stages] == FIGURE_2[name]["blocks"]
    assert found.pair is not None and [found.pair.guided, found.pair.hint] == FIGURE_2[name]["hint"]


def test_aflw_nets_cost_what_was_counted_with_one_sigmoid_output() -> None:
    printed = DATA["aflw"]["counted_all_unpadded_rgb"]
    for name in ("teacher", "fitnet1", "fitnet2"):
        assert nets()[f"aflw/{name}"].macs == printed[f"{name}_mults"]
        assert [conv.width for conv in nets()[f"aflw/{name}"].net.convs] == DATA["aflw"][name]["conv_units"]


def test_every_reference_count_is_held() -> None:
    """26 counts in the reference: each one belongs to a net that is tested above."""
    seen = {
        tuple(counted(net).values()) for reading in (Reading(), FIVE, TABLE_7, FOUR) for net in nets(reading).values()
    }
    seen |= {tuple(counted(net).values()) for net in nets(TABLE_7.changed(dense_pieces=5)).values()}
    wanted: set[tuple[int, int]] = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if set(part) == {"params", "mults"} and all(isinstance(value, int) for value in part.values()):
                wanted.add((part["params"], part["mults"]))
            for child in part.values():
                walk(child)

    walk(REFERENCE)
    assert len(wanted) == 24  # two of the 26 are other names for FitNets 1 and 2
    assert wanted - seen == set()


@pytest.mark.parametrize("name", HINTED)
def test_hint_pairs_and_regressors_are_the_published_ones(name: str) -> None:
    printed, found, teacher = HINTED[name], nets()[name], nets()[f"{name.split('/')[0]}/teacher"]
    assert found.pair is not None
    assert (found.pair.guided, found.pair.hint) == (printed["student"], printed["teacher"])
    guided, hint = after(found.net, printed["student"]), after(teacher.net, printed["teacher"])
    assert [list(guided), list(hint)] == [printed["guided_map"], printed["hint_map"]]
    regressor = Regressor(guided, hint, "paper", teacher.net.convs[printed["teacher"] - 1].pieces)
    assert regressor.conv.kernel_size == (printed["regressor_kernel"],) * 2


def test_regressors_of_svhn_and_aflw() -> None:
    for name, kernel in (("svhn/fitnet", 7), ("aflw/fitnet1", 5), ("aflw/fitnet2", 5)):
        found, teacher = nets()[name], nets()[f"{name.split('/')[0]}/teacher"]
        assert found.pair is not None
        guided, hint = after(found.net, found.pair.guided), after(teacher.net, found.pair.hint)
        assert guided[1] - hint[1] + 1 == kernel
    pooled = nets(Reading(svhn_guided="8x8"))["svhn/fitnet"]
    assert pooled.pair is not None and after(pooled.net, pooled.pair.guided)[1:] == (8, 8)


def after(net: Net, layer: int) -> tuple[int, int, int]:
    """A layer's map after pooling."""
    return net.maps()[layer - 1][1]


def test_every_printed_count_agrees_or_its_doubt_is_named() -> None:
    rows = {row.name: row for row in counts()}
    assert len(rows) == len(nets()) == 22
    assert [row.name for row in rows.values() if row.agrees is False] == ["cifar100/fitnet4"]
    assert "45,000" in rows["cifar100/fitnet4"].note
    for row in rows.values():
        assert row.agrees or row.note, row.name
    five = {row.name: row.agrees for row in counts(FIVE)}
    assert five["cifar10/teacher"] is False and five["cifar10/fitnet2"] is False


def test_the_command_prints_every_net_and_names_the_doubts() -> None:
    result = invoke("paper", "counts")
    assert result.exit_code == 0
    for row in counts():
        assert row.name in result.output
        assert f"{row.weights:,}" in result.output
        assert f"{row.macs:,}" in result.output
    assert "no pads give 15 and 2.5 times" in " ".join(result.output.split())
