"""A study that trains with its page open, and closed: how late trials appear, and what that costs the driver.

Part of `python -m bench.dashboard --live`. The search runs in a process of its own, over Ray, with one crew of workers
for all runs. The browser runs on the same machine, which is the worst case.
"""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import optuna

from bench.dashboard.browser import FRONT, Served, chromium
from fitnets.config import Recipe
from fitnets.disk.store import Store
from search.driver.loop import Search
from search.driver.registration import register
from search.read.budget import finished
from search.read.reader import read
from search.storage.address import storage_url
from search.storage.writer import open_storage
from search.study import Study, find_study
from search.workers.crew import RayWorkers
from search.workers.facts import Facts, TeacherFacts
from search.workers.protocol import Event

# When each student was first seen as a finished point of the chart, in seconds since 1970.
WATCH = f"""
window.seen = {{}};
setInterval(() => {{
  for (const trace of document.querySelector('{FRONT}')?.data ?? [])
    if (trace.name !== 'In training')
      for (const [trial] of trace.customdata ?? []) window.seen[trial] ??= Date.now() / 1000;
}}, 50);
"""


class Run(NamedTuple):
    """The time that one study took."""

    busy: float
    """The driver's seconds for one trial, without waiting: ask, cost, write, tell."""
    wall: float
    """Wall-clock seconds for one trial."""


class Clocked:
    """Workers (see `search.workers.protocol.Workers`) that measure how long the driver is busy between two waits."""

    def __init__(self, crew: RayWorkers):
        self.crew, self.slots = crew, crew.slots
        self.busy, self._left = 0.0, time.perf_counter()

    def free(self) -> int:
        """How many slots are idle."""
        return self.crew.free()

    def submit(self, number: int, recipe: Recipe) -> None:
        """Start trial `number`."""
        self.crew.submit(number, recipe)

    def stop(self, number: int) -> None:
        """End trial `number` after its current epoch."""
        self.crew.stop(number)

    def wait(self, seconds: float) -> list[Event]:
        """The next events; waiting for them does not count as busy."""
        self.busy += time.perf_counter() - self._left
        found = self.crew.wait(seconds)
        self._left = time.perf_counter()
        return found

    def need(self, slots: int) -> None:
        """How many slots the search can use."""
        self.crew.need(slots)

    def forget(self, number: int, recipe: Recipe) -> None:
        """Trial `number` is over and stored."""
        self.crew.forget(number, recipe)


_crew: tuple[RayWorkers, Facts, TeacherFacts]  # in the driver's process, for all runs


def _hire(study: Study, runs: Path) -> None:
    """Start the workers with their images and teacher."""
    global _crew
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    crew = RayWorkers(None, os.cpu_count(), study.gpu_fraction)
    facts = crew.open(study.data, runs, runs / "store")
    taught = crew.teach(study.resolved_teacher(facts.shape, len(facts.classes)), lambda report: None)
    _crew = crew, facts, taught


def _search(study: Study, runs: Path) -> Run:
    """One study, from its first draw to its last result."""
    crew, facts, taught = _crew
    about = {"teacher": taught.model_dump(mode="json"), "images": facts.model_dump(mode="json")}
    storage = open_storage(storage_url(runs, None))
    register(study, storage, about)
    frame = study.frame(facts.shape, len(facts.classes), len(taught.hint_shapes), facts.native)
    clocked, began = Clocked(crew), time.perf_counter()
    Search(study, frame, storage, clocked, Store(runs / "store")).run(study.trials, lambda search, event: None)
    return Run(clocked.busy / study.trials, (time.perf_counter() - began) / study.trials)


def _fire() -> None:
    """Stop the workers."""
    _crew[0].close()


def measured(pairs: int, trials: int) -> tuple[list[float], list[Run], list[Run]]:
    """Seconds from each trial's end to its point in the page; the runs with the page closed; those with it open."""
    late: list[float] = []
    closed: list[Run] = []
    watched: list[Run] = []
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        browser = opened.enter_context(chromium())
        pool = opened.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        study = quick(find_study("digits").changed(trials=trials, stopping=None))
        pool.submit(_hire, study, folder).result()
        opened.callback(lambda: pool.submit(_fire).result())
        pool.submit(_search, study.changed(trials=4), _folder(folder, "warm")).result()  # fills the tables
        for pair in range(pairs):
            chosen = study.changed(seed=pair)
            for page in ("closed", "open") if pair % 2 == 0 else ("open", "closed"):
                runs = _folder(folder, f"{page}-{pair}")
                if page == "open":
                    run, seen = _watched(browser, pool, chosen, runs)
                    watched.append(run)
                    late += seen
                else:
                    run = pool.submit(_search, chosen, runs).result()
                    closed.append(run)
                print(f"page {page}: {1e3 * run.busy:.1f} ms and {run.wall:.2f} s a trial", flush=True)
    return late, closed, watched


def quick(study: Study) -> Study:
    """The study with a third of its epochs: trials end three times as often, which is harder for the page."""
    stages = {name: getattr(study, name) for name in ("stage1", "stage2")}
    return study.changed(**{name: stage.changed(epochs=-(-stage.epochs // 3)) for name, stage in stages.items()})


def _watched(browser: Any, pool: ProcessPoolExecutor, study: Study, runs: Path) -> tuple[Run, list[float]]:
    """One study with its page open, and how late each trial appeared in it."""
    with Served(runs) as served:
        page = browser.new_page()
        page.add_init_script(WATCH)
        page.goto(served.url)
        page.wait_for_function("document.body?.innerText.includes('no study storage')")
        future = pool.submit(_search, study, runs)
        while not future.done():
            page.wait_for_timeout(500)
        run = future.result()
        ends = {c.trial: c.ended for c in finished(read(storage_url(runs, None), study.name).candidates)}
        page.wait_for_function(f"Object.keys(window.seen).length === {len(ends)}", timeout=60_000)
        seen = page.evaluate("window.seen")
        page.close()
    return run, [seen[str(trial)] - ended for trial, ended in ends.items() if ended is not None]


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
