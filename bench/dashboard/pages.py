"""The pages with many trials, in a real browser: seconds until they are drawn, and what an open page costs.

    python -m bench.dashboard [--trials 5000] [--live]

A study of that many trials is written through Optuna into the default storage, each with 35 epochs' reports as in a
real study (`bench.synthetic`). `python -m app` serves it; chromium, without a window or a GPU, opens it with an empty
cache. A page counts as drawn two frames after its chart has its points. `--live` adds a real study
(`bench.dashboard.live`). Exits with 1 if a limit is exceeded.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import optuna

from app.widgets.live import REFRESH_SECONDS
from bench.dashboard import live
from bench.dashboard.browser import DRAWN, FRONT, Served, chromium
from bench.hardware import table, versions
from bench.synthetic import CLASSES, FRAME, REPORTS, STUDY, quick_history
from fitnets.config import Trained
from fitnets.nets.cost import cost
from search.driver.registration import register
from search.storage.address import storage_url
from search.storage.writer import open_storage

TIMES = 5
BUDGETS = (20, 30, 50, 80, 120, 200, 300, 500)  # in thousands of parameters; each one is a change
REFRESHES = 6  # of an idle page in one measurement
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
COUNTED = "/[0-9,]{3,} (trials|trained)/.test(document.body?.innerText ?? '')"
MATTERS = "[...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot.data?.length > 0).length >= 5"
HEADER = ("what", "median", "min to max", "n", "limit", "")


class Row(NamedTuple):
    """A measurement and its limit, which applies to the median or to every value."""

    what: str
    values: Sequence[float]
    unit: str
    limit: float | None = None
    each: bool = False

    @property
    def holds(self) -> bool:
        """Whether the values are within the limit."""
        value = max(self.values) if self.each else statistics.median(self.values)
        return self.limit is None or value <= self.limit

    def cells(self) -> list[str]:
        """The row of the table."""
        middle, low, high = (f"{f(self.values):.3g}" for f in (statistics.median, min, max))
        limit = "" if self.limit is None else f"{self.limit:g} {self.unit}" + (", each" if self.each else "")
        word = "" if self.limit is None else "kept" if self.holds else "**broken**"
        return [self.what, f"{middle} {self.unit}", f"{low} to {high}", str(len(self.values)), limit, word]


def filled(runs: Path, trials: int) -> None:
    """Write a study of that many finished trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    teacher = STUDY.resolved_teacher(FRAME.input, FRAME.classes)
    assert isinstance(teacher, Trained)
    classes = CLASSES.model_dump(mode="json")
    about = {
        "teacher": {"val_accuracy": 0.9, "classes": classes, **cost(teacher.net).model_dump(mode="json")},
        "images": {"classes": [str(number) for number in range(FRAME.classes)]},
    }
    study = STUDY.changed(trials=trials)
    storage = open_storage(storage_url(runs, None))
    register(study, storage, about)
    loaded = optuna.load_study(study_name=study.name, storage=storage)
    reports = [report.model_dump(mode="json", exclude_none=True) for report in REPORTS]
    quick_history(loaded, storage, trials, {"reports": reports, "classes": classes})


@contextmanager
def visited(browser: Any, url: str) -> Iterator[Any]:
    """A visitor whose browser has nothing cached."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(url, wait_until="commit")
    yield page
    context.close()


def drawn(page: Any, condition: str = DRAWN) -> float:
    """Wait until the condition holds and is painted; returns the time."""
    page.wait_for_function(condition)
    page.evaluate(PAINTED)
    return time.perf_counter()


def first_visits(browser: Any, runs: Path) -> tuple[list[float], list[float]]:
    """Seconds until the first visitor of a newly started server sees the counts, and until the chart."""
    counts, charts = [], []
    for _ in range(TIMES):
        with Served(runs) as served:
            began = time.perf_counter()
            with visited(browser, served.url) as page:
                counts.append(drawn(page, COUNTED) - began)
                charts.append(drawn(page) - began)
    return counts, charts


def warm_opens(browser: Any, url: str) -> list[float]:
    """Seconds until a new visitor sees the chart."""
    found = []
    for _ in range(TIMES):
        began = time.perf_counter()
        with visited(browser, url) as page:
            found.append(drawn(page) - began)
    return found


def first_matters(browser: Any, runs: Path) -> tuple[list[float], list[float]]:
    """Seconds until a new server's first visitor, whose home page is drawn, sees the charts of What matters.

    They are there once importances, scatters and the lines of all settings are drawn. The second list is what the
    server took of that, in seconds of processor time; the rest is the browser's.
    """
    found, servers = [], []
    for _ in range(TIMES):
        with Served(runs) as served, visited(browser, served.url) as page:
            drawn(page)
            page.wait_for_timeout(1000)  # what the home page still sends is not of this page
            before, began = served.cpu_seconds(), time.perf_counter()
            page.get_by_role("link", name="What matters", exact=True).click()
            found.append(drawn(page, MATTERS) - began)
            servers.append(served.cpu_seconds() - before)
    return found, servers


def budget_changes(page: Any) -> list[float]:
    """Seconds from Enter in the budget's field to the chart with the new limit."""
    found = []
    for thousands in BUDGETS:
        field = page.get_by_label("Parameters, at most")
        field.fill(f"{thousands}k")
        near = f"Math.abs(shape.x0 - {1000 * thousands}) < 1"
        limit = f"document.querySelector('{FRONT}')?.layout?.shapes?.some(shape => {near})"
        began = time.perf_counter()
        field.press("Enter")
        found.append(drawn(page, f"{limit} && {DRAWN}") - began)
        page.wait_for_timeout(1000)
    return found


def idle_costs(page: Any, served: Served) -> list[float]:
    """Milliseconds of the server's processor time for each refresh of a page over a study that does not change.

    With an empty page, it is what the server takes without any visitor.
    """
    page.wait_for_timeout(2000 * REFRESH_SECONDS)
    found = []
    for _ in range(TIMES):
        before = served.cpu_seconds()
        page.wait_for_timeout(1000 * REFRESH_SECONDS * REFRESHES)
        found.append(1e3 * (served.cpu_seconds() - before) / REFRESHES)
    return found


def still(trials: int) -> list[Row]:
    """The measurements over a study that does not change."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        runs = Path(folder)
        filled(runs, trials)
        print(f"{trials:,} trials are written", flush=True)
        counts, charts = first_visits(browser, runs)
        matters, its_server = first_matters(browser, runs)
        with Served(runs) as served:
            with visited(browser, served.url) as page:
                drawn(page)
            opens = warm_opens(browser, served.url)
            with visited(browser, served.url) as page:
                drawn(page)
                changes = budget_changes(page)
                open_costs = idle_costs(page, served)
            with visited(browser, "about:blank") as page:
                alone = statistics.median(idle_costs(page, served))
    return [
        Row("budget change to redrawn chart", changes, "s", 1.0),
        Row("home page, warm server: open to chart", opens, "s", 3.5),
        Row("idle refresh: the server's CPU, more than without a visitor", [c - alone for c in open_costs], "ms", 30.0),
        Row("the server's CPU in that time, all in all", open_costs, "ms"),
        Row("first visit, cold server: to the counts", counts, "s"),
        Row("first visit, cold server: to the chart", charts, "s", 15.0),
        Row("What matters, its first visitor: to its charts", matters, "s", 5.0),
        Row("the server's CPU in that time", its_server, "s"),
    ]


def running(pairs: int) -> list[Row]:
    """The measurements during a study that trains."""
    late, closed, watched = live.measured(pairs, trials=12)
    more = [100 * (after.busy / before.busy - 1) for before, after in zip(closed, watched, strict=True)]
    clock = [100 * (after.wall / before.wall - 1) for before, after in zip(closed, watched, strict=True)]
    return [
        Row("a trial's end to its point in the open page", late, "s", 10.0, each=True),
        Row("the driver's own time for a trial, page closed", [1e3 * run.busy for run in closed], "ms"),
        Row("the same, page open", [1e3 * run.busy for run in watched], "ms"),
        Row("open against closed, run by run", more, "%", 20.0),
        Row("clock for a trial, browser on the same cores", clock, "%"),
    ]


def main() -> None:
    """Print the table; exits with 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--live", action="store_true", help="a real study too, with its page open and closed")
    parser.add_argument("--pairs", type=int, default=TIMES, help="runs of --live, with the page and without")
    arguments = parser.parse_args()
    rows = still(arguments.trials)
    print(table(HEADER, [row.cells() for row in rows]), flush=True)
    if arguments.live:
        rows += running(arguments.pairs)
    print(versions("streamlit", "plotly", "playwright"))
    print(table(HEADER, [row.cells() for row in rows]))
    sys.exit(0 if all(row.holds for row in rows) else 1)
