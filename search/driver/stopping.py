"""Which students go on at a rung of stage 2 and which are stopped: a pure function of accuracies and costs.

A student dominates another if its accuracy is no lower, its parameters and multiply-adds are no more, and not all three
are equal. A student that none at its rung dominates always goes on, whatever its cost: stopping by accuracy alone loses
the small students of the Pareto front, and does worse than no stopping (bench/RESULTS.md).
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fitnets.values.base import Value, seed_of

AUDIT_STEPS = 10_000  # the resolution of the share of audited students


class Stopping(Value):
    """The rungs of stage 2, how many students stop at each, and how many are audited. Part of a study's definition."""

    rungs: tuple[float, ...] = (1 / 3, 2 / 3)
    """Shares of stage 2's epochs."""
    eta: int = 3
    """A student stops where 1/eta or more of its peers have fewer dominators."""
    audit: float = 0.05
    """The share of the students to be stopped that are trained to the end nevertheless, to count false stops."""

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        shares = self.rungs
        if not shares or any(low >= high for low, high in zip((0.0, *shares), (*shares, 1.0), strict=True)):
            raise ValueError(
                f"`rungs` is {shares}, but it lists shares of stage 2's epochs between 0 and 1, each larger than the "
                "last: write (1/3, 2/3), or leave out `stopping` to train every student to its end."
            )
        if self.eta < 2:
            raise ValueError(
                f"`eta` is {self.eta}, but 1/eta of the students go on and that must be fewer than all: write 2 or "
                "more, or leave out `stopping` to train every student to its end."
            )
        if not 0 <= self.audit <= 1:
            raise ValueError(f"`audit` is {self.audit}, but it is a share of the stopped students: write 0 to 1.")
        return self

    def rung_epochs(self, epochs: int) -> tuple[int, ...]:
        """The epochs of stage 2 (counted from 1) after which students are compared; fewer where `epochs` are few."""
        after = (max(1, round(share * epochs)) for share in self.rungs)
        return tuple(epoch for epoch in dict.fromkeys(after) if epoch < epochs)


class Peer(Value):
    """A student that has reached a rung, whether or not it went on."""

    number: int = Field(ge=0)
    """Of its trial."""
    accuracy: float = Field(ge=0, le=1)
    """On the validation images, after the rung's epoch."""
    params: int = Field(ge=0)
    macs: int = Field(ge=0)

    def dominates(self, other: "Peer") -> bool:
        """Whether it dominates `other`: worse in nothing, and better in something."""
        mine, theirs = self._losses(), other._losses()
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))

    def _losses(self) -> tuple[float, int, int]:
        return -self.accuracy, self.params, self.macs


class Verdict(Value):
    """What was decided for a student at a rung, and the counts that decided it."""

    goes_on: bool
    dominators: int
    """How many of its peers dominate it."""
    better: int
    """How many of its peers have fewer dominators."""
    peers: int
    """How many students had reached the rung, this one included."""
    audited: bool = False
    """The rule stops it, but it is trained to its end to count false stops."""


class Arrival(Verdict):
    """A student's arrival at a rung and the verdict on it, as they are stored."""

    epoch: int
    """The rung's, of stage 2, counted from 1."""
    order: int
    """Its place among all arrivals of the study, from 0."""
    accuracy: float
    """On the validation images, after that epoch."""

    def verdict(self) -> Verdict:
        """The verdict alone."""
        return Verdict.model_validate({name: getattr(self, name) for name in Verdict.model_fields})


def decide(stopping: Stopping, study_seed: int, number: int, peers: Sequence[Peer]) -> Verdict:
    """The verdict on trial `number`, one of `peers`: every student that has reached the rung so far, in any order.

    It is stopped where better * eta >= peers. An audited student goes on at every later rung too, because the audit
    depends only on the study's seed and its number.
    Raises ValueError where `number` is missing, or a number occurs twice.
    """
    indices = {peer.number: index for index, peer in enumerate(peers)}
    if number not in indices or len(indices) < len(peers):
        raise ValueError(
            f"trial {number} is compared with trials {sorted(peer.number for peer in peers)}, but each student that "
            "reached the rung is listed once, itself included: pass every one of them once."
        )
    return _verdict(stopping, study_seed, number, np.array(dominator_counts(peers)), indices[number])


def _verdict(stopping: Stopping, study_seed: int, number: int, counts: NDArray[np.int64], place: int) -> Verdict:
    """The verdict on the student at `place` among its peers, each of which as many others dominate as `counts` says."""
    mine, peers = int(counts[place]), len(counts)
    better = int((counts < mine).sum())
    stops = better * stopping.eta >= peers
    is_audited = stops and audited(study_seed, number, stopping.audit)
    return Verdict(goes_on=not stops or is_audited, dominators=mine, better=better, peers=peers, audited=is_audited)


def dominator_counts(peers: Sequence[Peer]) -> list[int]:
    """For each of the peers, how many of the others dominate it."""
    rung = _Rung()
    for peer in peers:
        rung.add(peer)
    return [int(count) for count in rung.counts()]


class _Rung:
    """The students at one rung in the order of arrival, and how many others dominate each.

    The counts are kept up: a student that arrives costs time linear in the number of those before it.
    """

    def __init__(self) -> None:
        self._losses, self._counts, self._size = np.empty((64, 3)), np.zeros(64, dtype=np.int64), 0

    def add(self, peer: Peer) -> None:
        """Add a student, and count it with those that it dominates and that dominate it."""
        if self._size == len(self._counts):
            self._losses, self._counts = (
                np.resize(self._losses, (2 * self._size, 3)),
                np.resize(self._counts, 2 * self._size),
            )
        row, others = np.array(peer._losses(), dtype=float), self._losses[: self._size]
        differs = (others != row).any(1)
        self._counts[: self._size] += (row <= others).all(1) & differs
        self._losses[self._size] = row
        self._counts[self._size] = ((others <= row).all(1) & differs).sum()
        self._size += 1

    def counts(self) -> NDArray[np.int64]:
        """How many others dominate each student."""
        return self._counts[: self._size]


def audited(study_seed: int, number: int, share: float) -> bool:
    """Whether trial `number` is trained to its end even if the rule stops it; true of a `share` of all numbers."""
    return seed_of("audit", study_seed, number) % AUDIT_STEPS < AUDIT_STEPS * share


class Rungs:
    """The students that have reached each rung of a study, in the order of arrival, and the verdicts on them."""

    def __init__(self, stopping: Stopping, study_seed: int):
        self.stopping, self.study_seed = stopping, study_seed
        self.verdicts: dict[tuple[int, int], Verdict] = {}
        """By (epoch of the rung, trial)."""
        self._rungs: dict[int, _Rung] = {}

    def restore(self, epoch: int, peer: Peer, verdict: Verdict) -> None:
        """Add a student that reached the rung before, with the verdict that it got then."""
        self._rungs.setdefault(epoch, _Rung()).add(peer)
        self.verdicts[epoch, peer.number] = verdict

    def arrive(self, epoch: int, peer: Peer, *, exempt: bool = False) -> Verdict:
        """The verdict on a student that reaches the rung at `epoch` of stage 2; one that is `exempt` goes on.

        A verdict is final: a report that is repeated, say after a lost worker, gets the first one and adds no peer.
        """
        key = (epoch, peer.number)
        if key not in self.verdicts:
            rung = self._rungs.setdefault(epoch, _Rung())
            rung.add(peer)
            verdict = _verdict(self.stopping, self.study_seed, peer.number, rung.counts(), -1)
            self.verdicts[key] = verdict.changed(goes_on=True, audited=False) if exempt else verdict
        return self.verdicts[key]
