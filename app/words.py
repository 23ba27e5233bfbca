"""Values and sentences as the pages write them: the same in charts, tables and cards. See search.units too."""

import html
import re
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from search.read.budget import FOOTPRINT, Broken, Budget
from search.read.candidates import Candidate
from search.read.evidence.statistics import Interval
from search.read.tradeoffs import Axis
from search.units import format_accuracy, format_bytes, format_count, format_duration, format_number

LIMITS = {
    "max_params": "parameters",
    "max_macs": "multiply-adds",
    "max_size_kb": "size",
    "max_memory": "peak memory",
    "max_int8_memory": "int8 peak memory",
    "max_int8_size": "int8 size",
    "max_latency_ms": "latency",
    "min_accuracy": "accuracy",
}
UNITS = {"max_latency_ms": " ms", "max_size_kb": " kB", **dict.fromkeys(FOOTPRINT, " bytes")}
STATES = {"pruned": "stopped early"}
"""States whose names need other words."""
TITLES: dict[Axis, str] = {
    "parameters": "Parameters",
    "multiply-adds": "Multiply-adds for one image",
    "size": "Size of the float32 weights",
    "int8 size": "Size of the int8 weights",
    "memory": "Peak activation memory for one image, float32",
    "int8 memory": "Peak activation memory for one image, int8",
    "latency": "Milliseconds for one image, one CPU thread",
}


def plain(value: float) -> str:
    """A number of any magnitude in three digits: 0.002, 1.5, 30k."""
    return format_count(value) if value >= 1000 else f"{value:.3g}"


def cost(value: float, axis: Axis) -> str:
    """A cost in its own unit."""
    if axis == "latency":
        return milliseconds(value)
    return format_bytes(value) if axis in ("size", "int8 size", "memory", "int8 memory") else format_count(value)


def milliseconds(value: float) -> str:
    """0.31 ms, 12 ms; rounded up."""
    return f"{format_number(value)} ms"


def milliseconds_exactly(value: float) -> str:
    """0.3125 ms: a limit, as it was typed."""
    return f"{Decimal(str(value)):f} ms"


def percent(share: float) -> str:
    """An accuracy, rounded down: 92.61%."""
    return format_accuracy(share)


def points(difference: float) -> str:
    """A difference of accuracies: +0.30 points."""
    return f"{100 * difference:+.2f} points".replace("-", "\N{MINUS SIGN}")


def times(factor: float) -> str:
    """A factor: 1.8x, 0.62x, 14x, with the proper sign."""
    return (f"{factor:.2g}" if factor < 9.95 else f"{factor:,.0f}") + "\N{MULTIPLICATION SIGN}"


def state(name: str) -> str:
    """A trial's state: stopped early, complete, running."""
    return STATES.get(name, name)


def stopped(c: Candidate) -> str:
    """Why a stopped student has no result."""
    text = f"It was stopped after epoch {c.stopped_at} of {c.recipe.stage2.epochs}"
    decided = next((arrival for arrival in c.rungs if not arrival.goes_on), None)
    if decided is None:
        return f"{text}, so it has no final accuracy."
    return (
        f"{text} with {percent(decided.accuracy)}: of the {decided.peers} students that had come so far, "
        f"{decided.better} were dominated by fewer others. It has no final accuracy."
    )


def ago(moment: float | None, now: float | None = None) -> str:
    """How long ago a moment was, in seconds since 1970: 3 min 20 s ago."""
    if moment is None:
        return "at an unknown time"
    return f"{format_duration(max(0.0, (now or time.time()) - moment))} ago"


def plural(number: int, noun: str) -> str:
    """1 student, 3,920 students."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def limit(broken: Broken) -> str:
    """A broken limit: 277M multiply-adds, over the limit of 250M."""
    if broken.value is None:
        return f"{LIMITS[broken.limit]} not measured, the limit is {allowed(broken.limit, broken.allowed)}"
    value, limit = allowed(broken.limit, broken.value), allowed(broken.limit, broken.allowed)
    hair = 1e-4 if broken.limit == "min_accuracy" else 0.01 * broken.allowed
    if abs(broken.value - broken.allowed) < hair:  # the digits that are shown would exaggerate it, or hide it
        value, limit = exactly(broken.limit, broken.value), exactly(broken.limit, broken.allowed)
    over = "below" if broken.limit == "min_accuracy" else "over the limit of"
    return f"{value} {LIMITS[broken.limit]}, {over} {limit}"


def limits(broken: Sequence[Broken]) -> str:
    """The limits that a student breaks, one after the other."""
    return listed([limit(each) for each in broken])


def between(interval: Interval | None) -> str:
    """An interval of accuracies, to stand behind one: ` (97.4 to 99.5)`; empty where it is not known."""
    return "" if interval is None else f" ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def budget(limits: Budget) -> str:
    """A budget: 5k parameters and 150k multiply-adds, at least 97.00% accuracy; empty without limits."""
    wanted = limits.model_dump(exclude_none=True)
    least = wanted.pop("min_accuracy", None)
    parts = [f"{allowed(name, value)}{_noun(name)}" for name, value in wanted.items()]
    return ", ".join([*([listed(parts)] if parts else []), *([f"at least {percent(least)}"] if least else [])])


def _noun(limit: str) -> str:
    return f" {LIMITS[limit]}" if limit in ("max_params", "max_macs") else f" of {LIMITS[limit]}"


def beside(teachers: Any, mine: float) -> str:
    """A student's cost beside its teacher's; empty where that is not known."""
    if not isinstance(teachers, int | float) or teachers <= 0:
        return ""
    factor = teachers / mine
    if 0.95 < factor < 1.05:
        return "the same as the teacher"
    text = f"{times(factor)} smaller" if factor >= 1 else f"{times(1 / factor)} larger"
    return f"{text} than the teacher"


def allowed(limit: str, value: float) -> str:
    """A value of a limited quantity in its own unit: 250M, 34.1 kB, 92.61%."""
    if limit == "min_accuracy":
        return percent(value)
    if limit == "max_latency_ms":
        return milliseconds(value)
    if limit in FOOTPRINT:
        return format_bytes(value)
    return format_bytes(1000 * value) if limit == "max_size_kb" else format_count(value)


def exactly(limit: str, value: float) -> str:
    """The same with nine digits, where three would not show that the limit is broken."""
    if limit == "min_accuracy":
        return f"{100 * value:.9g}%"
    return f"{value:,.9g}" + UNITS.get(limit, "")


def escaped(text: str) -> str:
    """Text from outside, safe in Markdown: it is shown as it is written, and fetches no picture."""
    return re.sub(r"([\\`*_\[\]$~<>])", r"\\\1", text)


def html_escaped(text: str) -> str:
    """Text from outside, safe in a chart: Plotly interprets some HTML."""
    return html.escape(text, quote=False)


def named(candidate: Candidate) -> str:
    """`title`, safe in Markdown."""
    return escaped(title(candidate))


def title(candidate: Candidate) -> str:
    """Student 23, with the name that its designer gave it, if any: Student 23 (wide)."""
    return f"Student {candidate.trial}" + (f" ({candidate.name})" if candidate.name else "")


def epoch(c: Candidate) -> str:
    """How far the training of a running student is: stage 1, epoch 2 of 3."""
    if not c.reports:
        return "no epoch finished yet"
    last = c.reports[-1]
    return f"{last.stage}, epoch {last.epoch} of {last.epochs}"


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def how(c: Candidate) -> str:
    """How a student was trained, in a few words."""
    recipe = c.recipe
    if recipe.distill.lambda_start == recipe.distill.lambda_end == 0:
        return "labels alone" if recipe.hint is None else "hints, then labels"
    return (
        "distillation without hints"
        if recipe.hint is None
        else f"hints, layer {recipe.hint.hint} to {recipe.hint.guided}"
    )
