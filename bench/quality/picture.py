"""The curves of `bench.quality` as a picture: hypervolume over the budget, a column for each table."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COLOURS = ("#999999", "#56B4E9", "#B85C00", "#000000", "#CC79A7", "#0072B2", "#009E73")  # for the colour-blind, too
Floats = NDArray[np.float64]


def draw(lines: Mapping[tuple[str, str, str], Floats], grid: Floats, spent: Mapping[str, str], path: Path) -> None:
    """Write the picture: `lines[table, spent, arm]` is (seeds, grid); bands are one standard error.

    Raises SystemExit without matplotlib, which comes with the extra `paper`.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("--picture needs matplotlib, which is not installed: pip install '.[paper]'.") from None
    tables = list(dict.fromkeys(name for name, _, _ in lines))
    arms = list(dict.fromkeys(arm for _, _, arm in lines))
    figure = Figure(figsize=(3.2 * len(tables), 2.8 * len(spent) + 0.8), layout="constrained", dpi=150)
    panels = figure.subplots(len(spent), len(tables), squeeze=False)
    for row, (key, label) in zip(panels, spent.items(), strict=True):
        for axes, name in zip(row, tables, strict=True):
            for colour, arm in zip(COLOURS, arms, strict=True):
                values = lines[name, key, arm]
                mean, error = values.mean(0), values.std(0) / max(1, len(values) - 1) ** 0.5
                axes.plot(grid, mean, color=colour, linewidth=1.3, label=arm)
                axes.fill_between(grid, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)
            axes.set_title(name, fontsize=9)
            axes.set_xlabel(f"{label}, in full trainings", fontsize=7)
            axes.grid(alpha=0.3)
        row[0].set_ylabel("hypervolume, share of reachable", fontsize=8)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path)
