"""Numbers and sentences as people read them: the same in charts, tables and cards."""

import math
import re
import time
from collections.abc import Sequence

from search.read.budget import Broken
from search.read.candidates import Candidate
from search.read.tradeoffs import Axis

LIMITS = {
    "max_params": "parameters",
    "max_macs": "multiply-adds",
    "max_size_kb": "size",
    "max_latency_ms": "latency",
    "min_accuracy": "accuracy",
}
TITLES: dict[Axis, str] = {
    "parameters": "Parameters",
    "multiply-adds": "Multiply-adds for one image",
    "size": "Size of the float32 weights",
    "memory": "Peak activation memory for one image",
    "latency": "Milliseconds for one image, one CPU thread",
}


def count(value: float) -> str:
    """Three digits and a unit: 762, 7.39 k, 862 k, 30.1 M."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= unit * 0.9995:
            return f"{value / unit:.3g}{name}" if abs(value) < unit * 999.5 else f"{value / unit:.0f}{name}"
    return f"{value:.0f}"


def plain(value: float) -> str:
    """A number of any size in three digits: 0.002, 1.5, 30 k."""
    return count(value) if value >= 1000 else f"{value:.3g}"


def size(value: float) -> str:
    """Bytes: 34.1 kB, 3.1 MB (of 1,000)."""
    text = count(value)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def cost(value: float, axis: Axis) -> str:
    """A cost in its own unit."""
    if axis == "latency":
        return milliseconds(value)
    return size(value) if axis in ("size", "memory") else count(value)


def milliseconds(value: float) -> str:
    """0.31 ms, 12 ms."""
    return f"{plain(value)} ms"


def percent(share: float) -> str:
    """An accuracy: 92.61 %."""
    return f"{100 * share:.2f} %"


def points(difference: float) -> str:
    """A difference of accuracies: +0.30 points."""
    return f"{100 * difference:+.2f} points".replace("-", "\N{MINUS SIGN}")


def times(factor: float) -> str:
    """A factor: 1.8x, 0.62x, 14x, with the proper sign."""
    return (f"{factor:.2g}" if factor < 9.95 else f"{factor:,.0f}") + "\N{MULTIPLICATION SIGN}"


def ago(moment: float | None, now: float | None = None) -> str:
    """How long since a moment."""
    if moment is None:
        return "at an unknown time"
    return f"{span(max(0.0, (now or time.time()) - moment))} ago"


def span(seconds: float) -> str:
    """A duration: 12 s, 3 min, 5.1 h, 4 days."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (129600, 3600, "h")):
        if seconds < limit:
            value = seconds / unit
            return f"{value:.1f} {name}" if name == "h" and value < 10 else f"{value:.0f} {name}"
    return f"{seconds / 86400:.0f} days"


def plural(number: int, noun: str) -> str:
    """1 student, 3,920 students."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def limit(broken: Broken) -> str:
    """A broken limit: 277 M multiply-adds, over the limit of 250 M."""
    if broken.value is None:
        return f"{LIMITS[broken.limit]} not measured, the limit is {allowed(broken.limit, broken.allowed)}"
    value, limit = allowed(broken.limit, broken.value), allowed(broken.limit, broken.allowed)
    if value == limit:  # rounded to the same: every digit
        value, limit = exactly(broken.limit, broken.value), exactly(broken.limit, broken.allowed)
    over = "below" if broken.limit == "min_accuracy" else "over the limit of"
    return f"{value} {LIMITS[broken.limit]}, {over} {limit}"


def allowed(limit: str, value: float) -> str:
    """A limit's value in its own unit."""
    if limit == "min_accuracy":
        return percent(value)
    if limit == "max_latency_ms":
        return milliseconds(value)
    return size(1000 * value) if limit == "max_size_kb" else count(value)


def exactly(limit: str, value: float) -> str:
    """The same with every digit."""
    if limit == "min_accuracy":
        return f"{100 * value:.9g} %"
    return f"{value:,.9g}" + {"max_latency_ms": " ms", "max_size_kb": " kB"}.get(limit, "")


def escaped(text: str) -> str:
    """Other people's text for where Markdown is drawn: it fetches no picture and formats nothing."""
    return re.sub(r"([\\`*_\[\]$~<>])", r"\\\1", text)


def named(candidate: Candidate) -> str:
    """`title` for where Markdown is drawn."""
    return escaped(title(candidate))


def title(candidate: Candidate) -> str:
    """Student 23, or its designer's name for it."""
    return f"Student {candidate.trial}" + (f" ({candidate.name})" if candidate.name else "")


def epoch(c: Candidate) -> str:
    """How far a running student is."""
    if not c.reports:
        return "no epoch finished yet"
    last = c.reports[-1]
    return f"{last.stage}, epoch {last.epoch} of {last.epochs}"


def stages(widths: Sequence[Sequence[int]]) -> str:
    """Widths stage by stage: 16 16 16 | 32 32."""
    return " | ".join(" ".join(map(str, stage)) for stage in widths)


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def how(c: Candidate) -> str:
    """A student's training in short."""
    recipe = c.recipe
    if recipe.distill.lambda_start == recipe.distill.lambda_end == 0:
        return "labels alone" if recipe.hint is None else "hints, then labels"
    return (
        "distillation without hints"
        if recipe.hint is None
        else f"hints, layer {recipe.hint.hint} to {recipe.hint.guided}"
    )
