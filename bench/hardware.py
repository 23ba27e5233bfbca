"""The conditions of a measurement (processor, versions, date), and tables in Markdown."""

import datetime
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path


def versions(*packages: str) -> str:
    """One line: processor, cores, load, Python, the packages' versions, the date."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        flags = info.read_text()
        cpu = next((line.split(":")[1].strip() for line in flags.splitlines() if line.startswith("model name")), cpu)
        cpu += "".join(f" {flag}" for flag in ("avx512_bf16", "amx_bf16") if flag in flags)
    named = ", ".join(f"{package} {version(package)}" for package in packages)
    today = datetime.datetime.now(datetime.UTC).date()
    load = os.getloadavg()[0]
    return f"{cpu}, {os.cpu_count()} cores (load {load:.1f}), Python {platform.python_version()}, {named}, {today}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
