"""Our results beside the paper's: the rows as values, and as a table for people. No torch."""

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from fitnets.nets.cost import cost
from fitnets.values.base import Value
from fitnets.values.net import Net
from search.paper.experiments import Arm, Experiment
from search.read.published import Published, published
from search.units import format_count


class Measured(Value):
    """A net's accuracy and speed on the test images."""

    test_accuracy: float
    seconds: float
    """Of the forward passes over all test images, the median of a few repetitions."""


class Seed(Value):
    """One run of a row."""

    test: Measured | None
    """None for a training that diverged."""
    val_accuracy: float | None
    train_seconds: float


class Row(Value):
    """One line of the table: a teacher, or a student by one method and recipe over its seeds."""

    name: str
    method: str
    family: str
    layers: int
    weights: int
    macs: int
    test_errors: tuple[float, ...]
    """In percent, one for each seed; a training that diverged counts as guessing."""
    val_errors: tuple[float, ...]
    diverged: int
    speedup: float | None
    """The teacher's seconds for the test images divided by this net's, on this machine."""
    compression: float
    """The teacher's number of weights divided by this net's."""
    train_seconds: float
    """The mean over seeds."""
    paper_error: float | None
    paper_params: str | None
    paper_macs: str | None
    paper_speedup: float | None
    paper_compression: float | None


class Comparison(Value):
    """One table, with the context that is needed to read it."""

    experiment: Experiment
    rows: tuple[Row, ...]
    differs: tuple[str, ...]
    """The experiment's own `differs`, and how the images themselves differ from the paper's."""
    train_images: int
    test_images: int
    machine: str
    versions: dict[str, str]
    made: str


def printed(arm_name: str, method: str) -> Published | None:
    """The paper's result for a net and a method; None where it gives none."""
    rows = published(arm_name.split("/")[0])
    return next((row for row in rows if (row.of.name, row.method) == (arm_name, method)), None)


def row(name: str, method: str, family: str, net: Net, seeds: Sequence[Seed], teacher: Net, seconds: float) -> Row:
    """A row from its seeds; `seconds` are those of the teacher's pass over the test images."""
    paper, own, guess = printed(name, method), cost(net), 1 / net.classes
    passes = [seed.test.seconds for seed in seeds if seed.test is not None]
    return Row(
        name=name,
        method=method,
        family=family,
        layers=net.depth,
        weights=own.weights,
        macs=own.macs,
        test_errors=tuple(_percent(seed.test.test_accuracy if seed.test else guess) for seed in seeds),
        val_errors=tuple(_percent(guess if seed.val_accuracy is None else seed.val_accuracy) for seed in seeds),
        diverged=sum(seed.test is None for seed in seeds),
        speedup=seconds / statistics.median(passes) if passes else None,
        compression=cost(teacher).weights / own.weights,
        train_seconds=statistics.fmean(seed.train_seconds for seed in seeds),
        paper_error=_percent(paper.test_accuracy) if paper else None,
        paper_params=f"~{paper.printed_params.text}" if paper and paper.printed_params else None,
        paper_macs=f"~{paper.printed_macs.text}" if paper and paper.printed_macs else None,
        paper_speedup=paper.speedup if paper else None,
        paper_compression=paper.compression if paper else None,
    )


def _percent(accuracy: float) -> float:
    return round(100 * (1 - accuracy), 4)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds: `0.62 ± 0.03`."""
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{deviation}"


def arms_of(experiment: Experiment) -> list[tuple[Arm, list[int]]]:
    """Every arm with the indices of its runs."""
    runs = experiment.runs()
    return [(arm, [n for n, run in enumerate(runs) if run[0] is arm]) for arm in experiment.arms]


def show(comparison: Comparison, console: Console) -> None:
    """Print the table and its context. Columns without any value are left out."""
    experiment = comparison.experiment
    several = len({arm.family for arm in experiment.arms}) > 1
    columns: dict[str, list[str]] = {
        "net": [one.name.removeprefix(f"{experiment.system}/") for one in comparison.rows],
        "method": [f"{one.method}, {one.family}" if several else one.method for one in comparison.rows],
        "params": [format_count(one.weights) for one in comparison.rows],
        "mult-adds": [format_count(one.macs) for one in comparison.rows],
        "error %": [spread(one.test_errors) for one in comparison.rows],
        "paper": [_cell(one.paper_error) for one in comparison.rows],
        "diverged": [str(one.diverged or "") for one in comparison.rows],
        "speed-up": [_cell(one.speedup) for one in comparison.rows],
        "paper's": [_cell(one.paper_speedup) for one in comparison.rows],
        "smaller": [_cell(one.compression) for one in comparison.rows],
        "paper's ": [_cell(one.paper_compression) for one in comparison.rows],
    }
    table = Table(
        title=f"{experiment.system}, {experiment.scale}: test error over {experiment.seeds} seed(s), mean ± deviation",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    filled = {heading: cells for heading, cells in columns.items() if any(cells)}
    for heading in filled:
        table.add_column(heading, justify="left" if heading in ("net", "method") else "right")
    for cells in zip(*filled.values(), strict=True):
        table.add_row(*cells)
    console.print(table)
    console.print(
        f"{comparison.train_images:,} training and {comparison.test_images:,} test images; {comparison.machine}; "
        f"torch {comparison.versions['torch']}; {comparison.made}",
        soft_wrap=True,
    )
    console.print("What differs from the paper, and what is taken where it contradicts itself:")
    for difference in comparison.differs:
        console.print(f"  - {difference}", markup=False, soft_wrap=True)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
