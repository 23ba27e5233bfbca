"""Paths and errors as text that is safe to print: file names and error messages may be untrusted."""

from collections.abc import Sequence
from pathlib import Path

from fitnets.predict import printable

MOST_NAMED = 20


def shown(path: Path) -> str:
    """A path as printable text."""
    return printable(str(path))


def one_line(error: Exception | None) -> str:
    """The message of an error, in one printable line."""
    return printable(" ".join(str(error).split()))


def listed(items: Sequence[str], most: int = MOST_NAMED) -> str:
    """The first items, and how many more there are."""
    named, more = ", ".join(items[:most]), len(items) - most
    return f"{named} and {more:,} more" if more > 0 else named


def counted(number: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else f"{noun}{'es' if noun.endswith('s') else 's'}"
    return f"{number:,} {noun if number == 1 else plural}"
