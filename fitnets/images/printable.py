"""Paths and errors as text that is safe to print: file names and error messages may be untrusted."""

from collections.abc import Sequence
from pathlib import Path

MOST_NAMED = 20


def shown(path: Path) -> str:
    """A path as printable text."""
    return _printable(str(path))


def one_line(error: Exception | None) -> str:
    """The message of an error, in one printable line."""
    return _printable(" ".join(str(error).split()))


def listed(items: Sequence[str], most: int = MOST_NAMED) -> str:
    """The first items, and how many more there are."""
    named, more = ", ".join(items[:most]), len(items) - most
    return f"{named} and {more:,} more" if more > 0 else named


def counted(number: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else f"{noun}{'es' if noun.endswith('s') else 's'}"
    return f"{number:,} {noun if number == 1 else plural}"


def _printable(text: str) -> str:
    """The text with every unprintable character, such as a terminal control, written as its code."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
