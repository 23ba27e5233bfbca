"""What stopping did to a study: who was stopped where, the epochs that it saved, and how many stops were false."""

from collections.abc import Sequence

from fitnets.values.base import Value
from search.read.candidates import Candidate


class RungCount(Value):
    """One rung: how many students reached it, and how many of them were stopped there."""

    epoch: int
    """Of stage 2, counted from 1."""
    reached: int
    stopped: int


class Stops(Value):
    """The stops of a study."""

    rungs: tuple[RungCount, ...]
    students: int
    """How many were stopped."""
    epochs_saved: int
    """Of stage 2: those that the stopped students were not trained for."""
    audited: int
    """How many were to be stopped, were trained to their end to check the rule, and have a result."""
    false: int
    """How many of these are on the Pareto front."""
    bound: float
    """The share of false stops is below this, at 95 % confidence; 1 without audits."""


def stops(candidates: Sequence[Candidate]) -> Stops | None:
    """The stops of a study's trials; None where no rung was reached. Trials that share a twin's end do not count."""
    reached = [(arrival, c) for c in candidates for arrival in c.rungs]
    if not reached:
        return None
    rungs = [
        RungCount(epoch=epoch, reached=len(at), stopped=sum(not arrival.goes_on for arrival in at))
        for epoch in sorted({arrival.epoch for arrival, _ in reached})
        if (at := [arrival for arrival, _ in reached if arrival.epoch == epoch])
    ]
    audited = [c for c in candidates if c.audited and c.state == "complete"]
    false = sum(c.on_front for c in audited)
    return Stops(
        rungs=tuple(rungs),
        students=sum(rung.stopped for rung in rungs),
        epochs_saved=sum(c.recipe.stage2.epochs - arrival.epoch for arrival, c in reached if not arrival.goes_on),
        audited=len(audited),
        false=false,
        bound=false_stop_bound(false, len(audited)),
    )


def describe(found: Stops) -> str:
    """The stops in a sentence or two, without the final full stop."""
    where = ", ".join(f"{rung.stopped} of {rung.reached} after epoch {rung.epoch}" for rung in found.rungs)
    text = f"stopped early: {where}; {found.epochs_saved:,} epochs saved"
    if not found.audited:
        return f"{text}. None was audited (trained to its end although it was to be stopped)"
    be = "is" if found.audited == 1 else "are"
    return (
        f"{text}. {found.audited} {be} audited (trained to the end although to be stopped), {found.false} of them on "
        f"the front: at most {found.bound:.0%} of the stops are false, at 95% confidence"
    )


def false_stop_bound(false: int, audits: int, confidence: float = 0.95) -> float:
    """Upper Clopper-Pearson bound on the share of stops that are false, when `false` of `audits` students were.

    Raises ValueError unless 0 <= false <= audits and 0 < confidence < 1.
    """
    from scipy.special import betaincinv  # type: ignore[import-untyped]  # takes as long to import as all else here

    if not (0 <= false <= audits and 0 < confidence < 1):
        raise ValueError(
            f"{false} false stops among {audits} audits at confidence {confidence}: there are 0 to {audits} false "
            "stops, and the confidence lies between 0 and 1."
        )
    return 1.0 if false == audits else float(betaincinv(false + 1, audits - false, confidence))
