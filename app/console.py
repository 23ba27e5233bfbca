"""`fitnet-search COMMAND ...`: every command, from any folder.

Unlike `python -m`, it never takes what lies in that folder for one of our packages or of a library's.
"""

import importlib
import os
from typing import Any

import typer
from typer.core import TyperGroup

from search import cli

COMMANDS = {
    "run": "search.run",
    "results": "search.results",
    "confirm": "search.confirm",
    "pick": "search.pick",
    "latency": "search.latency",
    "export-one": "search.export_one",
    "paper": "search.paper.__main__",
    "app": "app.__main__",
}
"""Their modules, each of which is loaded when its command is called."""


class Commands(TyperGroup):
    """The commands of `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order in which they are needed."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        return typer.main.get_command(importlib.import_module(COMMANDS[cmd_name]).main)


console = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@console.callback()
def _about() -> None:
    """Search the small network that fits a deployment budget. The same commands as `python -m search.COMMAND`."""


def main() -> None:
    """Run the command that `sys.argv` names."""
    os.environ[cli.STARTED_BY] = cli.CONSOLE
    console(prog_name=cli.CONSOLE)


if __name__ == "__main__":
    main()
