"""`fitnet-search` from any folder: what lies there, called as our packages or a library's, is never imported."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

from app.console import COMMANDS
from search import cli
from search.study import find_study, study_names
from tests.commands import study_file
from tests.helpers import ROOT

SLOW = pytest.mark.slow
TRAPS = ["torch", "random", "numpy", "ray", "optuna", "streamlit", "search/__init__", "fitnets/__init__"]
TRAPS += ["studies/__init__", "charts/__init__", "typing_extensions", "app"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somebody's project: its files have the names of our packages and of what they import."""
    here = tmp_path / "project"
    for name in TRAPS:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / f"{name}.py").write_text(f"raise SystemExit('the folder\\'s own {name} was imported')\n")
    return here


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The console script, as pip makes it from `pyproject.toml`."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert list(scripts) == [cli.CONSOLE]
    module, function = scripts[cli.CONSOLE].split(":")
    path = tmp_path / "bin" / cli.CONSOLE
    path.parent.mkdir()
    path.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    return path


def environment(tmp_path: Path) -> dict[str, str]:
    """With our packages on the path, after the script's folder, as an installation has them, and a home."""
    home = tmp_path.with_name(tmp_path.name + "-home")
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in (cli.STARTED_BY, "FITNET_STORAGE")}
    return {**kept, "PYTHONPATH": str(ROOT), "HOME": str(home), "OMP_NUM_THREADS": "1"}


def run_script(script: Path, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The command, started in that folder."""
    done = subprocess.run(
        [sys.executable, str(script), *map(str, words)],
        cwd=folder,
        env=environment(script.parent.parent),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "own " not in done.stdout + done.stderr.replace("your own", ""), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_every_command_is_there_and_an_unknown_one_is_refused(script: Path, folder: Path) -> None:
    done = run_script(script, folder, "--help")
    assert done.returncode == 0
    for name in ("run", "results", "confirm", "pick", "latency", "paper", "app"):
        assert f"\n  {name} " in done.stdout and name in COMMANDS
    unknown = run_script(script, folder, "pik")
    assert unknown.returncode == cli.WRONG_INPUT and "pik" in unknown.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_comes_from_our_packages(script: Path, folder: Path, name: str) -> None:
    done = run_script(script, folder, name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: fitnet-search {name}" in done.stdout


def test_what_is_said_to_do_next_works_as_it_is_said(script: Path, folder: Path, finished: tuple[Path, Path]) -> None:
    """From the missing study to the student's files, with the words that the commands print."""
    shutil.copytree(finished[1], folder / "runs")
    missing = run_script(script, folder, "results", "digits")
    assert missing.returncode == cli.WRONG_INPUT
    assert missing.stderr.strip().endswith("or run it: fitnet-search run digits")
    done = run_script(script, folder, "pick", finished[0], "--out", "mine")
    assert done.returncode == 0, done.stderr
    assert (folder / "mine" / "card.json").is_file()
    done = run_script(script, folder, "pick", finished[0], "--max-latency-ms", "0.0000001", "--out", "none")
    assert done.returncode == cli.WRONG_INPUT
    one = run_script(script, folder, "export-one", "tiny", "--trial", "0", "--out", "one")
    assert one.returncode == 0, one.stderr
    assert (folder / "one" / "card.json").is_file()


def test_a_command_is_named_as_the_user_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cli.STARTED_BY, raising=False)
    assert cli.command("pick") == ["python", "-m", "search.pick"]
    monkeypatch.setenv(cli.STARTED_BY, cli.CONSOLE)
    assert cli.command("pick") == ["fitnet-search", "pick"]
    assert cli.command("export_one") == ["fitnet-search", "export-one"]


# studies


@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("start", ["console", "module"])
def test_built_in_studies_are_found_beside_a_folder_of_that_name(
    script: Path, tmp_path: Path, start: str, regular: bool
) -> None:
    (tmp_path / "project" / "studies").mkdir(parents=True)
    if regular:
        (tmp_path / "project" / "studies" / "__init__.py").write_text("")
    (tmp_path / "file").touch()  # so that the run is refused once the study is found
    words = [str(script), "run"] if start == "console" else ["-m", "search.run"]
    for name in ("digits", "cifar100"):  # one that builds on another
        done = subprocess.run(
            [sys.executable, *words, name, "--runs", tmp_path / "file" / "runs"],
            cwd=tmp_path / "project",
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == cli.WRONG_INPUT
        assert "choose another folder with --runs" in done.stderr.replace("\n", " "), done.stderr


def test_ones_own_study_is_found_by_its_name_and_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "studies").mkdir()
    base = "from search.study import find_study\nSTUDY = find_study('digits').changed(name='{}', trials=7)\n"
    (tmp_path / "studies" / "mine.py").write_text(base.format("mine"))
    (tmp_path / "studies" / "digits.py").write_text(base.format("digits"))
    monkeypatch.chdir(tmp_path)
    assert cli.found("mine").trials == 7
    assert capsys.readouterr().err == ""
    assert cli.found("digits").trials == find_study("digits").trials == 30
    note = capsys.readouterr().err
    assert note == "note: `digits` is the built-in study; your own is called `studies/digits.py`.\n"
    assert cli.found("studies/digits.py").trials == 7
    assert "mine" not in study_names()
    monkeypatch.chdir(ROOT)
    cli.found("digits")
    assert capsys.readouterr().err == "", "in the sources there is one"


def test_a_study_may_build_on_ours_and_on_what_lies_beside_it(script: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "studies").mkdir(parents=True)
    (project / "my_sizes.py").write_text("TRIALS = 11\n")
    text = "from my_sizes import TRIALS\nfrom studies.digits import STUDY as BASE\n"
    (project / "studies" / "mine.py").write_text(f"{text}STUDY = BASE.changed(name='mine', trials=TRIALS)\n")
    done = run_script(script, project, "results", "mine")
    assert "there is no study storage" in done.stderr


# processes


@SLOW
def test_rays_workers_import_our_packages(script: Path, folder: Path) -> None:
    done = run_script(script, folder, "run", "digits", "--smoke", "--trials", 1, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "next: fitnet-search pick digits --max-params " in done.stdout
    assert (folder / "runs" / "studies.db").is_file()


@SLOW
def test_a_brought_teacher_lies_in_the_folder_that_one_starts_in(script: Path, tmp_path: Path) -> None:
    """Its function, and its weights by a relative path; `torch.py` there is not taken for torch."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "torch.py").write_text("raise SystemExit('the folder\\'s own torch was imported')\n")
    (project / "my_nets.py").write_text(
        "from fitnets.nets.network import Network, initialise\n"
        "from fitnets.values.net import Net\n"
        "from pathlib import Path\n"
        "def net():\n"
        "    assert Path('my_nets.py').is_file()\n"
        "    network = Network(Net.staged((1, 8, 8), 10, ((8,), (12,))))\n"
        "    initialise(network, 'scaled', 0.0, 0)\n"
        "    return network\n"
    )
    from fitnets.config import Brought
    from tests.helpers import STUDY

    teacher = Brought(build="my_nets:net", hint_layers=("layers.0", "layers.1"), min_accuracy=0.0)
    file = study_file(project, STUDY.changed(teacher=teacher))
    done = run_script(script, project, "run", file.name, "--dry-run", "--workers", 1)
    assert done.returncode == 0, done.stderr + done.stdout


@SLOW
def test_the_pages_server_imports_our_packages(script: Path, folder: Path, finished: tuple[Path, Path]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["app", "--runs", finished[1], "--port", port]
    process = subprocess.Popen(
        [sys.executable, str(script), *map(str, words)],
        cwd=folder,
        env=environment(script.parent.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        health, deadline = "", time.monotonic() + 60
        while health != "ok" and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.5)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
                    health = answer.read().decode()
            except OSError:
                continue
        time.sleep(3)  # the pages' modules are imported in the background
    finally:
        process.terminate()
        out, err = process.communicate(timeout=30)
    assert health == "ok", out + err
    assert "Traceback" not in err and "own " not in out + err, err


def test_the_pages_export_in_a_process_that_imports_as_they_do(
    script: Path, folder: Path, finished: tuple[Path, Path]
) -> None:
    """As the pages do it, in a process that does not look into the current folder."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from search.ship.student_files import exported\nfrom search.storage.address import storage_url\n"
        "runs = Path(sys.argv[1])\n"
        "print([file.name for file in exported('tiny', 0, runs, storage_url(runs, None))])\n"
    )
    shutil.copytree(finished[1], folder / "runs")
    program = script.with_name("export.py")
    program.write_text(code)
    done = run_script(program, folder, "runs")
    assert done.returncode == 0, done.stderr
    names = json.loads(done.stdout.replace("'", '"'))
    assert {"student.onnx", "predict.py", "card.json"} <= set(names)
