"""optuna-dashboard beside the pages: a process of its own, on loopback, over a copy of the storage.

It can delete trials and has no login, and its reads are heavy, so it never sees the storage itself. It ends when the
pages end, however that happens: it waits for the end of its standard input, which the pages hold open.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fitnets.errors import InputError
from search.read.stored.copy import copy

HOST, USUAL_PORT = "127.0.0.1", 8080
ADDRESS = "FITNET_OPTUNA_DASHBOARD"  # the variable that tells the pages where it is
REST, DUTY = 30.0, 20  # it rests this many seconds between two copies, and this many times as long as a copy takes


@contextmanager
def optuna_dashboard(url: str) -> Iterator[str]:
    """Within this context it runs, and `ADDRESS` is set; yields its address.

    Raises InputError where the storage cannot be read.
    """
    folder = Path(tempfile.mkdtemp(prefix="fitnet-optuna-"))
    try:
        copy(url, folder / "studies.db")  # here, so that a storage that cannot be read is said at once
        address = f"http://{HOST}:{(port := _free_port())}"
        os.environ[ADDRESS] = address
        # The storage's URL may hold a password: it goes through the environment, which other users cannot read.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "app.beside", str(folder), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"FITNET_STORAGE": url, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for the pages, which then end this
        )
        try:
            yield address
        finally:
            process.terminate()
            process.communicate()  # waits, and closes its input
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    """The usual port, or any free one where that is taken."""
    for port in (USUAL_PORT, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise InputError("no port is free on this machine for optuna-dashboard: leave out --optuna-dashboard.")


def _serve(folder: Path, port: int) -> None:
    """The process: optuna-dashboard over the copy, which is made anew while the search goes on."""
    url = os.environ["FITNET_STORAGE"]
    threading.Thread(target=_end_with_the_pages, args=(folder,), daemon=True).start()
    threading.Thread(target=_copy_again, args=(url, folder / "studies.db"), daemon=True).start()
    from optuna_dashboard import run_server

    run_server(f"sqlite:///{folder / 'studies.db'}", host=HOST, port=port)


def _end_with_the_pages(folder: Path) -> None:
    sys.stdin.read()
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)


def _copy_again(url: str, target: Path) -> None:
    took = 0.0
    while True:
        time.sleep(max(REST, DUTY * took))
        began = time.monotonic()
        with suppress(InputError, OSError):  # a storage that is busy or away: the copy stays as it was
            copy(url, target)
        took = time.monotonic() - began


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
