"""Counts, sizes and durations, as people read them. No torch."""

import itertools


def short(count: int) -> str:
    """A count in three digits: 7.39k, 862k, 30.1M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit * 0.9995:
            return f"{count / unit:.3g}{name}"
    return str(count)


def sized(size: float) -> str:
    """Bytes for people: 1.2 GB, 35 MB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:,.3g} {name}"
    return f"{size:.0f} bytes"


def duration(seconds: float) -> str:
    """Seconds for people: 8 s, 3 min 20 s, 5 h 10 min, 3 d 4 h."""
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


def stages_text(stages: tuple[tuple[int, ...], ...]) -> str:
    """Widths stage by stage, repeated ones counted: `16x3 | 32x3 | 48x2 64`."""
    groups = ([(width, len(list(run))) for width, run in itertools.groupby(widths)] for widths in stages)
    return " | ".join(" ".join(f"{width}x{n}" if n > 1 else f"{width}" for width, n in group) for group in groups)
