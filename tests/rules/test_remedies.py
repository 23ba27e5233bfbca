"""A remedy that names an option names one that the command has which prints it; shown commands can be typed."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from app.__main__ import main as app
from search import export_one
from search.storage.faults import study_missing
from tests.commands import COMMANDS, OTHERS
from tests.helpers import ROOT
from tests.rules.test_arrows import files, modules

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
TYPED = re.compile(r"(?:python -m |fitnet-search )(search\.[a-z]\w*|app)\b([^`\n]*)")
MAINS: dict[str, Any] = {
    **{f"search.{name}": main for name, main in (COMMANDS | OTHERS).items()},
    "search.export_one": export_one.main,
    "app": app,
}
FOREIGN = {"--head": "ray start", "--host": "optuna-dashboard", "--server": "streamlit", "--browser": "streamlit"}
FOREIGN |= {"--global": "streamlit", "--top": "predict.py", "--model": "predict.py"}
FOREIGN |= {"--device": "time_students.py"}
PROGRAMS = ("fitnets/predict.py", "search/ship/board/time_students.py")  # have options of their own
OPTIONS = {
    name: {flag for p in typer.main.get_command(main).params for flag in [*p.opts, *p.secondary_opts]} | {"--help"}
    for name, main in MAINS.items()
}
NOT_PRINTED = {  # a command imports the module, but calls nothing that says this
    "search/cli.py": {"--name of app", "--name of search.paper", "--name of search.export_one", "--data of app"}
    | {"--data of search.results", "--storage of search.paper"},
    "search/driver/registration.py": {"--name of search.paper", "--no-stopping of search.paper"}
    | {"--no-stopping of search.confirm"},
    "search/ship/out_folder.py": {"--out of search.latency"},
    "search/storage/address.py": {"--storage of search.paper"},
    "search/storage/faults.py": {"--storage of search.paper"},
}
ENTRY = {"search.paper": "search.paper.__main__", "app": "app.__main__"}


def texts(tree: ast.Module) -> Iterator[str]:
    """The strings of each function together, and those outside functions; no docstrings."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    outer = [node for node in functions if not any(node in ast.walk(other) for other in functions if other is not node)]
    docstrings = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    inside = {node for function in outer for node in ast.walk(function)}
    rest = [node for node in ast.walk(tree) if node not in inside]
    for group in [*(list(ast.walk(function)) for function in outer), rest]:
        constants = [node for node in group if isinstance(node, ast.Constant) and node not in docstrings]
        words = [node.value for node in constants if isinstance(node.value, str)]
        yield "\n".join([*words, *(f"search.{name}" for node in group for name in shown_commands(node))])


def shown_commands(node: ast.AST) -> list[str]:
    """The commands that a call of `command("run")`, or `command_for`, which put one together for people, names."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] not in ("command", "command_for"):
        return []
    return [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def wrong(text: str, printers: set[str]) -> set[str]:
    """The options that a text names, which no command has that it names, and one lacks that prints it."""
    named = {name for name in MAINS if re.search(rf"{re.escape(name)}\b", text) and name != "app"}
    found = set(OPTION.findall(text)) - {option for option, program in FOREIGN.items() if program in text}
    found = {option for option in found if not any(option in OPTIONS[name] for name in named)}
    return {f"{option} of {name}" for option in found for name in printers or named if option not in OPTIONS[name]}


def printers() -> dict[str, set[str]]:
    """The commands that import each module, directly or through others."""
    graph, found = modules(("fitnets", "search", "studies", "app")), dict[str, set[str]]()
    for command in MAINS:
        left, seen = [ENTRY.get(command, command)], set[str]()
        while left:
            module = left.pop()
            if module not in seen:
                seen.add(module)
                left += graph[module]
        for module in seen:
            found.setdefault(module, set()).add(command)
    return found


@pytest.mark.parametrize("layer", ["fitnets", "search", "app"])
def test_a_remedy_names_options_that_its_commands_have(layer: str) -> None:
    commands, found = printers(), dict[str, set[str]]()
    for path in files(layer):
        place = path.relative_to(ROOT)
        if place.as_posix() in PROGRAMS:
            continue
        name = ".".join(place.with_suffix("").parts)
        for text in texts(ast.parse(path.read_text())):
            if problems := wrong(text, commands.get(name, set())):
                found[place.as_posix()] = found.get(place.as_posix(), set()) | problems
    assert found == {place: known for place, known in NOT_PRINTED.items() if place.startswith(f"{layer}/")}


def test_the_walk_sees_a_remedy_that_does_not_exist() -> None:
    code = (
        '"""--nope"""\ndef f(x):\n    """--not"""\n    raise ValueError(f"{x}: give --smoke or --runs")\nA = "--like"\n'
    )
    assert [wrong(text, {"search.pick"}) for text in texts(ast.parse(code))] == [
        {"--smoke of search.pick"},
        {"--like of search.pick"},
    ]
    assert wrong("run it: python -m search.run x --smoke", {"search.pick"}) == set()
    (text,) = texts(ast.parse('A = [*command("run"), study, "--smoke"]'))
    assert wrong(text, {"search.pick"}) == set()
    assert wrong("start one with `ray start --head`", {"search.pick"}) == set()


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("digits", "run it: python -m search.run digits"),
        ("digits-smoke", "run it: python -m search.run digits --smoke"),
        ("my-own", "run it first."),
        ("my-own-smoke", "run it first."),
    ],
)
def test_the_command_for_a_missing_study_finds_one(name: str, remedy: str) -> None:
    assert str(study_missing("sqlite:///x.db", name, ["other"])).endswith(f"Choose one with --name, or {remedy}")


def test_the_commands_that_are_shown_can_be_typed() -> None:
    shown = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "Makefile", ROOT / "bench/RESULTS.md"]
    shown += [path for layer in ("fitnets", "search", "app", "studies", "bench") for path in files(layer)]
    found: list[str] = []
    lines = 0
    for path in shown:
        for name, rest in TYPED.findall(path.read_text()):
            known = OPTIONS.get(name)
            lines += 1
            if known is None:
                found.append(f"{path.relative_to(ROOT)}: no command {name}")
            else:
                found += [f"{path.relative_to(ROOT)}: {o} of {name}" for o in OPTION.findall(rest) if o not in known]
    assert lines > 40
    assert found == []
