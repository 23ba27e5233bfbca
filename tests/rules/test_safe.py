"""What may never be in our packages: readers that run what they read, and shells. And names that are no paths."""

import ast
from typing import Any

import pytest
from pydantic import ValidationError

from fitnets.config import Brought, Data
from tests.helpers import ROOT, STUDY

PACKAGES = ("fitnets", "search", "app", "studies", "bench")
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "pandas.io.pickle"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {"torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "pandas.read_pickle"}
IMPORTERS = {
    "fitnets/own_code.py",  # the user's own study, and the function that builds the user's own teacher
    "search/study.py",  # our own modules, by constant names
    "app/__main__.py",  # the same
    "app/console.py",  # the same
}
NO_WORDS = ["", ".", "..", "../up", "a/b", "/etc", ".hidden", "a b", "a\n", "a\\b", "é", "\x1b[31m"]
NO_FUNCTIONS = ["", "nets", "nets:", ":resnet", "a/b:c", "../nets:resnet", "nets:a.b", "nets:f()", "a b:c"]


def unsafe(source: str, name: str = "x.py") -> list[str]:
    """What in this module could run what it reads, a line each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = {module} | {alias.name for alias in node.names} | {f"{module}.{alias.name}" for alias in node.names}
            found += [f"{node.lineno}: imports {bad}" for bad in names & (MODULES | CALLS)]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in BUILTINS | CALLS or called.rpartition(".")[2] == "read_pickle":
                found.append(f"{node.lineno}: calls {called}")
            if called in ("np.load", "numpy.load") and options.get("allow_pickle") != "False":
                found.append(f"{node.lineno}: {called} without allow_pickle=False")
            if options.get("shell", "False") != "False":
                found.append(f"{node.lineno}: {called} through a shell")
            if called.rpartition(".")[2] in ("import_module", "exec_module") and name not in IMPORTERS:
                found.append(f"{node.lineno}: imports by name")
    return found


def test_nothing_of_ours_runs_what_it_reads() -> None:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) > 60
    found = {str(file.relative_to(ROOT)): unsafe(file.read_text(), str(file.relative_to(ROOT))) for file in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch; torch.load('x')",
        "from torch import load",
        "import yaml; yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "exec(text)",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "np.load(file, allow_pickle=flag)",
        "subprocess.run(words, shell=True)",
        "os.system(words)",
        "pd.read_pickle(file)",
        "importlib.import_module(text)",
        "def f():\n    import marshal",
    ],
)
def test_the_walk_sees_each_of_them(source: str) -> None:
    assert unsafe(source)


@pytest.mark.parametrize("source", ["import json", "np.load(f, allow_pickle=False)", "net.eval()", "re.compile('x')"])
def test_the_walk_lets_the_rest_be(source: str) -> None:
    assert unsafe(source) == []


@pytest.mark.parametrize("name", NO_WORDS)
def test_names_that_become_paths_are_plain_words(name: str) -> None:
    made: list[Any] = [lambda: Data(name=name), lambda: STUDY.changed(name=name)]
    for make in made:
        with pytest.raises(ValidationError, match="name"):
            make()


@pytest.mark.parametrize("build", NO_FUNCTIONS)
def test_a_teachers_function_is_named_and_not_written_out(build: str) -> None:
    with pytest.raises(ValidationError, match="build"):
        Brought(build=build, weights=None, hint_layers=("a",))
