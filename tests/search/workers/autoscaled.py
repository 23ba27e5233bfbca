"""A head without cores, Ray's own autoscaler, and a crew that gets a trial trained. No tests here.

    python -m tests.search.workers.autoscaled DIR     in a network namespace of its own: it takes the port 6379

The nodes that the autoscaler starts are processes of this machine ("fake_multinode"). Ray's `AutoscalingCluster` does
the same, but ends every Ray process of the machine first, and Ray's wheel lacks a file that it reads.
"""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.scale.stub import stub
from search.workers import cluster
from search.workers.crew import RayWorkers
from search.workers.protocol import Finished
from tests.helpers import DIGITS, RECIPE, TEACHER

PORT, BYTES = 6379, 100 * 2**20  # the autoscaler's nodes look for their head on that port
CONFIG: dict[str, Any] = {
    "cluster_name": "fake",
    "max_workers": 1,
    "provider": {"type": "fake_multinode", "disable_node_updaters": True},  # there is nothing to install on them
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "cores": {"resources": {"CPU": 2, "object_store_memory": BYTES}, "node_config": {}, "max_workers": 1},
    },
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 1,
    "auth": {},
    "file_mounts_sync_continuously": False,
    **{name: {} for name in ("file_mounts", "docker")},
    **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
    **{name: [] for name in ("initialization_commands", "setup_commands", "head_setup_commands")},
    **{name: [] for name in ("worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")},
}


def started(folder: Path) -> None:
    """Start the head; it ends with this process's namespace."""
    config = folder / "cluster.json"
    config.write_text(json.dumps(CONFIG))
    words = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    words += [f"--port={PORT}", "--num-cpus=0", f"--object-store-memory={BYTES}", f"--temp-dir={folder / 'ray'}"]
    words += ["--include-dashboard=false", f"--autoscaling-config={config}"]
    asked = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    with (folder / "head.log").open("w") as log:
        head = subprocess.Popen(words, env=os.environ | asked, stdout=log, stderr=log)
    while head.poll() is None:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", PORT), 1.0).close()
            return
        time.sleep(1.0)
    raise RuntimeError((folder / "head.log").read_text())


def main(folder: Path) -> None:
    """Print what a crew found: its slots before and after it asked for one, and the trials that ended."""
    started(folder)
    crew = RayWorkers(f"127.0.0.1:{PORT}", 1, 0.25, stub(0.1))
    before = crew.slots, len(cluster.nodes(0.25))
    crew.open(DIGITS, folder, folder / "store")
    crew.teach(TEACHER, lambda report: None)
    crew.submit(7, RECIPE)
    ended: list[int] = []
    while not ended:
        ended += [event.number for event in crew.wait(1.0) if isinstance(event, Finished)]
    print(json.dumps({"before": before, "after": [crew.slots, len(cluster.nodes(0.25))], "ended": ended}))  # noqa: T201
    crew.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
