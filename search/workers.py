"""Workers over Ray: one long-lived actor per slot. The only `import ray`.

An actor's trial is a streaming generator: Reports come to the driver while it trains. Retries belong to the driver,
because Ray's own retry of a generator matches items by index and can lose a result.
"""

import functools
import logging
import math
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fitnets.config import Brought, Data, Precision, Recipe, Report, Result, Trained
from fitnets.errors import InputError
from fitnets.net import Net
from search.facts import Facts, Speed, TeacherFacts
from search.loop import Done, Failed, Lost, News

CONNECT_SECONDS = 5.0
OBJECT_STORE_BYTES = 256 * 2**20  # enough for teachers and weights; Ray's default takes a third of the memory


@functools.cache
def _ray() -> Any:
    """Ray, imported once its environment is set: it reads these when it is imported, and its workers inherit them."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # the node is 127.0.0.1: every port is on loopback
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    tokens = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if any(name in os.environ for name in tokens) or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # joining a cluster, Ray uses its token only when told to
    import ray

    return ray


class Actor:
    """A Trainer in its own process. Made into a Ray actor by `RayWorkers`."""

    def __init__(self) -> None:
        self.trainer: Any = None

    def open(self, data: Data, data_dir: str, store_dir: str, gpu: bool) -> Facts:
        """Read the images, and say what they are. One thread per CPU slot: two share a core badly."""
        from search.trainer import Trainer  # here, so that the driver does without torch

        self.trainer = Trainer(data, data_dir, store_dir, "cuda" if gpu else "cpu", None if gpu else 1)
        facts: Facts = self.trainer.facts()
        return facts

    def call(self, method: str, *arguments: Any) -> Any:
        """Any of the Trainer's plain methods."""
        return getattr(self.trainer, method)(*arguments)

    def stream(self, method: str, *arguments: Any) -> Iterator[Any]:
        """Any of the Trainer's generators: its items, then its result."""
        yield (yield from getattr(self.trainer, method)(*arguments))


class RayWorkers:
    """Slots on this machine, or on the Ray cluster at `address`."""

    def __init__(self, address: str | None, slots: int | None, gpu_fraction: float):
        if address is None:
            cpus = slots or os.cpu_count() or 1
            _ray().init(
                address="local",  # never somebody's cluster that happens to run here
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
            )
        else:
            _join(address)
        resources = _ray().cluster_resources()
        gpus, cpus_there = resources.get("GPU", 0), int(resources.get("CPU", 1))
        self.gpu = gpu_fraction if gpus else 0.0
        most = math.floor(gpus / gpu_fraction) if gpus else cpus_there
        self.slots = min(slots or most, max(1, most))
        self._actors: list[Any] = []
        self._free: list[Any] = []
        self._running: dict[Any, tuple[int, Any]] = {}
        self._images: tuple[Any, ...] = ()
        self._teacher: tuple[Any, ...] = ()

    def open(self, data: Data, data_dir: Path, store_dir: Path) -> Facts:
        """Start the actors; all of them read the images, and the first one says what it found."""
        self._images = (data, str(data_dir.resolve()), str(store_dir.resolve()), self.gpu > 0)
        first = self._start()
        facts: Facts = _answer(first.open.remote(*self._images))  # alone: it decodes the images into the store for all
        self._actors = [first] + [self._start() for _ in range(self.slots - 1)]
        for actor in self._actors[1:]:
            actor.open.remote(*self._images)
        self._free = list(self._actors)
        return facts

    def _start(self) -> Any:
        return _ray().remote(Actor).options(num_cpus=1, num_gpus=self.gpu).remote()

    def teach(self, teacher: Trained | Brought, on_report: Callable[[Report], None]) -> TeacherFacts:
        """Train the teacher on the first slot (or find it trained), and have every slot load it."""
        first = self._actors[0]
        for item in first.stream.options(num_returns="streaming").remote("train_teacher", teacher):
            report = _answer(item)
            if report is not None:
                on_report(report)
        files = (
            _ray().put(_answer(first.call.remote("export_teacher", teacher))) if isinstance(teacher, Trained) else None
        )
        self._teacher = ("open_teacher", teacher, files)
        opened = [actor.call.remote(*self._teacher) for actor in self._actors]
        facts: list[TeacherFacts] = [_answer(answer) for answer in opened]
        return facts[0]

    def has(self, teacher: Trained | Brought) -> bool:
        """Whether the teacher needs no training any more."""
        return bool(_answer(self._actors[0].call.remote("has", teacher)))

    def measure(self, net: Net, batch: int, precision: Precision) -> Speed:
        """Time `net` on the first slot."""
        speed: Speed = _answer(self._actors[0].call.remote("measure", net, batch, precision))
        return speed

    def measure_brought(self, teacher: Brought, batch: int) -> Speed:
        """Time a brought teacher's forward pass on the first slot."""
        _answer(self._actors[0].call.remote("open_teacher", teacher, None))
        speed: Speed = _answer(self._actors[0].call.remote("measure_teacher", batch))
        return speed

    def free(self) -> int:
        """How many slots are idle."""
        return len(self._free)

    def submit(self, number: int, recipe: Recipe) -> None:
        """Start trial `number` on an idle slot."""
        actor = self._free.pop()
        stream = actor.stream.options(num_returns="streaming").remote("train", recipe)
        self._running[stream] = (number, actor)

    def wait(self, seconds: float) -> list[News | Done | Failed | Lost]:
        """What happened; an empty list when nothing did for so long."""
        if not self._running:
            return []
        ready, _ = _ray().wait(list(self._running), num_returns=1, timeout=seconds)
        more, _ = _ray().wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [event for stream in {*ready, *more} if (event := self._next(stream)) is not None]

    def _next(self, stream: Any) -> News | Done | Failed | Lost | None:
        number, _ = self._running[stream]
        try:
            item = _ray().get(next(stream))
        except StopIteration:
            self._release(stream)
            return Lost(number, "its stream ended without a result")
        except _ray().exceptions.RayTaskError as error:
            self._release(stream)
            return Failed(number, type(error.cause).__name__, str(error.cause))
        except _ray().exceptions.RayError as error:
            self._restart(stream)
            return Lost(number, f"{type(error).__name__}: {str(error).splitlines()[0]}")
        if isinstance(item, Result):
            self._release(stream)
            return Done(number, item)
        return News(number, item)

    def _release(self, stream: Any) -> None:
        _, actor = self._running.pop(stream)
        self._free.append(actor)

    def _restart(self, stream: Any) -> None:
        """Another actor in the place of one that died; Ray queues its calls until it is ready."""
        _, dead = self._running.pop(stream)
        fresh = self._start()
        fresh.open.remote(*self._images)
        fresh.call.remote(*self._teacher)
        self._actors = [fresh if actor is dead else actor for actor in self._actors]
        self._free.append(fresh)

    def close(self) -> None:
        """Stop the actors, and Ray with them where we started it."""
        for actor in self._actors:
            _ray().kill(actor)
        _ray().shutdown()


def _join(address: str) -> None:
    """Connect to a running cluster. Raises InputError at once where nothing listens: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise InputError(
                f"nothing answers at `{address}` ({error}): start a Ray cluster with `ray start --head`, "
                "or leave --address out to run on this machine."
            ) from error
    try:
        _ray().init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the Ray cluster at `{address}` cannot be joined ({reason}): check the address, and that this machine has "
            "the cluster's token (RAY_AUTH_TOKEN_PATH)."
        ) from error


def _answer(reference: Any) -> Any:
    """The value of a reference; a worker's InputError is raised here as its own kind."""
    try:
        return _ray().get(reference)
    except _ray().exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise InputError(str(error.cause)) from error
        raise
