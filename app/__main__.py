"""`python -m app`: the dashboard in a browser, on this machine only."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from search import cli
from search.study import storage_url

MAIN = Path(__file__).with_name("main.py")
HERE = "127.0.0.1"


@cli.app
def main(
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Where on 127.0.0.1 it listens.")] = 8501,
) -> None:
    """Show the studies of a storage, read-only: the trade-offs, each student, and how the search goes."""
    about = {"FITNET_RUNS": str(runs.resolve()), "FITNET_STORAGE": storage_url(runs, storage)}
    sys.stdout.write(f"FitNet Search is at http://{HERE}:{port} (stop it with Ctrl-C)\n")
    sys.stdout.flush()
    flags = ["--server.address", HERE, "--server.port", str(port), "--browser.gatherUsageStats", "false"]
    command = [sys.executable, "-m", "streamlit", "run", str(MAIN), *flags]
    os.execve(sys.executable, command, os.environ | about)


if __name__ == "__main__":
    main()
