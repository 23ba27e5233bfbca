"""The paper's own results (Romero et al., ICLR 2015): as reported, from `paper.json`, and as our counter has them."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

from fitnets.config import Cost
from fitnets.cost import cost
from fitnets.net import Net
from fitnets.value import Value
from search.results import Candidate

TABLE = Path(__file__).with_name("paper.json")


class Pair(Value):
    """The hint layer of the teacher and the guided layer of the student."""

    hint: int
    guided: int


class Published(Value):
    """One net of the paper."""

    name: str
    role: Literal["teacher", "fitnet", "student"]
    test_accuracy: float
    params: int
    """As reported: rounded, weights alone."""
    macs: int | None
    """As reported; None where the paper does not say."""
    note: str
    hint: Pair | None
    net: Net

    @property
    def counted(self) -> Cost:
        """What our counter says of the same net."""
        return cost(self.net)


@cache
def published(data: str) -> tuple[Published, ...]:
    """The paper's nets for a data set; none for one that it does not have."""
    rows: dict[str, Any] = json.loads(TABLE.read_text())["data"]
    return tuple(Published.model_validate(row) for row in rows.get(data, ()))


def nearest(candidate: Candidate, data: str) -> Published | None:
    """The paper's FitNet whose weights are the nearest in number."""
    fitnets = [p for p in published(data) if p.role == "fitnet"]
    return min(fitnets, key=lambda p: _distance(p.params, candidate.cost.weights), default=None)


def _distance(a: int, b: int) -> float:
    return max(a, b) / max(1, min(a, b))
