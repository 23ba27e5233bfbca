"""The stopping rules that `bench.quality` compares. A new rule is made for each search.

All of them decide at the same epochs, with eta = 3.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from search.driver.stopping import Peer, Rungs, Stopping

ETA = 3
Floats = NDArray[np.float64]
Rule = Callable[[int, Peer], bool]
"""Whether a student continues at the rung of this epoch; from then on it is one of the rung's peers."""


@dataclass(frozen=True)
class Arm:
    """A rule and its name in the tables."""

    name: str
    make: Callable[[int], Rule] | None
    """Makes the rule from a seed; None stops no student."""


def dominator_count(audit: float) -> Callable[[int], Rule]:
    """The project's rule."""

    def make(seed: int) -> Rule:
        rungs = Rungs(Stopping(eta=ETA, audit=audit), seed)
        return lambda epoch, peer: rungs.arrive(epoch, peer).goes_on

    return make


def coin(seed: int) -> Rule:
    """A random third of the students continues."""
    chance = random.Random(seed)
    return lambda epoch, peer: chance.random() < 1 / ETA


def accuracy_only(seed: int) -> Rule:
    """ASHA's stopping variant, as in Ray Tune: a student below the upper third of the accuracies so far stops."""
    seen: dict[int, list[float]] = {}

    def goes_on(epoch: int, peer: Peer) -> bool:
        earlier = seen.setdefault(epoch, [])
        passes = not earlier or peer.accuracy >= np.percentile(earlier, 100 * (1 - 1 / ETA))
        earlier.append(peer.accuracy)
        return bool(passes)

    return goes_on


def syne_tune(seed: int) -> Rule:
    """MOASHA as Syne Tune 0.16 ships it, over unscaled objectives, with its two mistakes.

    Positions in the order of a front are used as indices, and the sorted list of students as their priorities: the
    priority of the last student is the number of the student that is last in the order.
    """

    def position(losses: Floats) -> int:
        order: list[int] = []
        for front in _fronts(losses):
            ranks = np.argsort(_spread(losses[front]))
            order += front[ranks].tolist()
        return order[-1]

    return _among_the_first(position, scaled=False)


def pareto_rank(seed: int) -> Rule:
    """MOASHA as intended: sorted by fronts, within each by an epsilon-net over scaled objectives."""

    def position(losses: Floats) -> int:
        order: list[int] = []
        for front in _fronts(losses):
            order += front[_spread(losses[front])].tolist()
        return order.index(len(losses) - 1)

    return _among_the_first(position, scaled=True)


def _among_the_first(position: Callable[[Floats], int], *, scaled: bool) -> Rule:
    """A rule by which a student continues if the last row's position (from 0) is within the first third."""
    seen: dict[int, list[tuple[float, float, float]]] = {}

    def goes_on(epoch: int, peer: Peer) -> bool:
        rows = seen.setdefault(epoch, [])
        rows.append((-peer.accuracy, peer.params, peer.macs))
        losses = np.array(rows, dtype=float)
        if scaled:
            losses[:, 1:] = np.log(losses[:, 1:])
            losses = (losses - losses.min(0)) / np.maximum(np.ptp(losses, axis=0), 1e-12)
        return position(losses) / len(rows) <= 1 / ETA

    return goes_on


def _fronts(losses: Floats) -> list[NDArray[np.int64]]:
    """The rows of the first front, of the front of the remaining rows, and so on."""
    rank = moocore.pareto_rank(losses)
    return [np.flatnonzero(rank == level) for level in range(int(rank.min()), int(rank.max()) + 1)]


def _spread(losses: Floats) -> list[int]:
    """The order of an epsilon-net: the most accurate first, then always the one farthest from all earlier ones."""
    order = [int(losses[:, 0].argmin())]
    distance = np.full(len(losses), np.inf)
    while len(order) < len(losses):
        distance = np.minimum(distance, np.linalg.norm(losses - losses[order[-1]], axis=1))
        distance[order] = -1
        order.append(int(distance.argmax()))
    return order


NONE = Arm("none", None)
COUNT = Arm("dominator count", dominator_count(0.0))
OURS = Arm("dominator count, 5 % audit", dominator_count(0.05))
ACCURACY_ONLY = Arm("accuracy-only ASHA", accuracy_only)
RULES = (
    NONE,
    Arm("coin 1/3", coin),
    ACCURACY_ONLY,
    Arm("Syne Tune's MOASHA as shipped", syne_tune),
    Arm("Pareto rank + epsilon-net, correct", pareto_rank),
    COUNT,
    OURS,
)
