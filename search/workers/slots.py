"""The slots of a Ray cluster: actors that come and go with its nodes. No trials here.

Each starts by itself, step by step (its process, the images, the teacher), while others work. One that dies is
replaced where there is room; one that cannot start is tried again, later each time. The search is stopped only when no
slot works and none can be started.
"""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from fitnets.config import Precision
from fitnets.errors import InputError
from search.workers import cluster
from search.workers.actor import Actor
from search.workers.cluster import ray
from search.workers.facts import Facts, TeacherFacts
from search.workers.faults import NODE_DIED, in_words, why_gone
from search.workers.protocol import Stopped

LOOK_SECONDS = 2.0  # how often the cluster is looked at
START_SECONDS = 180.0  # a process that is not there by then will not come
START_ATTEMPTS = 3  # so many workers in a row that cannot start, while none works, stop the search
NOBODY_SECONDS = 600.0  # without a node that has room for a worker, the search waits so long for one to join
MOST_BACKOFF = 300.0  # a node where no worker starts is tried again after 2, 4, 8 ... seconds, at most so many


@dataclass(eq=False, slots=True)
class Slot:
    """One actor: its node, the step that it is in, and the reference or stream that yields that step's result."""

    actor: Any
    node: str
    awaited: Any
    since: float
    """When that step began (monotonic clock)."""
    step: Literal["process", "images", "teacher", "idle", "trial"] = "process"
    stream: Any = None
    number: int = -1
    """The trial that it runs, or ran last; -1 before the first."""
    began: bool = False
    before: float = 0.0
    """Seconds of the trial's epochs that were trained before."""
    native: Precision = "float32"
    """The precision that its processor is fastest in."""

    def rest(self) -> None:
        """Be idle."""
        self.step, self.awaited, self.stream = "idle", None, None


class WorkerGone(NamedTuple):
    """A slot whose process or node died."""

    why: str


class Slots:
    """All slots; at most `most`, each with a core and `gpu` of a GPU. Nodes join only where `joins`."""

    def __init__(self, most: int | None, gpu: float, *, joins: bool):
        self.most, self.gpu, self.joins = most, gpu, joins
        self.all: list[Slot] = []
        self.notes: list[str] = []
        self.facts: Facts | None = None
        self.taught: TeacherFacts | None = None
        self._nodes = cluster.nodes(gpu)
        self._open: tuple[Any, ...] = ()
        self._teacher: tuple[Any, ...] = ()
        self._look_at = 0.0
        self._nobody_since: float | None = None
        self._failed_starts = 0
        self._pause: dict[str, float] = {}  # node -> seconds between its last two starts that failed
        self._not_before: dict[str, float] = {}
        self._slow: set[str] = set()  # nodes that lack the study's precision in hardware, noted already

    def capacity(self) -> int:
        """How many slots there are, or will be when all have started."""
        there = sum(node.slots for node in self._nodes.values())
        return there if self.most is None else min(self.most, there)

    def idle(self) -> list[Slot]:
        """Those that wait for work."""
        return [slot for slot in self.all if slot.step == "idle"]

    def note_precision(self, slot: Slot, precision: Precision) -> None:
        """Note, once for each node, that it lacks a `precision` which the first worker has in hardware."""
        first = self.facts.native if self.facts is not None else slot.native
        if precision == "bf16" == first != slot.native and slot.node not in self._slow:
            self._slow.add(slot.node)
            host = self._nodes[slot.node].host if slot.node in self._nodes else "a node"
            self.notes.append(f"note: {host} lacks bf16 in hardware, which the study trains in: its trials are slower")

    def open(self, *arguments: Any) -> Facts:
        """Have every slot, now and later, open the images with these arguments; what the first one found."""
        self._open = arguments
        while self.facts is None:
            self.tick(1.0)
        return self.facts

    def teach(self, *arguments: Any) -> TeacherFacts:
        """Have every slot, now and later, load the teacher with these arguments; what the first one found."""
        self._teacher = arguments
        for slot in self.idle():
            self._load_teacher(slot)
        while self.taught is None:
            self.tick(1.0)
        return self.taught

    def tick(self, seconds: float) -> list[tuple[Slot, Any]]:
        """Wait for the slots, `seconds` at most (and 2 s): the items of those with a trial, Gone where one died.

        Raises Stopped when no slot works and none can be had, InputError when the first one finds the input wrong.
        """
        gone = self._look() if time.monotonic() >= self._look_at else []
        awaited = {slot.awaited: slot for slot in self.all if slot.awaited is not None}
        if not awaited or gone:
            time.sleep(0 if gone else min(seconds, LOOK_SECONDS))
            return gone
        first, _ = ray().wait(list(awaited), num_returns=1, timeout=min(seconds, LOOK_SECONDS))
        more, _ = ray().wait(list(awaited), num_returns=len(awaited), timeout=0)
        return [heard for reference in {*first, *more} if (heard := self._receive(awaited[reference])) is not None]

    def drop(self, slot: Slot) -> None:
        """Give a slot up; another takes its place."""
        self.all.remove(slot)
        ray().kill(slot.actor)  # it may be cut off and alive
        self._look_at = 0.0

    def _look(self) -> list[tuple[Slot, Any]]:
        """Update the nodes: drop the slots whose node left, and start slots where a node has resources for them."""
        now = time.monotonic()
        self._look_at = now + LOOK_SECONDS
        before, self._nodes = self._nodes, cluster.nodes(self.gpu)
        for name in before.keys() - self._nodes.keys():
            self.notes.append(f"node {before[name].host} left: {self.capacity()} slot(s)")
        for name in self._nodes.keys() - before.keys():
            self.notes.append(f"node {self._nodes[name].host} joined: {self.capacity()} slot(s)")
        gone: list[tuple[Slot, Any]] = []
        for slot in list(self.all):
            if slot.node not in self._nodes:
                self.drop(slot)
                if slot.step == "trial":
                    gone.append((slot, WorkerGone(NODE_DIED)))
            elif slot.step == "process" and now - slot.since > START_SECONDS:
                self._not_started(slot, f"no process came up in {START_SECONDS:.0f} s: somebody else may have the slot")
        self._nobody(now)
        self._grow(now)
        return gone

    def _nobody(self, now: float) -> None:
        """Wait NOBODY_SECONDS for a node with a slot; raise Stopped then, or at once where no node can join."""
        if self.capacity():
            self._nobody_since = None
        elif not self.joins:
            raise Stopped("Ray's process on this machine has died: run the same command again, and it goes on.")
        elif self._nobody_since is None:
            self._nobody_since = now
            self.notes.append("no node has room for a worker: waiting for one to join")
        elif now - self._nobody_since > NOBODY_SECONDS:
            raise Stopped(
                f"no node of the cluster has had room for a worker for {NOBODY_SECONDS:.0f} s: start nodes with a core"
                f"{f' and {self.gpu:g} of a GPU' if self.gpu else ''} for each, and run the same command again."
            )

    def _grow(self, now: float) -> None:
        """Start slots where nodes have resources for them, on the emptiest node first.

        The first one alone: it decodes the images into the store for all.
        """
        used = Counter(slot.node for slot in self.all)
        while len(self.all) < (self.capacity() if self.facts is not None else 1):
            free = [name for name, node in self._nodes.items() if used[name] < node.slots]
            names = [name for name in free if now >= self._not_before.get(name, 0.0)]
            if not names:
                return
            name = min(names, key=lambda name: used[name])
            used[name] += 1
            actor = cluster.started(Actor, name, self.gpu)
            self.all.append(Slot(actor, name, actor.hello.remote(), now))

    def _receive(self, slot: Slot) -> tuple[Slot, Any] | None:
        """Process what a slot yielded: a step of its start (returns None), or an item of its trial (returned)."""
        errors = ray().exceptions
        try:
            if slot.stream is not None and slot.awaited is slot.stream:
                slot.awaited = next(slot.stream)
            item = ray().get(slot.awaited, timeout=0)
        except errors.GetTimeoutError:
            return None  # it is on its way from another machine: waited for with the others
        except StopIteration:
            self.drop(slot)
            return slot, WorkerGone("its stream ended without a result")
        except errors.RayTaskError as error:
            return self._ended(slot, in_words(error.cause), error.cause)
        except errors.RayError as error:
            return self._ended(slot, why_gone(str(error)))
        if slot.step == "trial":
            slot.awaited = slot.stream
            return slot, item
        self._started(slot, item)
        return None

    def _started(self, slot: Slot, item: Facts | TeacherFacts | None) -> None:
        """A slot has finished a step of its start: the process, the images, or the teacher."""
        if item is None:
            slot.step, slot.awaited = "images", slot.actor.open.remote(*self._open)
        elif isinstance(item, Facts):
            self.facts, slot.native = self.facts or item, item.native
            if item.images != self.facts.images:
                self._not_started(slot, "its images are not those of the other workers: give all nodes the same --data")
            elif self._teacher:
                self._load_teacher(slot)
            else:
                self._ready(slot)
        else:
            self.taught = self.taught or item
            if item.teacher != self.taught.teacher:
                self._not_started(slot, "its teacher is not that of the other workers: give all nodes the same weights")
            else:
                self._ready(slot)

    def _ended(self, slot: Slot, why: str, error: BaseException | None = None) -> tuple[Slot, WorkerGone] | None:
        """A slot's process died or raised, during a trial or while it started."""
        if slot.step != "trial" and why != NODE_DIED:
            self._not_started(slot, why, error)
            return None
        self.drop(slot)
        return (slot, WorkerGone(why)) if slot.step == "trial" else None

    def _load_teacher(self, slot: Slot) -> None:
        slot.step, slot.awaited = "teacher", slot.actor.call.remote("open_teacher", *self._teacher)

    def _ready(self, slot: Slot) -> None:
        slot.rest()
        self._failed_starts, self._look_at = 0, 0.0  # the first one lets the others start
        self._pause.pop(slot.node, None)

    def _not_started(self, slot: Slot, why: str, error: BaseException | None = None) -> None:
        """A slot could not start: raise InputError if it was the first one and its input is wrong, else retry later."""
        self.drop(slot)
        first = self.facts is None if slot.step == "images" else self.taught is None
        if first and isinstance(error, InputError):
            raise type(error)(str(error)) from error
        self._failed_starts += 1
        pause = self._pause[slot.node] = min(MOST_BACKOFF, 2 * self._pause.get(slot.node, LOOK_SECONDS / 2))
        self._not_before[slot.node] = time.monotonic() + pause
        host = self._nodes[slot.node].host if slot.node in self._nodes else "a node that left"
        if self._failed_starts >= START_ATTEMPTS and not any(slot.step in ("idle", "trial") for slot in self.all):
            raise Stopped(f"{self._failed_starts} workers in a row could not start, the last one on {host}: {why}")
        self.notes.append(f"a worker on {host} could not start, and is tried again in {pause:.0f} s: {why}")
