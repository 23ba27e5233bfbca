"""One driver for each study: the second is told who has it. The lock ends with its process, however that ends."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fitnets.errors import InputError


@contextmanager
def held(runs: Path, name: str) -> Iterator[None]:
    """Hold the study `name` under `runs` while the context lasts.

    Raises InputError, naming host, process and time, when another driver of this machine holds it.
    """
    path = runs / f"{name}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise InputError(f"another driver runs the study `{name}`: {_holder(file.read())}.") from None
        file.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since}))
        file.flush()
        yield


def _holder(text: str) -> str:
    try:
        about = json.loads(text)
        where = f"process {about['pid']} on {about['host']}, since {about['since']}"
    except (ValueError, KeyError, TypeError):
        where = "which one is not known"
    return f"{where}. Wait for it, stop it, or start a study of another name with --name"
