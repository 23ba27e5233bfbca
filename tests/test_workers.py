"""Ray's workers where Ray misbehaves: real actors, killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.loop import Done, Failed, Lost, News
from search.workers import RayWorkers
from tests.helpers import RECIPE, STUDY
from tests.test_end_to_end import descendants

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves its log files and sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the same, when it is collected
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),  # Ray tells of its own next version
]


@pytest.fixture(scope="module")
def crew() -> Iterator[RayWorkers]:
    """Two slots."""
    made = RayWorkers(None, 2, 0.25)
    yield made
    made.close()


def drain(crew: RayWorkers, number: int) -> list[News | Done | Failed | Lost]:
    """A trial's events, to its end."""
    events: list[News | Done | Failed | Lost] = []
    for _ in range(200):
        events += [event for event in crew.wait(1.0) if event.number == number]
        if events and not isinstance(events[-1], News):
            return events
    raise AssertionError(f"trial {number} did not end: {events}")


def test_workers_train_report_fail_and_survive_their_own_death(crew: RayWorkers, tmp_path: Path) -> None:
    facts = crew.open(STUDY.data, tmp_path, tmp_path / "store")
    assert (facts.shape, len(facts.classes)) == ((1, 8, 8), 10)
    reports: list[int] = []
    taught = crew.teach(STUDY.resolved_teacher((1, 8, 8), 10), lambda report: reports.append(report.epoch))
    assert reports == [1]
    assert len(taught.hint_shapes) == 2
    assert crew.free() == crew.slots == 2

    crew.submit(0, RECIPE)
    assert crew.free() == 1
    events = drain(crew, 0)
    assert [type(event).__name__ for event in events] == ["News"] * 4 + ["Done"]
    assert crew.free() == 2
    done = events[-1]
    assert isinstance(done, Done)

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
    os.kill(_training(), signal.SIGKILL)
    lost = drain(crew, 2)[-1]
    assert isinstance(lost, Lost)
    assert crew.free() == 2, "another actor takes the dead one's place"

    crew.submit(3, RECIPE)
    crew.submit(4, RECIPE.changed(seed=1))
    again = drain(crew, 3)[-1]
    assert isinstance(again, Done)
    assert again.result.weights == done.result.weights, "the same recipe gives the same weights in any process"


def _training() -> int:
    """The process of the one actor of ours that streams a trial: Ray puts what it does into its title."""
    titles = {pid: (Path("/proc") / str(pid) / "cmdline").read_bytes() for pid in descendants(os.getpid())}
    (found,) = [pid for pid, title in titles.items() if title.startswith(b"ray::Actor.stream")]
    return found
