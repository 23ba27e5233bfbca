"""Times the students of this folder on this device: `python time_students.py > timings.json`, then bring that back.

It needs onnxruntime alone (with the NumPy that comes with it), and prints JSON for `search.latency STUDY --add FILE`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LIST = "students.json"
MODEL_NAMES = ("model name", "Model", "Hardware")  # in /proc/cpuinfo: of x86, of a Raspberry Pi, of other ARM boards


def device_name(version: str) -> str:
    """The processor's name, and the onnxruntime that runs on it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = next((known[key] for key in MODEL_NAMES if known.get(key)), "") or platform.processor() or platform.machine()
    return f"{name} (CPU, onnxruntime {version})"


def timed(file: Path, shape: list[int], threads: int, batch: int, runs: int) -> tuple[float, float]:
    """Milliseconds of a pass of `batch` images, median and 90th percentile over `runs` after a warm-up."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).random((batch, *shape), dtype=np.float32)
    times = []
    for i in range(-max(3, runs // 10), runs):
        began = time.perf_counter()
        session.run(["logits"], {"pixels": pixels})
        if i >= 0:
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times), statistics.quantiles(times, n=10)[-1]


def main(words: list[str] | None = None) -> int:
    """The command. Returns 0, or exits with 2 where something is missing."""
    parser = argparse.ArgumentParser(description="Time the students of this folder, and print the timings as JSON.")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of a pass; default 1")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images of a pass; default 1")
    parser.add_argument("--runs", type=int, default=200, metavar="N", help="passes that are timed; default 200")
    parser.add_argument("--device", metavar="NAME", help="this device's name; default: its processor's")
    given = parser.parse_args(words)
    if given.threads < 1 or given.batch < 1 or given.runs < 2:
        parser.error("`--threads` and `--batch` are 1 or more, `--runs` 2 or more")
    folder = Path(__file__).parent
    if not (folder / LIST).is_file():
        parser.error(f"there is no `{LIST}` beside this file: copy the whole folder")
    try:
        import onnxruntime
    except ImportError:
        parser.error("onnxruntime is not installed here: `pip install onnxruntime`")
    listed = json.loads((folder / LIST).read_text())
    device = given.device or device_name(onnxruntime.__version__)
    timings = []
    for student in listed["students"]:
        file = folder / student["file"]
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        p50, p90 = timed(file, listed["shape"], given.threads, given.batch, given.runs)
        sys.stderr.write(f"trial {student['trial']}: {p50:.3g} ms (p90 {p90:.3g})\n")
        timings.append(
            {
                "trial": student["trial"],
                "weights_sha256": student["weights_sha256"],
                "precision": listed["precision"],
                "file_bytes": file.stat().st_size,
                "threads": given.threads,
                "batch": given.batch,
                "device": device,
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "load": load,
                "p50_ms": p50,
                "p90_ms": p90,
            }
        )
    sys.stdout.write(json.dumps({"study": listed["study"], "timings": timings}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
