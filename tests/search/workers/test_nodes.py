"""Which nodes of a cluster have slots, as nodes with and without GPUs come and go, and what an autoscaler is asked."""

import json
import shlex
import subprocess
import sys
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from search.workers import cluster, slots
from search.workers.actor import memory_share
from search.workers.cluster import GROUP, MODEL, MOST_REQUESTED
from search.workers.nodes import Nodes
from search.workers.protocol import Stopped
from search.workers.slots import Slot, Slots
from tests.search.workers import autoscaled


def node(name: str, *, model: str = "", managed: bool = False, **resources: float) -> dict[str, Any]:
    """As Ray reports it."""
    labels = ({MODEL: model} if model else {}) | ({GROUP: "workers"} if managed else {})
    return {"NodeID": name, "NodeManagerHostname": name, "Alive": True, "Resources": resources, "Labels": labels}


class Reported:
    """In the place of Ray: the nodes that it reports, and the requests to its autoscaler."""

    def __init__(self, patch: pytest.MonkeyPatch, *nodes: dict[str, Any]):
        self.all = list(nodes)
        self.requests: list[tuple[int, float]] = []
        patch.setattr(cluster, "ray", lambda: self)
        patch.setattr(slots, "ray", lambda: self)
        patch.setattr(cluster, "request", lambda slots, gpu: self.requests.append((slots, gpu)))

    def nodes(self) -> list[dict[str, Any]]:
        """As `ray.nodes()`."""
        return self.all

    def kill(self, actor: Any) -> None:
        """As `ray.kill(actor)`."""


def held(nodes: Nodes) -> dict[str, tuple[int, float]]:
    """The slots of each node that has any, and their shares."""
    return {node.host: (node.slots, node.gpu) for node in nodes.live.values() if node.slots}


def test_a_head_without_a_gpu_has_no_slots_where_there_are_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    Reported(monkeypatch, node("head", CPU=8), node("a", CPU=8, GPU=1), node("b", CPU=2, GPU=2))
    nodes = Nodes(0.25, [], joins=True)
    assert held(nodes) == {"a": (4, 0.25), "b": (2, 0.25)}
    assert nodes.slots() == 6 and nodes.gpu == 0.25


def test_cores_have_slots_until_a_gpu_joins_and_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = Reported(monkeypatch, node("head", CPU=2), node("a", CPU=4))
    nodes = Nodes(0.5, [], joins=True)
    assert held(nodes) == {"head": (2, 0.0), "a": (4, 0.0)} and nodes.gpu == 0.0
    reported.all.append(node("b", CPU=4, GPU=1))
    nodes.look()
    assert held(nodes) == {"b": (2, 0.5)}
    reported.all.pop()
    nodes.look()
    assert held(nodes) == {} and nodes.gpu == 0.5, "the next one is waited for: cores would take hours"


def test_a_node_whose_gpus_no_core_can_serve_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    Reported(monkeypatch, node("head", CPU=2), node("a", GPU=1))
    assert held(Nodes(0.5, [], joins=True)) == {"head": (2, 0.0)}


def test_another_model_of_gpu_is_noted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = Reported(monkeypatch, node("a", model="H100", CPU=4, GPU=1))
    notes: list[str] = []
    nodes = Nodes(0.25, notes, joins=True)
    reported.all += [node("b", model="T4", CPU=4, GPU=1), node("c", model="H100", CPU=4, GPU=1)]
    nodes.look()
    reported.all.append(node("d", model="T4", CPU=4, GPU=1))
    nodes.look()
    assert notes == [
        "note: b has another GPU (T4; so far H100): its trials take another time, and their numbers differ by rounding"
    ]
    assert nodes.slots() == 16


def test_trials_that_wait_ask_the_autoscaler_and_a_study_that_ends_asks_for_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported = Reported(monkeypatch, node("head", CPU=0))
    slots = Slots(8, 0.25, joins=True)
    slots.need(100)
    assert reported.requests == [(8, 0.0)], "at once, and no more than --workers"
    slots.need(5)
    reported.all.append(node("a", CPU=8, GPU=1))
    slots._nodes.look()
    assert reported.requests[1:] == [(5, 0.25)], "shares of GPUs, once one was seen"
    slots._nodes.look()
    slots.need(0)
    assert reported.requests[2:] == [(0, 0.0)]


@pytest.mark.filterwarnings("ignore::FutureWarning:ray")  # Ray tells of its own next version
def test_rays_autoscaler_is_asked_for_a_core_and_a_share_for_each_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.ray()  # sets what Ray reads when it is imported
    asked: list[list[dict[str, float]]] = []
    monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda *, bundles: asked.append(bundles))
    cluster.request(2, 0.25)
    cluster.request(3, 0.0)
    cluster.request(0, 0.25)
    cluster.request(MOST_REQUESTED + 1, 0.0)
    assert asked == [[{"CPU": 1, "GPU": 0.25}] * 2, [{"CPU": 1}] * 3, [], [{"CPU": 1}] * MOST_REQUESTED]


IN_A_NAMESPACE = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]


def has_namespaces() -> bool:
    """Whether this machine lets its users have networks of their own."""
    with suppress(OSError):
        return subprocess.run([*IN_A_NAMESPACE, "ip", "link", "set", "lo", "up"], capture_output=True).returncode == 0
    return False


@pytest.mark.slow
def test_rays_autoscaler_starts_a_node_for_a_trial() -> None:
    """The real one, on a head without cores: see `tests.search.workers.autoscaled`."""
    if not has_namespaces():
        pytest.skip("needs a network namespace (Linux: unshare and ip): Ray's test nodes want the port 6379")
    with TemporaryDirectory() as place:  # pytest's has too long a name for Ray's sockets
        ran = f"ip link set lo up && exec {shlex.join([sys.executable, '-m', autoscaled.__name__, place])}"
        result = subprocess.run([*IN_A_NAMESPACE, "sh", "-c", ran], capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {"before": [0, 1], "after": [1, 2], "ended": [7]}


def test_ray_on_this_machine_is_asked_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = Reported(monkeypatch, node("here", CPU=2))
    Slots(None, 0.25, joins=False).need(100)
    assert reported.requests == []


@pytest.mark.parametrize("managed", [False, True])
def test_only_where_nodes_come_when_they_are_asked_for_is_one_waited_for_without_end(
    managed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("search.workers.slots.time.monotonic", lambda: now)
    Reported(monkeypatch, node("head", CPU=0, managed=managed))
    found = Slots(None, 0.25, joins=True)
    found._check_nodes()
    now = 601.0
    if managed:
        found._check_nodes()
        found._check_nodes()
        assert found.notes == ["no node has room for a worker: waiting for one to join"] * 2
    else:
        with pytest.raises(Stopped, match="for 600 s: start nodes with a core for each, and run the same command"):
            found._check_nodes()


def test_a_slot_that_has_only_a_core_ends_with_its_trial_once_there_are_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = Reported(monkeypatch, node("a", CPU=2))
    found = Slots(None, 0.5, joins=True)
    found.all = [Slot(None, "a", None, 0.0, step="idle"), Slot(None, "a", None, 0.0, step="trial")]
    idle, busy = found.all
    monkeypatch.setattr(found, "_start_slots", lambda now: None)
    assert found.idle() == [idle]
    reported.all.append(node("b", CPU=2, GPU=1))
    found._check_nodes()
    assert found.all == [busy] and found.idle() == []
    assert any(text.startswith("there are GPUs now") for text in found.notes)
    busy.become_idle()
    assert found.idle() == [], "no further student begins on it"
    found._check_nodes()
    assert found.all == []


@pytest.mark.parametrize(
    ("share", "gigabytes", "wanted"), [(0.25, 80, 0.2427), (1.0, 80, 0.9927), (0.25, 8, 0.1768), (0.05, 8, 0.025)]
)
def test_what_cuda_takes_comes_out_of_a_slots_share(share: float, gigabytes: int, wanted: float) -> None:
    assert memory_share(share, gigabytes * 2**30) == pytest.approx(wanted, abs=2e-4)
