"""Counts, sizes, durations and commands: formatted for people, and parsed from the command line. No torch."""

import itertools
import math
import os
import re
from decimal import Decimal

from pydantic import ByteSize, TypeAdapter, ValidationError

from fitnets.errors import InputError

CONSOLE, STARTED_BY = "fitnet-search", "FITNET_STARTED_BY"  # a command, and the variable that it sets to its name
_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kM]?)")


def format_count(count: float) -> str:
    """A count in three digits: 762, 7.39k, 862k, 30.1M."""
    number, prefix = _scaled(count)
    return f"{number}{prefix}"


def format_bytes(size: float) -> str:
    """A size in three digits: 762 bytes, 35 MB, 1.2 GB (of 1,000)."""
    number, prefix = _scaled(size)
    return f"{number} {prefix}B" if prefix else f"{number} bytes"


def _scaled(value: float) -> tuple[str, str]:
    """Three significant digits, and the prefix of their unit."""
    for unit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit * 0.9995:
            return f"{value / unit:.3g}" if abs(value) < unit * 999.5 else f"{value / unit:,.0f}", prefix
    return f"{value:.0f}", ""


def format_duration(seconds: float) -> str:
    """A duration: 8 s, 3 min 20 s, 5 h 10 min, 3 d 4 h; `?` for a NaN or an infinity."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def format_stages(stages: tuple[tuple[int, ...], ...]) -> str:
    """Widths stage by stage, runs of equal ones as width x count: `16x3 | 32x3 | 48x2 64`."""
    groups = ([(width, len(list(run))) for width, run in itertools.groupby(widths)] for widths in stages)
    return " | ".join(" ".join(f"{width}x{n}" if n > 1 else f"{width}" for width, n in group) for group in groups)


def parse_count(text: str | None, option: str) -> int | None:
    """`250k`, `0.25M`, `30M` or a plain number, as an integer. Raises InputError, which names `option`, otherwise."""
    if text is None:
        return None
    match = _COUNT.fullmatch(text)
    value = Decimal(match[1]) * {"": 1, "k": 1000, "M": 1_000_000}[match[2]] if match else Decimal(0)
    if value < 1 or value != int(value):
        raise InputError(f"`{option}` is `{text}`, but a count is written as 250k, 0.25M, 30M or 250000.")
    return int(value)


def parse_bytes(text: str | None, option: str) -> int | None:
    """`20GB`, `500MB`, `1.5GiB`, as bytes. Raises InputError, which names `option`, otherwise."""
    if text is None:
        return None
    try:
        value = int(TypeAdapter(ByteSize).validate_python(text))
    except (ValidationError, OverflowError):
        value = 0
    if value < 1:
        raise InputError(f"`{option}` is `{text}`, but a size is written as 20GB, 500MB or 1.5GiB.")
    return value


def command(name: str) -> list[str]:
    """The words with which the user starts a command of `search`, as this process was started."""
    by_console = os.environ.get(STARTED_BY) == CONSOLE
    return [CONSOLE, name.replace("_", "-")] if by_console else ["python", "-m", f"search.{name}"]
