"""Public tables of learning curves that replace trainings: which student a draw of a search becomes, and its cost.

A table's own parameters are the search space. A draw becomes the student whose parameters are nearest: the squared
differences of the numbers, each scaled to 0..1 over the table (logarithms where the parameter is sampled so), plus 1
for each category that differs. The sampler then gets that student's parameters, as if it had drawn exactly those.
A student that is drawn again is trained again: with its next seed if the table has several, else with the same curve.

| table | parameters |
| --- | --- |
| resnet_tinyimagenet | blocks, filters (logarithmic), kernel |
| metaqnn_* | convolutions, their mean width (log) and kernel, pools, place of the first pool, head, learning rate |
| resnet39_cifar10 | parameters (log), learning rate (the source has no others) |
| kd_digits_mlp | depth, first width (log), last over first (log), tau, lambda and its ratio, learning rate |
| digits_students | the parameters of the study `digits`, logarithmic where `search.space.suggest` has them so |
"""

import csv
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Floats = NDArray[np.float64]
Row = Mapping[str, str]
FOLDER = Path(__file__).parents[1] / "tables"


@dataclass
class Student:
    """One student of a table."""

    params: int
    macs: int
    drawn: dict[str, Any]
    """Its parameters in the search space."""
    curves: list[Floats] = field(default_factory=list)
    """Validation accuracy in [0, 1] after each epoch of stage 2, a curve for each seed."""


class Table:
    """All students of a table, their search space, and the hypervolume of any of them."""

    def __init__(self, name: str, students: Sequence[Student], space: Mapping[str, BaseDistribution]):
        self.name, self.students, self.space = name, list(students), dict(space)
        self.epochs = len(students[0].curves[0])
        everything = np.array([self._losses(s, curve[-1]) for s in students for curve in s.curves])
        self._low, self._high = everything.min(0), everything.max(0)
        self._reachable = self._volume(everything)

    def nearest(self, params: Mapping[str, Any]) -> int:
        """The student nearest to a draw; the first of several."""
        distance = np.zeros(len(self.students))
        for name, values in self._places.items():
            if isinstance(self.space[name], CategoricalDistribution):
                distance += values != params[name]
            else:
                distance += (values - _scaled(self.space[name], params[name])) ** 2
        return int(distance.argmin())

    def hypervolume(self, finished: Sequence[tuple[int, float]]) -> float:
        """The hypervolume of (student, final accuracy) pairs, as a share of the whole table's.

        Accuracy, log parameters and log multiply-adds are each scaled from the worst to the best in the table.
        """
        if not finished:
            return 0.0
        losses = np.array([self._losses(self.students[student], accuracy) for student, accuracy in finished])
        return self._volume(losses) / self._reachable

    @cached_property
    def mean_macs(self) -> float:
        """The mean multiply-adds of its students."""
        return statistics.fmean(student.macs for student in self.students)

    @cached_property
    def _places(self) -> dict[str, NDArray[Any]]:
        places = {}
        for name, kind in self.space.items():
            values = [student.drawn[name] for student in self.students]
            categories = isinstance(kind, CategoricalDistribution)
            places[name] = np.array(values if categories else [_scaled(kind, value) for value in values])
        return places

    @staticmethod
    def _losses(student: Student, accuracy: float) -> tuple[float, float, float]:
        return -accuracy, np.log(student.params), np.log(student.macs)

    def _volume(self, losses: Floats) -> float:
        return float(moocore.hypervolume((losses - self._low) / (self._high - self._low), ref=np.ones(3)))


def _scaled(kind: BaseDistribution, value: float) -> float:
    assert isinstance(kind, IntDistribution | FloatDistribution)
    low, high, value = np.log([kind.low, kind.high, value]) if kind.log else (kind.low, kind.high, value)
    return float((value - low) / (high - low))


def _space(students: Sequence[Student], logarithmic: Sequence[str], categories: Sequence[str]) -> dict[str, Any]:
    """The search space with the table's own bounds."""
    found: dict[str, BaseDistribution] = {}
    for name, first in students[0].drawn.items():
        values = [student.drawn[name] for student in students]
        if name in categories:
            found[name] = CategoricalDistribution(sorted(set(values)))
        elif isinstance(first, int):
            found[name] = IntDistribution(min(values), max(values), log=name in logarithmic)
        else:
            found[name] = FloatDistribution(min(values), max(values), log=name in logarithmic)
    return found


def _resnet(row: Row) -> dict[str, Any]:
    return {"blocks": int(row["blocks"]), "filters": int(row["filters"]), "kernel": int(row["kernel"])}


def _metaqnn(row: Row) -> dict[str, Any]:
    layers = [layer for layer in row["net"].split() if layer[0] != "D"]  # without dropout
    convs = [tuple(map(int, found)) for found in re.findall(r"\bC\((\d+),(\d+),1\)", row["net"])]
    pools = [place for place, layer in enumerate(layers) if layer.startswith("P(")]
    heads = [layer for layer in layers if layer.startswith(("FC", "GAP"))]
    return {
        "convolutions": len(convs),
        "width": statistics.geometric_mean(width for width, _ in convs) if convs else 64.0,
        "kernel": statistics.fmean(kernel for _, kernel in convs) if convs else 1.0,
        "pools": len(pools),
        "first_pool": pools[0] / len(layers) if pools else 1.0,
        "head": heads[0] if heads else "none",
        "lr": row["lr"],
    }


def _resnet39(row: Row) -> dict[str, Any]:
    return {"params": int(row["params"]), "lr": row["lr"]}


def _kd(row: Row) -> dict[str, Any]:
    widths = [int(width) for width in row["width"].split("-")]
    numbers = {name: float(row[name]) for name in ("tau", "lambda_start", "lambda_ratio", "lr")}
    return {"depth": int(row["depth"]), "width": widths[0], "taper": widths[-1] / widths[0], **numbers}


def _digits(row: Row) -> dict[str, Any]:
    whole = ("depth1", "depth2", "base_width")
    share = ("multiplier2", "guided", "hint", "tau", "lambda_start", "lambda_ratio", "lr1", "lr2")
    return {name: int(row[name]) for name in whole} | {name: float(row[name]) for name in share}


@dataclass(frozen=True)
class _Source:
    drawn: Callable[[Row], dict[str, Any]]
    full: int
    """The number that stands for an accuracy of 1."""
    logarithmic: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


META = _Source(_metaqnn, 10_000, ("width",), ("head", "lr"))
SOURCES = {
    "resnet_tinyimagenet": _Source(_resnet, 10_000, ("filters",), ("kernel",)),
    "metaqnn_cifar10": META,
    "metaqnn_svhn": META,
    "resnet39_cifar10": _Source(_resnet39, 10_000, ("params",), ("lr",)),
    "kd_digits_mlp": _Source(_kd, 399, ("width", "taper", "tau", "lambda_start", "lr")),
    "digits_students": _Source(_digits, 396, ("multiplier2", "tau", "lambda_start", "lr1", "lr2")),
}


def load(folder: Path, name: str) -> Table:
    """The table of one of SOURCES. Raises OSError where the folder has no such file."""
    source = SOURCES[name]
    students: dict[tuple[object, ...], Student] = {}
    with (folder / f"{name}.csv").open(newline="") as file:
        for place, row in enumerate(csv.DictReader(file)):
            drawn = source.drawn(row)
            params, macs = int(row["params"]), int(row.get("macs") or row["params"])
            repeated = "repeat" in row or "seed" in row
            key = (params, macs, row.get("width"), *drawn.values()) if repeated else (place,)
            student = students.setdefault(key, Student(params, macs, drawn))
            curve = next(text for column, text in row.items() if "_epochs_" in column)
            student.curves.append(np.array([int(count) for count in curve.split()]) / source.full)
    found = list(students.values())
    return Table(name, found, _space(found, source.logarithmic, source.categories))
