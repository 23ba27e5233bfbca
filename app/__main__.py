"""`python -m app`: the dashboard in a browser, on this machine only."""

import importlib
import os
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from app import beside
from fitnets.errors import InputError
from search import cli
from search.storage.address import storage_url

MAIN = Path(__file__).with_name("main.py")
HOST = "127.0.0.1"


@cli.app
def main(
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    port: Annotated[int, typer.Option(min=1024, max=65535, help="The port on 127.0.0.1 that it listens on.")] = 8501,
    optuna_dashboard: Annotated[
        bool, typer.Option("--optuna-dashboard", help="Start optuna-dashboard too, on a copy of the storage.")
    ] = False,
) -> None:
    """Show the studies of a storage, read-only: the trade-offs, each student, and how the search goes."""
    try:
        Path.home()
    except RuntimeError:
        raise InputError(
            f"HOME is not set, and user {os.getuid()} has no entry in the system's list of users: Streamlit looks for "
            "its settings in the home folder, so set HOME, as `export HOME=/tmp`."
        ) from None
    url = os.environ["FITNET_STORAGE"] = storage_url(runs, storage)
    os.environ["FITNET_RUNS"] = str(runs.resolve())
    os.nice(5)  # a search on the same machine has priority over these pages
    os.environ.pop(beside.ADDRESS, None)
    with beside.optuna_dashboard(url) if optuna_dashboard else nullcontext() as address:
        if address is not None:
            sys.stdout.write(f"optuna-dashboard is at {address}, on a copy of the storage\n")
        _serve(port)


def _serve(port: int) -> None:
    """The pages, until they are stopped."""
    sys.stdout.write(f"FitNet Search is at http://{HOST}:{port} (stop it with Ctrl-C)\n")
    sys.stdout.flush()
    threading.Thread(target=_warm, daemon=True).start()
    from streamlit.web import cli as streamlit

    flags = ["--server.address", HOST, "--server.port", str(port), "--browser.gatherUsageStats", "false"]
    flags += [
        "--global.disableWidgetStateDuplicationWarning",
        "true",
    ]  # a slider has two ends only by its default value
    streamlit.main(args=["run", str(MAIN), *flags], prog_name="streamlit")


def _warm() -> None:
    """Import what the pages need before the first visit, which then waits for its data only."""
    for module in (
        "app.page",
        "app.widgets.cards",
        "app.charts.search_chart",
        "app.charts.student_chart",
        "app.widgets.downloads",
        "pandas",
    ):
        importlib.import_module(module)


if __name__ == "__main__":
    main()
