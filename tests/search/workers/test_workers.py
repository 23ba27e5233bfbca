"""Ray's workers where Ray misbehaves: real actors, killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fitnets.config import Report, Trained, Training
from fitnets.disk.store import Store
from fitnets.values.net import Net
from search.workers.crew import RayWorkers
from search.workers.facts import TeacherFacts
from search.workers.protocol import EndedEarly, EpochDone, Event, Failed, Finished, Notice, WorkerLost
from search.workers.trainer import Trainer
from tests.helpers import RECIPE, STUDY
from tests.test_end_to_end import descendants

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves its log files and sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the same, when it is collected
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),  # Ray tells of its own next version
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workers keep what they make."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def crew(runs: Path) -> Iterator[RayWorkers]:
    """Two slots that read the digits."""
    made = RayWorkers(None, 2, 0.25)
    facts = made.open(STUDY.data, runs, runs)
    assert (facts.shape, len(facts.classes)) == ((1, 8, 8), 10)
    yield made
    made.close()


TEACHER = Trained(
    net=Net.staged((1, 8, 8), 10, ((8,), (12,))), training=Training(epochs=300, lr=5e-3, batch=64), seed=1
)


class Taught(NamedTuple):
    """What the workers were taught, and what was heard meanwhile."""

    facts: TeacherFacts
    heard: list[Report]
    killed: int
    """So many reports had been heard when the worker that trained the teacher was killed."""


@pytest.fixture(scope="module")
def taught(crew: RayWorkers, runs: Path) -> Taught:
    """A teacher whose worker is killed as soon as there is a checkpoint."""
    both(crew)
    heard: list[Report] = []
    killed: list[int] = []

    def hear(report: Report) -> None:
        heard.append(report)
        if not killed and Store(runs).names("checkpoint"):
            os.kill(_working("stream"), signal.SIGKILL)
            killed.append(len(heard))

    facts = crew.teach(TEACHER, hear)
    return Taught(facts, heard, killed[0])


def drain(crew: RayWorkers, number: int) -> list[Event]:
    """A trial's events, to its end."""
    events: list[Event] = []
    for _ in range(200):
        events += [event for event in crew.wait(1.0) if not isinstance(event, Notice) and event.number == number]
        if events and not isinstance(events[-1], EpochDone):
            return events
    raise AssertionError(f"trial {number} did not end: {events}")


def both(crew: RayWorkers) -> None:
    """Wait until both slots are idle."""
    for _ in range(200):
        if crew.free() == 2:
            return
        crew.wait(1.0)
    raise AssertionError("the second worker did not start")


def test_a_teacher_whose_worker_is_killed_is_trained_on_by_another(taught: Taught, tmp_path: Path) -> None:
    later = taught.heard[taught.killed :]
    again = later[[report.epoch for report in later].index(1) :]
    assert [report.epoch for report in again] == list(range(1, 301))
    assert again[0].replayed, "it went on from the checkpoint"
    assert not again[-1].replayed, "and trained the rest"
    alone = Trainer(STUDY.data, str(tmp_path), str(tmp_path), "cpu", 1)
    for _ in alone.train_teacher(TEACHER):
        pass
    assert taught.facts == alone.open_teacher(TEACHER, None), "the same weights as a teacher that nobody disturbed"


def test_workers_train_report_fail_and_survive_their_own_death(crew: RayWorkers, taught: Taught) -> None:
    assert len(taught.facts.hint_shapes) == 2
    assert crew.slots == 2
    both(crew)

    crew.submit(0, RECIPE)
    assert crew.free() == 1
    events = drain(crew, 0)
    assert [type(event).__name__ for event in events] == ["EpochDone"] * 4 + ["Finished"]
    assert crew.free() == 2
    done = events[-1]
    assert isinstance(done, Finished)

    assert RECIPE.hint is not None
    crew.submit(1, RECIPE.changed(hint=RECIPE.hint.changed(hint=9)))
    (failed,) = drain(crew, 1)
    assert isinstance(failed, Failed)
    assert failed.kind == "InputError" and "`hint.hint` is 9" in failed.message
    assert crew.free() == 2

    long = RECIPE.changed(stage2=RECIPE.stage2.changed(epochs=10_000))
    crew.submit(2, long)
    while not crew.wait(1.0):
        pass
    os.kill(_working("train"), signal.SIGKILL)
    lost = drain(crew, 2)[-1]
    assert isinstance(lost, WorkerLost)
    both(crew)  # another actor takes the dead one's place

    crew.submit(3, RECIPE)
    crew.submit(4, RECIPE.changed(seed=1))
    again = drain(crew, 3)[-1]
    assert isinstance(again, Finished)
    assert again.result.weights == done.result.weights, "the same recipe gives the same weights in any process"


def test_a_trial_is_stopped_after_its_epoch_and_its_slot_is_free_for_the_next(
    crew: RayWorkers, taught: Taught, runs: Path
) -> None:
    """Its process lives on; nothing of the trial comes after the end; its checkpoint goes when it is told to."""
    both(crew)
    long = RECIPE.changed(seed=7, stage2=RECIPE.stage2.changed(epochs=10_000))
    crew.submit(10, long)
    while not any(isinstance(event, EpochDone) and event.report.epoch > 20 for event in crew.wait(1.0)):
        pass
    pid = _working("train")
    crew.stop(10)
    crew.stop(10)  # a second time changes nothing
    assert crew.free() == 1, "its slot is free only once it has ended"
    events = drain(crew, 10)
    assert events == [EndedEarly(10)]
    assert crew.free() == 2
    assert Store(runs).names("checkpoint", long.digest())
    crew.forget(10, long)
    for number, seed in ((11, 0), (12, 1)):  # on both slots
        crew.submit(number, RECIPE.changed(seed=seed))
    assert Path(f"/proc/{pid}").exists()
    ended: dict[int, str] = {}
    while len(ended) < 2:
        ended |= {e.number: type(e).__name__ for e in crew.wait(1.0) if not isinstance(e, EpochDone | Notice)}
    assert ended == {11: "Finished", 12: "Finished"}
    assert not Store(runs).names("checkpoint", long.digest())


def test_a_worker_that_dies_while_its_trial_is_stopped_is_lost_and_replaced(crew: RayWorkers, taught: Taught) -> None:
    both(crew)
    crew.submit(13, RECIPE.changed(stage2=RECIPE.stage2.changed(epochs=10_000)))
    while not any(isinstance(event, EpochDone) for event in crew.wait(1.0)):
        pass
    os.kill(_working("train"), signal.SIGSTOP)
    pid = _working("train")
    crew.stop(13)
    os.kill(pid, signal.SIGKILL)
    (lost,) = drain(crew, 13)
    assert isinstance(lost, WorkerLost)
    both(crew)


def test_a_trial_that_has_ended_is_not_stopped(crew: RayWorkers, taught: Taught) -> None:
    both(crew)
    crew.submit(14, RECIPE)
    assert isinstance(drain(crew, 14)[-1], Finished)
    crew.stop(14)
    assert crew.free() == 2
    crew.submit(15, RECIPE)
    assert isinstance(drain(crew, 15)[-1], Finished)


def _working(task: str) -> int:
    """The process of the one actor of ours that streams a `task`: Ray puts what it does into its title."""
    titles = {pid: (Path("/proc") / str(pid) / "cmdline").read_bytes() for pid in descendants(os.getpid())}
    (found,) = [pid for pid, title in titles.items() if title.startswith(b"ray::Actor." + task.encode())]
    return found
