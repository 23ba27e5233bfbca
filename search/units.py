"""Counts, sizes, accuracies, durations and commands: formatted for people, and parsed from the command line. No torch.

A student is within the limit that is typed as its own cost or accuracy is shown: costs are rounded up, accuracies down.
"""

import itertools
import math
import os
import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from pydantic import ByteSize, TypeAdapter, ValidationError

from fitnets.errors import InputError

_UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kMGT]?)")
_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) *([A-Za-z]*)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
CONSOLE, STARTED_BY = "fitnet-search", "FITNET_STARTED_BY"  # a command, and the variable that it sets to its name


def format_count(count: float) -> str:
    """A count in three digits, rounded up: 762, 7.4k, 862k, 30.1M."""
    number, prefix = _scaled(count)
    return f"{number}{prefix}"


def format_bytes(size: float) -> str:
    """A size in three digits, rounded up: 762 bytes, 35 MB, 1.2 GB (of 1,000)."""
    number, prefix = _scaled(size)
    return f"{number} {prefix}B" if prefix else f"{number} bytes"


def format_number(value: float | Decimal, digits: int = 3) -> str:
    """A positive number, rounded up to `digits` digits, without an exponent: 0.0314, 12, 1240."""
    exact = Decimal(str(value))
    return _plain(_rounded(exact, exact.adjusted() - digits + 1, ROUND_CEILING)) if exact.is_finite() else str(value)


def format_accuracy(share: float) -> str:
    """A share in percent, rounded down: 92.61%."""
    exact = Decimal(str(share))
    return f"{_rounded(100 * exact, -2, ROUND_FLOOR):.2f}%" if exact.is_finite() else f"{share}%"


def rounded_up(value: float | Decimal, places: int) -> float:
    """The number, rounded up to this many decimal places."""
    return float(_rounded(Decimal(str(value)), -places, ROUND_CEILING))


def rounded_down(value: float | Decimal, places: int) -> float:
    """The number, rounded down to this many decimal places."""
    return float(_rounded(Decimal(str(value)), -places, ROUND_FLOOR))


def _scaled(value: float) -> tuple[str, str]:
    """Three significant digits, rounded up, and the prefix of their unit; whole numbers below 1,000."""
    exact = Decimal(str(value))
    if not exact.is_finite():
        return str(value), ""
    whole = _rounded(exact, max(0, exact.adjusted() - 2), ROUND_CEILING)
    prefix = next(prefix for prefix, unit in reversed(_UNITS.items()) if abs(whole) >= unit or unit == 1)
    return _plain(whole / _UNITS[prefix]), prefix


def _rounded(value: Decimal, exponent: int, rounding: str) -> Decimal:
    """The nearest multiple of 10 to the power `exponent` in the direction `rounding`."""
    return value.quantize(Decimal(1).scaleb(exponent), rounding)


def _plain(value: Decimal) -> str:
    """A number without an exponent and without zeros at its end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def typed_count(count: int) -> str:
    """A count as it is typed, exactly: 762, 250k, 7.391k."""
    prefix = next(prefix for prefix, unit in reversed(_UNITS.items()) if count >= unit or unit == 1)
    return f"{_plain(Decimal(count) / _UNITS[prefix])}{prefix}"


def typed_bytes(size: int) -> str:
    """A size as it is typed, exactly: 64KiB, 2.3MB, 7.391kB, 762B."""
    if size >= 1024 and size % 1024 == 0:
        return f"{size // 1024}KiB" if size % 1024**2 else f"{size // 1024**2}MiB"
    return f"{typed_count(size)}B"


def typed_accuracy(share: float) -> str:
    """An accuracy as it is typed, exactly: 97.5%; below 1%, as a fraction."""
    exact = Decimal(str(share))
    return f"{_plain(100 * exact)}%" if exact >= Decimal("0.01") else _plain(exact)


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
    match = _COUNT.fullmatch(text.replace(",", "") if _GROUPED.fullmatch(text) else text)
    value = Decimal(match[1]) * _UNITS[match[2]] if match else Decimal(0)
    if value < 1 or value != int(value):
        meant = _meant_count(text)
        raise InputError(
            f"`{option}` is `{text}`, but a count is written as 250k, 0.25M, 30M or 250000"
            + (f": did you mean {meant}?" if meant else ".")
        )
    return int(value)


def _meant_count(text: str) -> str:
    """The count that was probably meant by a text that is none; empty where that cannot be said."""
    parts = re.fullmatch(r"([0-9]+(?:[.,][0-9]+)?) *([kKmMgG]?)", text.strip())
    if parts is None or not float(number := parts[1].replace(",", ".")):
        return ""
    prefix = parts[2].lower().replace("m", "M").replace("g", "G")
    prefixes = [prefix] if prefix or "." not in number else ["k", "M"]
    return " or ".join(f"{number}{p}" for p in prefixes if Decimal(number) * _UNITS[p] % 1 == 0)


def parse_number(text: str | None, option: str, unit: str) -> float | None:
    """A positive number, with or without its unit behind it. Raises InputError, which names both, otherwise."""
    if text is None:
        return None
    number = text.strip().removesuffix(unit).strip()
    if not _NUMBER.fullmatch(number) or not 0 < float(number) < math.inf:
        raise InputError(f"`{option}` is `{text}`, but it is a number of {unit} above 0, as 12.5.")
    return float(number)


def parse_accuracy(text: str | None, option: str) -> float | None:
    """`0.97` or `97%`, as a fraction. Raises InputError, which names `option` and what may be meant, otherwise."""
    if text is None:
        return None
    plain = text.strip()
    percent = plain.endswith("%")
    number = plain.removesuffix("%").strip()
    value = Decimal(number) if _NUMBER.fullmatch(number) else Decimal(-1)
    if percent and 1 <= value <= 100:
        return float(value / 100)
    if not percent and 0 <= value <= 1:
        return float(value)
    meant, number = "", number.replace(",", ".")
    if _NUMBER.fullmatch(number) and 0 < float(number) <= 100 and not 1 < float(number) < 2:
        share = Decimal(number) / (1 if float(number) <= 1 else 100)
        meant = f": did you mean {_plain(share)}?"
    raise InputError(f"`{option}` is `{text}`, but an accuracy is written as 0.97 or 97%{meant or '.'}")


def parse_bytes(text: str | None, option: str) -> int | None:
    """`20GB`, `500MB`, `1.5GiB`, as bytes. Raises InputError, which names `option`, otherwise."""
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    try:  # of the unit alone: 8.03kB as a float times 1,000 is 8,029.99
        unit = int(TypeAdapter(ByteSize).validate_python(f"1{match[2]}")) if match else 0
        value = int(Decimal(match[1]) * unit) if match else 0
    except ValidationError:
        value = 0
    if value < 1:
        raise InputError(f"`{option}` is `{text}`, but a size is written as 20GB, 500MB or 1.5GiB.")
    return value


def command(name: str) -> list[str]:
    """The words with which the user starts a command of `search`, as this process was started."""
    by_console = os.environ.get(STARTED_BY) == CONSOLE
    return [CONSOLE, name.replace("_", "-")] if by_console else ["python", "-m", f"search.{name}"]
