"""The map of the project, held: who may import whom, where the rules' exceptions are, how long a file may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.helpers import ROOT

FORBIDDEN = {
    "fitnets": {
        "search",
        "app",
        "studies",
        "optuna",
        "ray",
        "streamlit",
        "plotly",
        "optuna_dashboard",
        "bench",
        "tests",
    },
    "search": {"app", "streamlit", "plotly", "bench", "tests"},
    "studies": {"app", "torch", "ray", "optuna", "streamlit", "bench", "tests"},
    "app": {"torch", "torchvision", "ray", "bench", "tests"},
}
NOT_IN_APP = ("fitnets.training", "fitnets.teacher", "fitnets.distill", "fitnets.images", "fitnets.export")
MOST_ENTRIES = 16  # of a folder, files and sub-packages together, `__init__.py` left out
MOST_LINES = 300
LAYERS = ("fitnets", "search", "studies", "app")


def files(layer: str) -> list[Path]:
    """A layer's source files."""
    return sorted((ROOT / layer).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, by its full name; `from a import b` also as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative imports hide where they go"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_imports_what_lies_above_it(layer: str) -> None:
    assert files(layer) or layer == "app"
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files(layer)
        for name in imports(path)
        if name.split(".")[0] in FORBIDDEN[layer]
    ]
    assert wrong == []


def test_the_walk_sees_an_import_inside_a_function(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("def f():\n    import ray\n    from torch.nn import Linear\n    import a.b as c\n")
    assert set(imports(file)) == {"ray", "torch.nn", "torch.nn.Linear", "a.b"}


def test_ray_is_imported_in_one_file() -> None:
    found = {path.name for path in files("search") if any(name.split(".")[0] == "ray" for name in imports(path))}
    assert found == {"cluster.py"}


def test_optuna_is_asked_for_parameters_in_one_file() -> None:
    found = {
        path.name
        for path in files("search")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("suggest_")
    }
    assert found == {"space.py"}


def test_the_app_imports_no_training_code() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files("app")
        for name in imports(path)
        if name.startswith(NOT_IN_APP) or (name.startswith("fitnets.nets.") and name.split(".")[2] != "cost")
    ]
    assert wrong == []


def cycles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The groups of modules that import each other, directly or through others; empty where there is no circle."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen, left = set[str](), [start]
        while left:
            for name in graph.get(left.pop(), set()) - seen:
                seen.add(name)
                left.append(name)
        reach[start] = seen
    return sorted({tuple(sorted(b for b in reach[a] if a in reach.get(b, set()))) for a in graph if a in reach[a]})


def modules(layers: Sequence[str]) -> dict[str, set[str]]:
    """Each module of the layers, and those of them that it imports, wherever in the file."""
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for layer in layers for path in files(layer)}
    return {name: {other for other in imports(path) if other in paths} for name, path in paths.items()}


def test_a_circle_is_seen() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]
    assert cycles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = modules(LAYERS)
    assert sum(len(found) for found in graph.values()) > 200
    assert cycles(graph) == []


@pytest.mark.parametrize("layer", (*LAYERS, "bench", "tests"))
def test_folders_are_small_enough_to_find_one_s_way(layer: str) -> None:
    counts = {
        str(folder.relative_to(ROOT)): sum(
            entry.name[0] not in "_." and (entry.suffix == ".py" or entry.is_dir()) for entry in folder.iterdir()
        )
        for folder in {path.parent for path in files(layer)}
    }
    assert {folder: count for folder, count in counts.items() if count > MOST_ENTRIES} == {}


def test_init_files_are_empty() -> None:
    found = [path for layer in LAYERS for path in files(layer) if path.name == "__init__.py"]
    assert len(found) >= 3
    assert [path for path in found if path.read_text().strip()] == []


@pytest.mark.parametrize("layer", LAYERS)
def test_files_stay_short(layer: str) -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files(layer)}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def loaded(code: str) -> set[str]:
    """The top-level modules that are loaded once `code` has run in a fresh process."""
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return {name.split(".")[0] for name in result.stdout.splitlines()[-1].split()}


def test_what_the_app_and_the_driver_need_loads_neither_torch_nor_ray() -> None:
    modules = [
        "fitnets.config",
        "fitnets.nets.cost",
        "fitnets.disk.store",
        "search.results",
        "search.driver.identity",
        "search.read.reader",
        "search.study",
        "search.space",
        "search.driver.loop",
        "search.run",
        "search.pick",
    ]
    assert {"torch", "ray", "streamlit", "torchvision"} & loaded(f"import {', '.join(modules)}") == set()


def test_workers_load_ray_when_they_start_and_never_torch() -> None:
    """The driver stays small; its actors import torch."""
    assert {"torch", "ray"} & loaded("import search.workers.crew") == set()


def test_the_apps_modules_load_neither_torch_nor_ray() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files("app")
        if not path.name.startswith("__") and "st.navigation" not in path.read_text() and "screens" not in path.parts
    ]
    assert names
    assert {"torch", "ray"} & loaded(f"import {', '.join(names)}") == set()


def test_importing_does_nothing(tmp_path: Path) -> None:
    """No file is written, nothing is printed."""
    code = "import search.run, search.results, search.pick, search.workers.crew, fitnets.distill.run"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
