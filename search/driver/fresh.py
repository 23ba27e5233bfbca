"""The runs with fresh seeds that confirm a study's front: which are missing, and their training. No ray."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from rich.console import Console

from fitnets.config import Recipe
from fitnets.disk.store import Store
from fitnets.errors import InputError
from search.driver.display import Display
from search.driver.loop import Search
from search.driver.registration import (
    PRECISION,
    check_images,
    check_teacher,
    precision_of,
    recording_the_end,
    register,
)
from search.read.budget import Budget
from search.read.candidates import CONFIRMS, SUFFIX, Confirms, Snapshot
from search.read.reader import read
from search.ship.confirmed import confirmation, run_name, run_seed, to_confirm
from search.storage.faults import StudyMissing
from search.study import Study
from search.workers.logs import logs_folder

if TYPE_CHECKING:
    from search.workers.crew import RayWorkers


@dataclass(frozen=True)
class FreshRuns:
    """The runs that confirm a study's students, as a study of their own."""

    study: Study
    plan: Confirms
    runs: list[tuple[str, Recipe]]
    """The name and recipe of every run, also of those that have been trained."""
    missing: int
    """How many have not been trained."""
    seconds: float
    """What the missing ones will take in all, by the search's own times."""


def planned(url: str, snapshot: Snapshot, budget: Budget, seeds: int) -> FreshRuns:
    """The runs for the students within the budget that are on the front or near it.

    Students and seeds that an earlier call asked for stay: a later one only adds to them. Near is judged by the spread
    over seeds once all runs that were asked for have ended, and until then as it was before the first of them.
    Raises InputError where no student is within the budget, or the name of the runs' study is taken.
    """
    before = _before(url, snapshot.study + SUFFIX)
    known = before.confirms if before is not None else None
    found = confirmation(snapshot, before) if before is not None else None
    spread = known.spread if known else None
    if found is not None and not found.missing:
        spread = found.spread
    chosen = [c.trial for c in to_confirm(snapshot.candidates, budget, int(snapshot.images["val"]), spread)]
    if not chosen:
        raise InputError(f"no student of `{snapshot.study}` is within the limits: raise them, or train more students.")
    trials = sorted({*chosen, *(known.trials if known else ())})
    most = max(seeds, known.seeds if known else 0)
    plan = Confirms(study=snapshot.study, trials=tuple(trials), seeds=most, spread=spread)
    searched = Study.model_validate(snapshot.definition)
    candidates = {c.trial: c for c in snapshot.candidates}
    runs: list[tuple[str, Recipe]] = []
    for trial in trials:
        recipe = candidates[trial].recipe
        for run in range(plan.seeds):
            seed = run_seed(searched.seed, recipe.digest(), run)
            runs.append((run_name(trial, run), recipe.changed(seed=seed)))
    ended = {c.name for c in before.candidates if c.state in ("complete", "failed")} if before else set()
    left = [trial for trial in trials for run in range(plan.seeds) if run_name(trial, run) not in ended]
    outcomes = [candidates[trial].outcome for trial in left]
    study = searched.changed(name=snapshot.study + SUFFIX, first=(), stopping=None, trials=len(runs))
    return FreshRuns(study, plan, runs, len(left), sum(outcome.seconds for outcome in outcomes if outcome))


def confirm(
    console: Console,
    fresh: FreshRuns,
    crew: "RayWorkers",
    searching: optuna.storages.BaseStorage,
    storing: optuna.storages.BaseStorage,
    data: Path | None,
    runs: Path,
) -> None:
    """Train the missing runs: the search's recipes, images and teacher. The sampler is not asked.

    `data`: the images' folder, None for the one that the search read. Raises InputError when images or teacher are not
    the search's, Stopped when it cannot go on.
    """
    known, study = optuna.load_study(study_name=fresh.plan.study, storage=searching), fresh.study
    folder = data or Path(known.user_attrs["images"]["data_dir"])
    with console.status("reading the images ..."):
        facts = crew.open(study.data, folder, runs / "store", logs_folder(runs, study.name), study.trial_seconds)
    check_images(known, facts, folder)
    with Display(console, study.trials, fresh.seconds / max(1, crew.slots)) as display:
        precision = precision_of(known, facts.native)
        teacher = crew.teach(study.resolved_teacher(facts.shape, len(facts.classes), precision), display.teacher)
        if note := check_teacher(known, teacher, study):
            console.print(note)
        about: dict[str, Any] = {"teacher": known.user_attrs["teacher"], PRECISION: precision}
        about["images"] = known.user_attrs["images"] | {"data_dir": str(folder.resolve())}
        register(study, storing, about | {CONFIRMS: fresh.plan.model_dump(mode="json")})
        frame = study.frame(facts.shape, len(facts.classes), len(teacher.hint_shapes), precision)
        search = Search(study, frame, storing, crew, Store(runs / "store"), first=fresh.runs)
        with recording_the_end(study.name, storing):
            search.run(study.trials, display.event)


def _before(url: str, name: str) -> Snapshot | None:
    """The study of fresh runs as an earlier call left it, or None."""
    try:
        found = read(url, name)
    except StudyMissing:
        return None
    if found.confirms is None:
        raise InputError(
            f"a study is called `{name}`, the name of the fresh runs that confirm `{name.removesuffix(SUFFIX)}`: "
            "delete it, or run its search again under another name."
        )
    return found
