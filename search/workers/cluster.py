"""Ray: started on this machine or joined elsewhere, its nodes and its actors. The only `import ray`."""

import functools
import logging
import math
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fitnets import own_code
from fitnets.errors import InputError
from search.storage.address import shown
from search.workers.faults import foreseen, one_line
from search.workers.machine import cores
from search.workers.protocol import Stopped
from search.workers.readiness import TOKENS, check_ready, token_file

CONNECT_SECONDS = 5.0
START_ATTEMPTS = 3
OBJECT_STORE_BYTES = 256 * 2**20  # enough for teachers and weights; Ray's default takes a third of the memory


GROUP, MODEL = "ray.io/node-group", "ray.io/accelerator-type"  # Ray's own labels of a node
MOST_REQUESTED = 1000  # slots, at a time, that an autoscaler is asked for


class Node(NamedTuple):
    """A live node of the cluster."""

    host: str
    slots: int
    """How many it can run."""
    gpu: float = 0.0
    """The share of a GPU that each of them takes; 0 where the node has none."""
    model: str = ""
    """Of its GPUs, as far as Ray knows it."""
    is_managed: bool = False
    """Whether an autoscaler or an operator started it: such a cluster gets nodes when they are asked for."""


@functools.cache
def ray() -> Any:
    """Ray, imported after its environment variables are set: it reads them on import, and its workers inherit them."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # the node is 127.0.0.1: every port is on loopback
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    token = token_file()
    if any(name in os.environ for name in TOKENS) or (token is not None and token.is_file()):
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # joining a cluster, Ray uses its token only when told to
    import ray

    _silence(ray)
    return ray


def _silence(ray: Any) -> None:
    """Keep Ray's error pages off the terminal, and a password on the command line out of Ray's dashboard.

    The only private names of Ray. `log_to_driver=False` silences workers' logs, but not what a thread of the driver
    prints of every worker that dies (`listen_error_messages`); the search prints a line of its own. And Ray takes a
    job's entry point from the process's command line (`get_entrypoint_name`): `ray.init` takes no other.
    """
    import ray._private.worker

    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    words = [shown(word) for word in sys.argv]
    if words != sys.argv:
        ray._raylet.setproctitle(shlex.join(["python", *words]))


def connect(address: str | None, slots: int | None) -> None:
    """Start Ray on this machine with `slots` slots (default: one for each core), or join the cluster at `address`.

    Raises InputError when it cannot be joined, or Ray cannot start here.
    """
    on_terminate = signal.getsignal(signal.SIGTERM)
    with _importing_as_here():
        if address is None:
            _start(slots or cores())
        else:
            _join(address)
    signal.signal(signal.SIGTERM, on_terminate)  # Ray's own ends the process even in the middle of a write


@contextmanager
def _importing_as_here() -> Iterator[None]:
    """The context in which to start Ray, which puts the current folder first in the workers' `sys.path`.

    Unless it is in this process's own, Ray is started in another folder: a file of the user's that is called as one of
    our packages or a library's would take its place. A worker comes back here in `Actor.hello`.
    """
    here = Path.cwd()
    if not own_code.comes_first():
        os.chdir(sys.prefix)
    try:
        yield
    finally:
        os.chdir(here)


def _start(cpus: int) -> None:
    """Start Ray, in START_ATTEMPTS attempts: each may take 30 s, which is too little on a busy machine.

    Raises InputError when this machine lacks something that Ray needs, Stopped when Ray does not start.
    """
    check_ready()
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray().init(
                address="local",  # never a cluster that happens to run here
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
            )
            return
        except Exception as error:  # Ray raises nothing more specific
            ray().shutdown()
            if attempt == START_ATTEMPTS:
                reason = str(error).splitlines()[0]
                raise Stopped(
                    f"Ray did not start ({reason}): see whether the machine has memory, disk and processes (`ulimit "
                    "-u`) left."
                ) from error


def _join(address: str) -> None:
    """Connect to a running cluster. Raises InputError at once if nothing listens there: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isascii() and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise InputError(
                f"nothing answers at `{address}` ({error}): start a Ray cluster with `ray start --head`, "
                "or leave --address out to run on this machine."
            ) from error
    try:
        ray().init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the Ray cluster at `{address}` cannot be joined ({reason}): check the address, and that this machine has "
            "the cluster's token (RAY_AUTH_TOKEN_PATH)."
        ) from error


def nodes(gpu: float) -> dict[str, Node]:
    """The live nodes by Ray's id, each with the slots that its resources hold.

    A slot takes a core, and the share `gpu` of one GPU where the node has GPUs.
    """
    return {node["NodeID"]: _node(node, gpu) for node in ray().nodes() if node["Alive"]}


def _node(node: Mapping[str, Any], gpu: float) -> Node:
    resources, labels = node["Resources"], node.get("Labels", {})
    share = gpu if resources.get("GPU", 0) else 0.0
    slots = slot_count(resources, share)
    return Node(node["NodeManagerHostname"], slots, share, labels.get(MODEL, ""), GROUP in labels)


def slot_count(resources: Mapping[str, float], gpu: float) -> int:
    """How many slots a node with these resources holds. A slot's share of a GPU (0 to 1) lies on one GPU."""
    cpus, gpus = int(resources.get("CPU", 0)), resources.get("GPU", 0)
    if not gpu:
        return cpus
    return min(cpus, int(gpus) * math.floor(1 / gpu + 1e-9))


def request(slots: int, gpu: float) -> None:
    """Ask the cluster's autoscaler, if it has one, for `slots` slots in all; 0 withdraws the request."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[{"CPU": 1} | ({"GPU": gpu} if gpu else {})] * min(slots, MOST_REQUESTED))


def start_actor(cls: type, node: str, gpu: float) -> Any:
    """Start an actor of that class on that node. It ends with this process, and Ray never restarts it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    on_node = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray().remote(cls).options(num_cpus=1, num_gpus=gpu, scheduling_strategy=on_node).remote()


def is_cancelled() -> bool:
    """Whether the driver has cancelled the task that this worker runs."""
    return bool(ray().get_runtime_context().is_canceled())


def get(reference: Any) -> Any:
    """The value of a reference. Raises a worker's InputError as it is, and its other foreseen errors as Stopped."""
    try:
        return ray().get(reference)
    except ray().exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise type(error.cause)(str(error.cause)) from error
        if foreseen(error.cause):
            raise Stopped(one_line(error.cause), repeats=True) from error
        raise
