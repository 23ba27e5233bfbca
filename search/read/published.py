"""The paper's own results (Romero et al., ICLR 2015): as printed, from `paper.json`, and as counted here."""

import json
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from fitnets.config import Cost
from fitnets.nets.cost import cost
from fitnets.nets.footprint import Footprint, footprint
from fitnets.paper.nets import Pair, PaperNet, nets
from fitnets.values.base import Value
from fitnets.values.net import Net
from search.read.candidates import Candidate

TABLE = Path(__file__).with_name("paper.json")
UNITS = {"K": 1_000, "M": 1_000_000}


class Rounded(Value):
    """A count as the paper prints it: `862K`, `2.5M`."""

    text: str

    @property
    def value(self) -> int:
        """The printed number."""
        return int(Decimal(self.text[:-1]) * UNITS[self.text[-1]])

    def agrees(self, counted: int) -> bool:
        """Whether `counted`, rounded to the printed digits, is the printed number."""
        printed = Decimal(self.text[:-1])
        return (Decimal(counted) / UNITS[self.text[-1]]).quantize(printed) == printed


class Published(Value):
    """One result of the paper."""

    of: PaperNet
    name: str
    role: Literal["teacher", "fitnet", "student"]
    method: Literal["teacher", "backpropagation", "KD", "hints"]
    test_accuracy: float
    printed_params: Rounded | None
    """Weights without biases; None where the paper prints none."""
    printed_macs: Rounded | None
    speedup: float | None
    """Wall-clock time of the teacher's pass over the test images divided by this net's, on the authors' GPU."""
    compression: float | None
    note: str

    @property
    def net(self) -> Net:
        """The net."""
        return self.of.net

    @cached_property
    def footprint(self) -> Footprint:
        """What the net needs on a device."""
        return footprint(self.net)

    @property
    def hint(self) -> Pair | None:
        """Its hint pair; None for teachers."""
        return self.of.pair

    @property
    def params(self) -> int:
        """The weights as printed; our count where the paper prints none (AFLW)."""
        return self.printed_params.value if self.printed_params else self.of.weights

    @property
    def macs(self) -> int | None:
        """The multiply-adds as printed; None where the paper prints none."""
        return self.printed_macs.value if self.printed_macs else None

    @cached_property
    def counted(self) -> Cost:
        """The net's cost as `fitnets.nets.cost` counts it."""
        return cost(self.net)


@cache
def published(data: str) -> tuple[Published, ...]:
    """The paper's results for a data set; none where it has no such data set."""
    rows: dict[str, list[dict[str, Any]]] = json.loads(TABLE.read_text())["data"]
    return tuple(_published(**row) for row in rows.get(data, ()))


def _published(net: str, params: str | None, macs: str | None, **rest: Any) -> Published:
    printed = [None if text is None else Rounded(text=text) for text in (params, macs)]
    return Published(of=nets()[net], printed_params=printed[0], printed_macs=printed[1], **rest)


def nearest(candidate: Candidate, data: str) -> Published | None:
    """The paper's FitNet on `data` whose number of weights is nearest by ratio; None where there is none."""
    fitnets = [p for p in published(data) if p.role == "fitnet"]
    return min(fitnets, key=lambda p: _ratio(p.params, candidate.cost.weights), default=None)


def _ratio(a: int, b: int) -> float:
    return max(a, b) / max(1, min(a, b))
