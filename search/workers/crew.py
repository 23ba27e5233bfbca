"""Workers on Ray: trials on the slots of this machine, or of a cluster whose nodes may join and leave meanwhile.

A trial is a streaming generator: Reports come to the driver while it trains. Retries belong to the driver, because
Ray's own retry of a generator matches items by index and can lose a result.

Files: every worker reads the images under `--data` and writes teacher, tables and checkpoints under `--runs`, each at
the same path on its own machine. If that is one shared folder, a trial that lost its worker goes on from its checkpoint
on any node; if each node has its own, it begins again there. Results come to the driver either way.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from fitnets.config import Brought, Data, Distill, Ensemble, Precision, Recipe, Report, Result, Trained, Training
from fitnets.values.net import Net
from search.workers import cluster
from search.workers.actor import Fault, Limits, Maker, trainer
from search.workers.cluster import ray
from search.workers.facts import Facts, Speed, StoredTable, TeacherFacts
from search.workers.faults import over_time, why_died
from search.workers.logs import Log
from search.workers.protocol import EndedEarly, EpochDone, Event, Failed, Finished, Notice, Stopped, WorkerLost
from search.workers.slots import Slot, Slots, WorkerGone

T = TypeVar("T")
ATTEMPTS = 3  # this many workers in a row that die without getting an epoch of the teacher further stop the search
GRACE = 10.0  # seconds after its time limit at which a trial that hangs is ended; others end after their epoch


class RayWorkers:
    """Slots on this machine, or on the Ray cluster at `address`; at most `slots` of them."""

    def __init__(self, address: str | None, slots: int | None, gpu_fraction: float, make: Maker = trainer):
        cluster.connect(address, slots)
        self._slots, self._make = Slots(slots, gpu_fraction, joins=address is not None), make
        self.need(slots or 1)
        self._events: list[Event] = []
        self._limits = Limits()

    def open(
        self, data: Data, data_dir: Path, store_dir: Path, logs: Path | None = None, trial_seconds: int | None = None
    ) -> Facts:
        """Start the workers; each reads the images. Returns the Facts of the first one that has.

        Trials write their logs under `logs`, and fail when they take longer than `trial_seconds`.
        """
        hung = None if trial_seconds is None else trial_seconds + GRACE
        self._limits = Limits(None if logs is None else str(logs.resolve()), trial_seconds, hung)
        places = str(data_dir.resolve()), str(store_dir.resolve())
        return self._slots.open(self._make, data, *places, self._limits)

    @property
    def slots(self) -> int:
        """How many slots there are, those that are still starting included."""
        return self._slots.capacity()

    def teach(self, teacher: Trained | Brought | Ensemble, on_report: Callable[[Report], None]) -> TeacherFacts:
        """Train the teacher (an ensemble member by member) unless it is trained, and have every slot load it."""
        files = [self._trained(member, on_report) for member in teacher.members]
        return self._slots.teach(teacher, ray().put(files) if files else None)

    def _trained(self, teacher: Trained, on_report: Callable[[Report], None]) -> dict[str, bytes]:
        """Train one teacher on one slot unless it is trained. Returns its files.

        When that slot's worker dies, another goes on from the teacher's checkpoint, or begins again.
        """
        furthest = 0

        def train(slot: Slot) -> dict[str, bytes]:
            nonlocal furthest
            streams = slot.actor.stream.options(num_returns="streaming")
            for item in streams.remote("train_teacher", teacher, self._slots.on_node(slot)):
                report = cluster.get(item)
                if report is not None:
                    on_report(report)
                    furthest = max(furthest, report.epoch)
            files: dict[str, bytes] = cluster.get(slot.actor.call.remote("export_teacher", teacher))
            return files

        return self._on_a_slot(train, lambda: furthest)

    def has(self, teacher: Trained | Brought | Ensemble) -> bool:
        """Whether the teacher has been trained."""
        return bool(self._on_a_slot(lambda slot: cluster.get(slot.actor.call.remote("has", teacher))))

    def stored_tables(
        self, teacher: Trained | Brought | Ensemble, precision: Precision, epochs: Sequence[int]
    ) -> frozenset[StoredTable]:
        """Of a trained teacher, the tables that the store of one worker has: see `search.workers.trainer`."""

        def find(slot: Slot) -> frozenset[StoredTable]:
            found: frozenset[StoredTable] = cluster.get(
                slot.actor.call.remote("stored_tables", teacher, precision, epochs)
            )
            return found

        return self._on_a_slot(find)

    def measure(
        self,
        net: Net,
        training: Training,
        precision: Precision,
        distill: Distill | None = None,
        *,
        whole_node: bool = False,
    ) -> Speed:
        """Time a training of `net` on one slot, or on all cores of its node: see `search.workers.trainer`."""

        def measure(slot: Slot) -> Speed:
            cores = self._slots.on_node(slot) if whole_node else 1
            speed: Speed = cluster.get(slot.actor.call.remote("measure", net, training, precision, distill, cores))
            return speed

        return self._on_a_slot(measure)

    def measure_brought(self, teacher: Brought, batch: int) -> Speed:
        """Time a brought teacher's forward pass on one slot."""

        def measure(slot: Slot) -> Speed:
            cluster.get(slot.actor.call.remote("open_teacher", teacher, None))
            speed: Speed = cluster.get(slot.actor.call.remote("measure_teacher", batch))
            return speed

        return self._on_a_slot(measure)

    def free(self) -> int:
        """How many slots are idle."""
        return len(self._slots.idle())

    def submit(self, number: int, recipe: Recipe) -> None:
        """Start trial `number` on an idle slot."""
        slot = self._slots.idle()[0]
        self._slots.note_precision(slot, recipe.precision)
        slot.stream = slot.actor.train.options(num_returns="streaming").remote(number, recipe, cluster.is_cancelled)
        slot.step, slot.awaited, slot.since = "trial", slot.stream, time.monotonic()
        slot.number, slot.began, slot.replayed = number, False, 0.0

    def stop(self, number: int) -> None:
        """End trial `number`, if it runs, after its current epoch; nothing that it still yields is heard."""
        for slot in self._slots.all:
            if slot.step == "trial" and slot.number == number:
                ray().cancel(slot.stream)
                slot.stream, slot.step = None, "stopping"
                slot.awaited = slot.actor.hello.remote(None)  # after the trial: an actor's calls are in order

    def forget(self, number: int, recipe: Recipe) -> None:
        """Have the slot that ran trial `number` delete its checkpoint: the trial is finished and stored."""
        for slot in self._slots.idle():
            if slot.number == number:
                slot.actor.call.remote("forget", recipe)

    def need(self, slots: int) -> None:
        """Have a cluster's autoscaler, if it has one, start nodes for so many slots, or remove what is idle."""
        self._slots.need(slots)

    def wait(self, seconds: float) -> list[Event]:
        """The events of the next `seconds` (2 s at most); an empty list when there were none.

        Raises Stopped when there is no worker and none can be started.
        """
        received = self._slots.tick(seconds)
        events = [event for slot, item in received if (event := self._event(slot, item)) is not None]
        active = [slot for slot, _ in received]  # these may have been in time and only the driver late
        silent = [slot for slot in self._slots.all if slot.has_trial and slot not in active]
        for slot in [slot for slot in silent if self._seconds_over(slot) > 2 * GRACE]:
            self._slots.drop(slot)  # its machine is cut off or its process suspended, or it would have ended itself
            events.append(self._worker_gone(slot, "it does not answer"))
        notes = [Notice(text) for text in self._slots.notes]
        self._slots.notes.clear()
        return [*events, *notes]

    def close(self) -> None:
        """Stop the actors, withdraw the request to the autoscaler, and leave Ray; a local one is stopped."""
        self._slots.need(0)
        for slot in self._slots.all:
            ray().kill(slot.actor)
        ray().shutdown()

    def _event(self, slot: Slot, item: Report | Result | Fault | WorkerGone | None) -> Event | None:
        if slot.step == "stopping" and not isinstance(item, WorkerGone):
            slot.become_idle()
            return EndedEarly(slot.number)
        slot.began = slot.began or not isinstance(item, WorkerGone)
        if isinstance(item, Report):
            slot.replayed += item.seconds if item.replayed else 0.0
            return EpochDone(slot.number, item)
        if isinstance(item, Result):
            slot.become_idle()
            return Finished(slot.number, item)
        if isinstance(item, Fault):
            slot.become_idle()
            if item.spoiled:
                self._slots.drop(slot)
            return Failed(slot.number, item.kind, item.message, item.log)
        return self._worker_gone(slot, item.reason) if isinstance(item, WorkerGone) else None

    def _worker_gone(self, slot: Slot, reason: str) -> Event:
        """The event of a worker that died: its trial was over its time, or is to be continued on another worker."""
        if self._limits.seconds is not None and self._seconds_over(slot) >= 0:
            log = Log(Path(self._limits.logs) if self._limits.logs else None, slot.number)  # may be another node's
            return Failed(slot.number, *over_time(self._limits.seconds), log.last())
        return WorkerLost(slot.number, reason, slot.began)

    def _seconds_over(self, slot: Slot) -> float:
        """By how many seconds a slot's trial is over its time limit; minus infinity without a limit."""
        limit = self._limits.seconds
        return slot.replayed + time.monotonic() - slot.since - limit if limit is not None else -float("inf")

    def _on_a_slot(self, work: Callable[[Slot], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Do `work` on an idle slot, and again on another if its actor dies, as long as `progress()` grows."""
        died, reached = 0, progress()
        while True:
            while not self._slots.idle():
                self._slots.tick(1.0)
            slot = self._slots.idle()[0]
            try:
                return work(slot)
            except ray().exceptions.RayTaskError:
                raise
            except ray().exceptions.RayError as error:
                self._slots.drop(slot)
                died = died + 1 if progress() == reached else 1
                reached = progress()
                if died >= ATTEMPTS:
                    raise Stopped(
                        f"{died} workers in a row died before a trial could start ({why_died(str(error))}): see "
                        "whether the machine has memory for the images and the teacher."
                    ) from error
