"""The second half of `bench.gpu`: trials per hour of a study on this machine's slots, and its forecast."""

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from fitnets.config import Recipe, Training
from fitnets.errors import InputError
from search.driver.forecast import forecast, typical
from search.driver.rungs import shares_stopped
from search.study import Staged, Study, find_study
from search.units import format_duration
from search.workers.inline import InlineWorkers
from search.workers.protocol import EpochDone, Failed, Finished, Stopped, WorkerLost

TRIALS = 100
EPOCHS = 2  # of each stage: the first fills the teacher's tables, the second is measured


def measured(name: str, data: Path, *, tiny: bool) -> Iterator[str]:
    """Lines of the report. `tiny` shrinks the study and trains in this process, without Ray."""
    study = find_study(name).smoke() if tiny else find_study(name)
    with tempfile.TemporaryDirectory() as place:
        if tiny:
            yield from measured_on(study, InlineWorkers(), data, Path(place))
            return
        from search.workers.crew import RayWorkers

        with closing(RayWorkers(None, None, study.gpu_fraction)) as crew:
            yield from measured_on(study, crew, data, Path(place))


def measured_on(study: Study, crew: Any, data: Path, folder: Path) -> Iterator[str]:
    """The same on these workers, whose caches go into `folder`. The teacher trains one epoch: its tables are timed."""
    facts = crew.open(study.data, data, folder / "store")
    if not isinstance(study.teacher, Staged):
        raise InputError(f"`{study.name}` has a teacher that is not given by its stages: choose a shipped study.")
    short = study.teacher.changed(training=study.teacher.training.changed(epochs=1))
    precision = study.resolved_precision(facts.native)
    teacher = short.resolved(facts.shape, len(facts.classes), precision)
    crew.teach(teacher, lambda report: None)
    frame = study.frame(facts.shape, len(facts.classes), teacher.hints, facts.native)
    recipe = typical(study, frame)[0]
    speeds = (
        crew.measure(recipe.student, recipe.stage2, recipe.precision, recipe.distill),
        crew.measure(teacher.net, teacher.training, teacher.precision, whole_node=True),
    )
    epochs = study.teacher.training.epochs
    stopped = shares_stopped(study, [])
    whole = study.changed(trials=TRIALS)
    expected = forecast(
        whole, facts, frame, *speeds, teacher.net, teacher_epochs=epochs, slots=crew.slots, stopped=stopped
    )
    assert recipe.stage1 is not None
    _trained(crew, recipe, crew.slots, 0)  # fills the tables
    found = _trained(crew, recipe, crew.slots, crew.slots)
    hint, kd = (statistics.fmean(found[stage]) for stage in ("stage 1", "stage 2"))
    seconds = recipe.stage1.epochs * hint + recipe.stage2.epochs * kd
    yield (
        f"\n`{study.name}`, {crew.slots} slot(s) of {facts.device}: an epoch of the median student takes {hint:.2f} s "
        f"in stage 1 and {kd:.2f} s in stage 2 as all slots train, so a trial {format_duration(seconds)}: "
        f"**{3600 * crew.slots / seconds:,.0f} trials an hour**, none stopped early."
    )
    yield f"Forecast of {TRIALS} trials: {format_duration(expected.total_seconds)}, with stopping and the teacher:\n"
    yield from (f"- {line}" for line in expected.lines())


def _trained(crew: Any, recipe: Recipe, slots: int, first_seed: int) -> dict[str, list[float]]:
    """Train that student in every slot at once, EPOCHS of each stage: the seconds of each stage's last epochs."""
    stages: dict[str, Training] = {"stage1": recipe.stage1.changed(until=EPOCHS)} if recipe.stage1 else {}
    short = recipe.changed(stage2=recipe.stage2.changed(until=EPOCHS), **stages)
    ended, number = 0, 0
    seeded = [short.changed(seed=first_seed + slot) for slot in range(slots)]
    seconds: dict[str, list[float]] = {"stage 1": [], "stage 2": []}
    while ended < slots:
        while number < slots and crew.free():
            crew.submit(number, seeded[number])
            number += 1
        for event in crew.wait(1.0):
            if isinstance(event, Failed | WorkerLost):
                raise Stopped(f"a trial did not come to its end: {event}")
            if isinstance(event, EpochDone) and event.report.epoch == EPOCHS:
                seconds[event.report.stage].append(event.report.seconds)
            if isinstance(event, Finished):
                ended += 1
                crew.forget(event.number, seeded[event.number])
    return seconds
