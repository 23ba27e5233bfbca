"""A cluster of several nodes on this machine, on loopback: nodes die and join, workers hang, stop, cannot start."""

import functools
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from bench.scale.stub import Stub, stub
from fitnets.config import Data, Recipe, Report, Result
from fitnets.disk.store import Store
from fitnets.distill.run import distill, result_of
from fitnets.images.images import Images
from fitnets.teacher.teacher import Teacher
from search.driver.loop import DIRECTIONS, Search
from search.storage.address import storage_url
from search.storage.writer import open_storage
from search.workers import cluster, slots
from search.workers.actor import Maker
from search.workers.crew import RayWorkers
from search.workers.logs import Log, trained_epochs
from search.workers.protocol import EpochDone, Event, Failed, Finished, Notice, Stopped, WorkerLost
from tests.helpers import DIGITS, RECIPE, STUDY, TEACHER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves its log files and sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the same, when it is collected
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),  # Ray tells of its own next version
]
NODE: dict[str, Any] = {
    "num_cpus": 2,
    "num_gpus": 2,
    "object_store_memory": 100 * 2**20,
}  # two slots of half a GPU that is not there
FRAME = STUDY.frame((1, 8, 8), 10, 2)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head that runs no trials, and three nodes with GPUs that are none."""
    cluster.ray()
    from ray.cluster_utils import Cluster

    made = Cluster()
    for node in ({**NODE, "num_cpus": 0, "num_gpus": 0}, NODE, NODE, NODE):
        added(made, node)
    yield made
    made.shutdown()


def added(nodes: Any, node: dict[str, Any]) -> str:
    """Another node's id. Ray gives a node 30 s to come up, too few where other tests run beside this one."""
    for _ in range(4):
        try:
            return str(nodes.add_node(**node).node_id)
        except Exception as error:
            refused = error
    raise refused


@pytest.fixture
def crew_of(nodes: Any) -> Iterator[Callable[..., RayWorkers]]:
    """Makes a crew on the cluster; it is closed at the end."""
    made: list[RayWorkers] = []

    def make(most: int | None, make_trainer: Maker) -> RayWorkers:
        made.append(RayWorkers(nodes.address, most, 0.5, make_trainer))
        return made[-1]

    yield make
    for crew in made:
        crew.close()


def until(crew: RayWorkers, wanted: Callable[[list[Event]], bool], seconds: float = 120.0) -> list[Event]:
    """What a crew tells, until it is enough."""
    events: list[Event] = []
    ends = time.monotonic() + seconds
    while not wanted(events):
        assert time.monotonic() < ends, events
        events += crew.wait(0.2)
    return events


def ended(events: list[Event]) -> bool:
    return any(isinstance(event, Finished | Failed | WorkerLost) for event in events)


def process(log: Path) -> int:
    """The process that began a trial last."""
    return int(re.findall(r"as process ([0-9]+)", log.read_text())[-1])


class Gated(Stub):
    """Its trials do not end while `gate` is there."""

    def __init__(self, *opened: Any, gate: Path):
        super().__init__(*opened, seconds=0.5)
        self.gate = gate

    def train(self, recipe: Recipe) -> Generator[Report, None, Result]:
        """As any stub, then wait for the gate."""
        result = yield from super().train(recipe)
        while self.gate.exists():
            time.sleep(0.05)
        return result


def test_a_node_dies_and_another_joins_and_every_trial_is_finished_once(
    nodes: Any, crew_of: Callable[..., RayWorkers], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"  # there from before a node dies until the one that joins has a trial
    crew = crew_of(None, functools.partial(Gated, gate=gate))
    assert crew.open(STUDY.data, tmp_path, tmp_path, tmp_path / "logs").device == "stub on a GPU"
    crew.teach(STUDY.resolved_teacher((1, 8, 8), 10), lambda report: None)
    heard: Counter[tuple[str, int]] = Counter()
    notes: list[str] = []
    joined: list[str] = []
    begun: set[int] = set()
    ends = time.monotonic() + 240

    def hear(search: Search, event: Event | None) -> None:
        if any(slot.node in joined and slot.number >= 0 for slot in crew._slots.all):
            gate.unlink(missing_ok=True)
        assert time.monotonic() < ends, f"the new node trains too: {joined}"
        if isinstance(event, Notice):
            notes.append(event.text)
            return
        if event is None and gate.exists() and not joined:
            busy = {slot.node for slot in crew._slots.all if slot.step == "trial"}
            nodes.remove_node(next(node for node in nodes.worker_nodes if node.node_id in busy), allow_graceful=False)
            joined.append(added(nodes, NODE))
        if event is None or isinstance(event, EpochDone):
            return
        heard[type(event).__name__, event.number] += 1
        if isinstance(event, WorkerLost) and event.began:  # else its worker was dead before: no attempt
            begun.add(event.number)
        if isinstance(event, Finished) and search.trained() == 4:
            gate.touch()

    storage = open_storage(storage_url(tmp_path, None))
    optuna.create_study(study_name="tiny", storage=storage, directions=DIRECTIONS)
    Search(STUDY, FRAME, storage, crew, Store(tmp_path)).run(100, hear)
    trials = optuna.load_study(study_name="tiny", storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 100
    assert {number: heard["Finished", number] for number in range(100)} == dict.fromkeys(range(100), 1)
    assert any(kind == "WorkerLost" for kind, _ in heard), "the dead node had trials"
    assert {t.number for t in trials if t.user_attrs.get("attempts") == 2} == begun
    assert any(re.fullmatch(r"node \S+ joined: [68] slot\(s\)", text) for text in notes), notes
    until(crew, lambda events: crew.slots == 6)  # Ray may take half a minute to be sure that a node is dead


def on_cpu(data: Data, data_dir: str, store_dir: str, gpu: bool, *, shared: bool) -> Any:
    """The real Trainer, on the CPU of a node whose GPUs are none; its store is shared, or its node's own."""
    import ray

    from search.workers.trainer import Trainer

    assert gpu
    own = "" if shared else ray.get_runtime_context().get_node_id()
    return Trainer(data, data_dir, str(Path(store_dir) / own), "cpu", 1)


@pytest.mark.parametrize("shared", [True, False])
def test_a_trial_goes_on_from_its_checkpoint_where_the_folder_is_shared_and_begins_again_where_it_is_not(
    shared: bool, crew_of: Callable[..., RayWorkers], tmp_path: Path, digits: Images, teacher: Teacher
) -> None:
    crew = crew_of(2, functools.partial(on_cpu, shared=shared))
    crew.open(DIGITS, tmp_path, tmp_path / "store", tmp_path / "logs")
    crew.teach(TEACHER, lambda report: None)
    until(crew, lambda events: crew.free() == 2)
    assert len({slot.node for slot in crew._slots.all}) == 2, "one slot on each of two nodes"
    recipe = RECIPE.changed(stage2=RECIPE.stage2.changed(epochs=60))
    crew.submit(0, recipe)
    first = until(crew, lambda events: kept(tmp_path) > 2 or ended(events))
    os.kill(process(tmp_path / "logs" / "0.log"), signal.SIGKILL)
    first += until(crew, ended)
    lost = first[-1]
    assert isinstance(lost, WorkerLost) and lost.began and lost.reason == "its process died"
    assert crew.free() == 1, "the other node's"
    crew.submit(0, recipe)
    *got, done = [event for event in until(crew, ended) if not isinstance(event, Notice)]
    assert isinstance(done, Finished)
    reports = [event.report for event in got if isinstance(event, EpochDone)]
    assert [(report.stage, report.epoch) for report in reports] == [
        *(("stage 1", epoch) for epoch in (1, 2)),
        *(("stage 2", epoch) for epoch in range(1, 61)),
    ]
    assert any(report.replayed for report in reports) == shared
    alone = result_of(distill(recipe, digits, teacher, None))
    assert done.result.weights == alone.weights, "to the numbers of a run that nothing happened to"
    again = Counter(trained_epochs(tmp_path / "logs" / "0.log"))
    assert (max(again.values()) == 1 or sum(again.values()) < 124) if shared else again["stage 1", 1] == 2
    crew.forget(0, recipe)
    until(crew, lambda events: kept(tmp_path / "store") == 0 or not shared, 20.0)


def kept(folder: Path) -> int:
    """How many epochs the newest checkpoint holds; 0 without one. Folders may go while it looks: `walk` skips them."""
    names = [name for at, names, _ in os.walk(folder) if Path(at).name == "checkpoint" for name in names]
    return max((int(name.rsplit("-", 1)[1]) for name in names if "-" in name and name[0] != "."), default=0)


def running(pid: int) -> bool:
    """Whether a process is there, and more than a name in the table."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("stopped", [False, True])
def test_a_trial_that_hangs_is_ended_when_its_time_is_over(
    stopped: bool, crew_of: Callable[..., RayWorkers], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own process, its stack in the log; by the driver, where even that hangs."""
    monkeypatch.setattr("search.workers.crew.GRACE", 1.0 if stopped else 4.0)
    crew = crew_of(1, stub(1000.0))
    crew.open(STUDY.data, tmp_path, tmp_path, tmp_path / "logs", trial_seconds=1)
    crew.teach(TEACHER, lambda report: None)
    crew.submit(0, RECIPE)
    began = time.monotonic()
    until(crew, lambda events: (tmp_path / "logs" / "0.log").exists())
    pid = process(tmp_path / "logs" / "0.log")
    if stopped:
        os.kill(pid, signal.SIGSTOP)
    failed = until(crew, ended)[-1]
    assert isinstance(failed, Failed) and failed.kind == "OverTime"
    assert "not finished after 1 s: raise `search.run --trial-seconds`" in failed.message
    assert 1.0 <= time.monotonic() - began < 30
    assert stopped or 'stub.py", line' in failed.log, failed.log
    if stopped:
        os.kill(pid, signal.SIGCONT)  # it wakes up to find that it is not wanted any more
    until(crew, lambda events: not running(pid))
    until(crew, lambda events: crew.free() == 1)  # another takes its place


def test_a_worker_that_died_idle_costs_its_next_trial_no_attempt(
    crew_of: Callable[..., RayWorkers], tmp_path: Path
) -> None:
    crew = crew_of(1, stub(0.01))
    crew.open(STUDY.data, tmp_path, tmp_path, tmp_path / "logs")
    crew.teach(TEACHER, lambda report: None)
    crew.submit(0, RECIPE)
    assert isinstance(until(crew, ended)[-1], Finished)
    os.kill(process(tmp_path / "logs" / "0.log"), signal.SIGKILL)
    time.sleep(0.5)
    crew.submit(1, RECIPE)
    lost = until(crew, ended)[-1]
    assert isinstance(lost, WorkerLost) and not lost.began
    until(crew, lambda events: crew.free() == 1)
    crew.submit(1, RECIPE)
    assert isinstance(until(crew, ended)[-1], Finished)
    assert Log(tmp_path / "logs", 1).last().count("began on") == 1


def broken(*arguments: Any) -> Any:
    """A Trainer that cannot be made."""
    raise RuntimeError("no such library")


def killed(*arguments: Any) -> Any:
    """A Trainer whose images do not fit into memory: the system ends its process."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("made", "why"), [(broken, "RuntimeError: no such library"), (killed, "its process died")])
def test_workers_that_cannot_start_end_the_search_with_one_message(
    made: Maker, why: str, crew_of: Callable[..., RayWorkers], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "CHECK_SECONDS", 0.2)
    crew = crew_of(2, made)
    with pytest.raises(Stopped, match=rf"3 workers in a row could not start, .*: {why}"):
        crew.open(STUDY.data, tmp_path, tmp_path)


class Unforeseen(BaseException):
    """No Exception, so that nothing in the worker catches it."""


class Leaky(Stub):
    """Its trials raise that after an epoch."""

    def train(self, recipe: Recipe) -> Generator[Report, None, Result]:
        """An epoch, and no end."""
        yield next(super().train(recipe))
        raise Unforeseen


def test_what_escapes_a_worker_is_a_lost_trial_and_not_one_that_runs_for_ever(
    crew_of: Callable[..., RayWorkers], tmp_path: Path
) -> None:
    crew = crew_of(1, functools.partial(Leaky, seconds=0.01))
    crew.open(STUDY.data, tmp_path, tmp_path)
    crew.teach(TEACHER, lambda report: None)
    crew.submit(3, RECIPE)
    lost = until(crew, lambda events: any(isinstance(event, WorkerLost) for event in events))[-1]
    assert isinstance(lost, WorkerLost)
    assert (lost.number, lost.began) == (3, True)


class Foreign(Stub):
    """On one of the nodes, the images are others."""

    def facts(self) -> Any:
        import ray

        mine = ray.get_runtime_context().get_node_id()
        others = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU"))
        return super().facts().changed(images=("1" if mine == others[0] else "0") * 64)


def test_a_node_with_other_images_is_left_out_while_others_work(
    crew_of: Callable[..., RayWorkers], tmp_path: Path
) -> None:
    crew = crew_of(None, functools.partial(Foreign, seconds=0.01))
    facts = crew.open(STUDY.data, tmp_path, tmp_path)
    crew.teach(TEACHER, lambda report: None)

    def got(events: list[Event]) -> bool:
        return any(
            isinstance(event, Notice) and "its images are not those of the other workers" in event.text
            for event in events
        )

    until(crew, got)
    assert crew.free() >= 1
    crew.submit(0, recipe_of_one_epoch())
    assert isinstance(until(crew, ended)[-1], Finished)
    assert facts.images in ("0" * 64, "1" * 64)


def recipe_of_one_epoch() -> Recipe:
    return RECIPE.changed(stage2=RECIPE.stage2.changed(epochs=1))


def test_a_head_and_nodes_with_and_without_gpus_and_one_of_another_model(
    nodes: Any, crew_of: Callable[..., RayWorkers], tmp_path: Path
) -> None:
    """Beside the fixture's three: a node of cores only, and GPUs that call themselves T4 and, later, H100."""
    plain = added(nodes, {**NODE, "num_gpus": 0})
    first = added(nodes, {**NODE, "labels": {cluster.MODEL: "T4"}})
    crew = crew_of(None, stub(0.01))
    assert crew.open(STUDY.data, tmp_path, tmp_path).device == "stub on a GPU"
    crew.teach(TEACHER, lambda report: None)
    events = until(crew, lambda events: crew.free() == crew.slots)
    assert cluster.nodes(0.5)[plain].slots == 2, "as Ray reports it"
    assert first in {slot.node for slot in crew._slots.all} and plain not in {slot.node for slot in crew._slots.all}
    assert {slot.gpu for slot in crew._slots.all} == {0.5}
    second = added(nodes, {**NODE, "labels": {cluster.MODEL: "H100"}})
    events += until(crew, lambda events: any(slot.node == second for slot in crew._slots.idle()))
    got = [event.text for event in events if isinstance(event, Notice)]
    assert any("has another GPU (H100; so far T4)" in text for text in got), got
    trials = crew.free()
    for number in range(trials):
        crew.submit(number, recipe_of_one_epoch())
    until(crew, lambda events: sum(isinstance(event, Finished) for event in events) == trials)
