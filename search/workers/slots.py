"""The slots of a Ray cluster: actors that come and go with its nodes. No trials here.

Each starts by itself, step by step (its process, the images, the teacher), while others work. One that dies is
replaced where a node has resources for it; one that cannot start is retried, after a longer pause each time. The search
is stopped only when no slot works and none can be started.
"""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fitnets.config import Precision
from fitnets.errors import InputError
from search.workers import cluster
from search.workers.actor import Actor
from search.workers.cluster import ray
from search.workers.facts import Facts, TeacherFacts
from search.workers.faults import NODE_DIED, one_line, why_died
from search.workers.nodes import Nodes
from search.workers.protocol import Stopped

CHECK_SECONDS = 2.0  # between two checks of the cluster's nodes
START_SECONDS = 180.0  # a process that has not started by then will not
START_ATTEMPTS = 3  # this many workers in a row that cannot start, while none works, stop the search
NO_NODE_SECONDS = 600.0  # how long the search waits for a node that can run a worker to join
MAX_BACKOFF_SECONDS = 300.0  # a node where no worker starts is retried after 2, 4, 8 ... seconds, at most these


@dataclass(eq=False, slots=True)
class Slot:
    """One actor: its node, the step that it is in, and the reference or stream that yields that step's result."""

    actor: Any
    node: str
    awaited: Any
    since: float
    """When that step began (monotonic clock)."""
    step: Literal["process", "images", "teacher", "idle", "trial", "stopping"] = "process"
    """`stopping`: a trial that is to end after its current epoch."""
    stream: Any = None
    gpu: float = 0.0
    """The share of a GPU that it has."""
    number: int = -1
    """Of the trial that it runs, or ran last; -1 before the first."""
    began: bool = False
    """Whether its trial has begun."""
    replayed: float = 0.0
    """Seconds that its trial's replayed epochs took when they were trained."""
    native: Precision = "float32"
    """The precision in which its processor is fastest."""

    @property
    def works(self) -> bool:
        """Whether it has started, and so runs a trial or waits for one."""
        return self.step == "idle" or self.has_trial

    @property
    def has_trial(self) -> bool:
        """Whether a trial runs on it, or is ending."""
        return self.step in ("trial", "stopping")

    def become_idle(self) -> None:
        """Wait for a trial."""
        self.step, self.awaited, self.stream = "idle", None, None


class WorkerGone(NamedTuple):
    """A slot whose process or node died."""

    reason: str


class Slots:
    """All slots: at most `limit`, each with a core and a share `gpu` of a GPU. Nodes may join only if `joins`.

    Once a node with GPUs was seen (`search.workers.nodes`), slots that have only a core end with their trials.
    """

    def __init__(self, limit: int | None, gpu: float, *, joins: bool):
        self.limit, self.joins = limit, joins
        self.all: list[Slot] = []
        self.notes: list[str] = []
        self.facts: Facts | None = None
        self.teacher_facts: TeacherFacts | None = None
        self._nodes = Nodes(gpu, self.notes, joins=joins)
        self._open_arguments: tuple[Any, ...] = ()
        self._teacher_arguments: tuple[Any, ...] = ()
        self._check_at = 0.0
        self._no_node_since: float | None = None
        self._failed_starts = 0
        self._pause: dict[str, float] = {}  # node -> seconds until its next start, after one that failed
        self._not_before: dict[str, float] = {}  # node -> when that is, by the monotonic clock
        self._noted_slow: set[str] = set()  # nodes that lack the study's precision in hardware, noted already

    def capacity(self) -> int:
        """How many slots there are, those that are still starting included."""
        available = self._nodes.slots()
        return available if self.limit is None else min(self.limit, available)

    def on_node(self, slot: Slot) -> int:
        """How many slots its node may have: cores that are free as long as no trial runs."""
        node = self._nodes.live.get(slot.node)
        return 1 if node is None else min(node.slots, self.limit or node.slots)

    def idle(self) -> list[Slot]:
        """The slots that wait for a trial."""
        return [slot for slot in self.all if slot.step == "idle" and not self._is_retired(slot)]

    def need(self, slots: int) -> None:
        """The search can use so many slots: see `Nodes.need`; `limit` at most."""
        self._nodes.need(min(slots, self.limit or slots))

    def _is_retired(self, slot: Slot) -> bool:
        """Whether a slot has only a core, now that there are GPUs."""
        return self._nodes.has_gpus and not slot.gpu

    def note_precision(self, slot: Slot, precision: Precision) -> None:
        """Note, once for each node, that it lacks `precision` in hardware, where the first worker has it."""
        first = self.facts.native if self.facts is not None else slot.native
        if precision == "bf16" == first != slot.native and slot.node not in self._noted_slow:
            self._noted_slow.add(slot.node)
            host = self._nodes.live[slot.node].host if slot.node in self._nodes.live else "a node"
            self.notes.append(f"note: {host} lacks bf16 in hardware, which the study trains in: its trials are slower")

    def open(self, *arguments: Any) -> Facts:
        """Have every slot, now and later, open the images with these arguments. Returns the first one's Facts."""
        self._open_arguments = arguments
        while self.facts is None:
            self.tick(1.0)
        return self.facts

    def teach(self, *arguments: Any) -> TeacherFacts:
        """Have every slot, now and later, load the teacher with these arguments. Returns the first one's facts."""
        self._teacher_arguments = arguments
        for slot in self.idle():
            self._load_teacher(slot)
        while self.teacher_facts is None:
            self.tick(1.0)
        return self.teacher_facts

    def tick(self, seconds: float) -> list[tuple[Slot, Any]]:
        """Wait `seconds` at most, and 2 s: the items that trials yielded, WorkerGone for a worker that died.

        Raises Stopped when no slot works and none can be started, InputError when the first one finds the input wrong.
        """
        lost = self._check_nodes() if time.monotonic() >= self._check_at else []
        awaited = {slot.awaited: slot for slot in self.all if slot.awaited is not None}
        if not awaited or lost:
            time.sleep(0 if lost else min(seconds, CHECK_SECONDS))
            return lost
        first, _ = ray().wait(list(awaited), num_returns=1, timeout=min(seconds, CHECK_SECONDS))
        more, _ = ray().wait(list(awaited), num_returns=len(awaited), timeout=0)
        items = [self._receive(awaited[reference]) for reference in {*first, *more}]
        return [item for item in items if item is not None]

    def drop(self, slot: Slot) -> None:
        """Give up a slot; another one will be started in its place."""
        self.all.remove(slot)
        ray().kill(slot.actor)  # it may be alive and only cut off
        self._check_at = 0.0

    def _check_nodes(self) -> list[tuple[Slot, Any]]:
        """Update the nodes: drop the slots whose node left, and start slots where a node has resources for them."""
        now = time.monotonic()
        self._check_at = now + CHECK_SECONDS
        before, had_gpus = self._nodes.live, self._nodes.has_gpus
        self._nodes.look()
        live = self._nodes.live
        for name in before.keys() - live.keys():
            self.notes.append(f"node {before[name].host} left: {self.capacity()} slot(s)")
        for name in live.keys() - before.keys():
            self.notes.append(f"node {live[name].host} joined: {self.capacity()} slot(s)")
        if self._nodes.has_gpus and not had_gpus:
            self.notes.append("there are GPUs now: students begin on them only, and those on cores go on to their ends")
        lost: list[tuple[Slot, Any]] = []
        for slot in list(self.all):
            if self._is_retired(slot) and not slot.has_trial:
                self.drop(slot)
            elif slot.node not in live:
                self.drop(slot)
                if slot.has_trial:
                    lost.append((slot, WorkerGone(NODE_DIED)))
            elif slot.step == "process" and now - slot.since > START_SECONDS:
                self._not_started(slot, f"no process started in {START_SECONDS:.0f} s: another job may use the node")
        self._check_capacity(now)
        self._start_slots(now)
        return lost

    def _check_capacity(self, now: float) -> None:
        """Where no node can run a worker: raise Stopped after NO_NODE_SECONDS, or at once if none can join.

        A cluster with an autoscaler was asked for nodes, and may have to wait for them itself: there it goes on.
        """
        if self.capacity():
            self._no_node_since = None
        elif not self.joins:
            raise Stopped("Ray's process on this machine has died: run the same command again, and it goes on.")
        elif self._no_node_since is None:
            self._no_node_since = now
            self.notes.append("no node has room for a worker: waiting for one to join")
        elif now - self._no_node_since > NO_NODE_SECONDS and self._nodes.is_managed:
            self._no_node_since = None  # the next check notes again that it waits
        elif now - self._no_node_since > NO_NODE_SECONDS:
            share = f" and {self._nodes.gpu:g} of a GPU" if self._nodes.gpu else ""
            raise Stopped(
                f"no node of the cluster has had room for a worker for {NO_NODE_SECONDS:.0f} s: start nodes with a core"
                f"{share} for each, and run the same command again."
            )

    def _start_slots(self, now: float) -> None:
        """Start slots where nodes have resources for them, on the emptiest node first.

        The first slot starts alone: it decodes the images into the store for all.
        """
        used = Counter(slot.node for slot in self.all if not self._is_retired(slot))
        while used.total() < (self.capacity() if self.facts is not None else 1):
            free = [name for name, node in self._nodes.live.items() if used[name] < node.slots]
            names = [name for name in free if now >= self._not_before.get(name, 0.0)]
            if not names:
                return
            name = min(names, key=lambda name: used[name])
            used[name] += 1
            gpu = self._nodes.live[name].gpu
            actor = cluster.start_actor(Actor, name, gpu)
            greeting = actor.hello.remote(None if self.joins else str(Path.cwd()))
            self.all.append(Slot(actor, name, greeting, now, gpu=gpu))

    def _receive(self, slot: Slot) -> tuple[Slot, Any] | None:
        """Process what a slot yielded: a step of its start (returns None), or an item of its trial (returned)."""
        errors = ray().exceptions
        try:
            if slot.stream is not None and slot.awaited is slot.stream:
                slot.awaited = next(slot.stream)
            item = ray().get(slot.awaited, timeout=0)
        except errors.GetTimeoutError:
            return None  # still in transit from another machine: awaited again
        except StopIteration:
            self.drop(slot)
            return slot, WorkerGone("its stream ended without a result")
        except errors.RayTaskError as error:
            return self._died(slot, one_line(error.cause), error.cause)
        except errors.RayError as error:
            return self._died(slot, why_died(str(error)))
        if slot.has_trial:
            slot.awaited = slot.stream
            return slot, item
        self._step_done(slot, item)
        return None

    def _step_done(self, slot: Slot, item: Facts | TeacherFacts | None) -> None:
        """A slot has finished a step of its start: the process, the images, or the teacher."""
        if item is None:
            slot.step, slot.awaited = "images", slot.actor.open.remote(*self._open_arguments, slot.gpu)
        elif isinstance(item, Facts):
            self.facts, slot.native = self.facts or item, item.native
            if item.images != self.facts.images:
                self._not_started(slot, "its images are not those of the other workers: give all nodes the same --data")
            elif self._teacher_arguments:
                self._load_teacher(slot)
            else:
                self._ready(slot)
        else:
            self.teacher_facts = self.teacher_facts or item
            if item.teacher != self.teacher_facts.teacher:
                self._not_started(slot, "its teacher is not that of the other workers: give all nodes the same weights")
            else:
                self._ready(slot)

    def _died(self, slot: Slot, reason: str, error: BaseException | None = None) -> tuple[Slot, WorkerGone] | None:
        """A slot's process died or raised, during a trial or while it was starting."""
        if not slot.has_trial and reason != NODE_DIED:
            self._not_started(slot, reason, error)
            return None
        self.drop(slot)
        return (slot, WorkerGone(reason)) if slot.has_trial else None

    def _load_teacher(self, slot: Slot) -> None:
        slot.step, slot.awaited = "teacher", slot.actor.call.remote("open_teacher", *self._teacher_arguments)

    def _ready(self, slot: Slot) -> None:
        slot.become_idle()
        self._failed_starts, self._check_at = 0, 0.0  # the others start after the first one
        self._pause.pop(slot.node, None)

    def _not_started(self, slot: Slot, reason: str, error: BaseException | None = None) -> None:
        """A slot could not start: raise InputError if it was the first and its input is wrong, else retry later."""
        self.drop(slot)
        first = self.facts is None if slot.step == "images" else self.teacher_facts is None
        if first and isinstance(error, InputError):
            raise type(error)(str(error)) from error
        self._failed_starts += 1
        pause = self._pause[slot.node] = min(MAX_BACKOFF_SECONDS, 2 * self._pause.get(slot.node, CHECK_SECONDS / 2))
        self._not_before[slot.node] = time.monotonic() + pause
        host = self._nodes.live[slot.node].host if slot.node in self._nodes.live else "a node that left"
        if self._failed_starts >= START_ATTEMPTS and not any(other.works for other in self.all):
            failed = f"{self._failed_starts} workers in a row could not start, the last one on {host}: {reason}"
            raise Stopped(failed, repeats=True)
        self.notes.append(f"a worker on {host} could not start, and is tried again in {pause:.0f} s: {reason}")
