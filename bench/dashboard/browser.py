"""The pages as a visitor sees them: a server on a free port, and Debian's chromium. Tests use it too."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FRONT = ".st-key-front_chart .js-plotly-plot"
"""The chart of the home page, as a CSS selector."""
DRAWN = f"document.querySelector('{FRONT}')?.data?.length > 0"
"""A JavaScript expression that is true once the front chart is drawn."""


class Served:
    """`python -m app` for one folder of runs, from the moment it accepts connections until `stop`.

    Raises TimeoutError when it does not within `patience` seconds.
    """

    def __init__(self, runs: Path, patience: float = 60.0):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "app", "--runs", str(runs), "--port", str(port)]
        self._log = (runs / "app.log").open("w")
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise TimeoutError(f"the app did not answer on port {port} within {patience:.0f} s: see {runs}/app.log")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def cpu_seconds(self) -> float:
        """The server's processor time so far, in seconds, over all threads (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
