"""docs/cluster.md: its examples parse, and the commands in it have the flags that they use."""

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import click
import optuna_dashboard._cli
import pytest
import typer
import yaml

from app import __main__ as app_main
from search import export_one
from search.study import study_names
from search.workers.cluster import ray
from tests.commands import COMMANDS
from tests.helpers import ROOT

TEXT = (ROOT / "docs/cluster.md").read_text()


def blocks(kind: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command line of the document, split into words, those inside YAML too."""
    variables = dict(re.findall(r'^(\w+)="([^"]*)"', "\n".join(blocks("bash")), re.MULTILINE))
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    for job in map(yaml.safe_load, blocks("yaml")):
        lines += [job["spec"]["entrypoint"]] if "spec" in job else []
        lines += [line for name, some in job.items() if name.endswith("_commands") for line in some]
    for name, value in variables.items():
        lines = [line.replace(f"${name}", value) for line in lines]
    parts = [part for line in lines for part in re.split(r"&&|;|\|\|", line.split(" #")[0])]
    return [words for part in parts if (words := shlex.split(part.replace('"', "")))]


def program(words: list[str]) -> str | None:
    """Which of the programs with known flags a command line runs."""
    first = Path(words[0]).name
    if first == "python" and "-m" in words:
        return words[words.index("-m") + 1]
    if first == "ray":
        return f"ray {words[1]}"
    return first if first == "optuna-dashboard" else None


def flags_of(name: str) -> set[str]:
    """The flags that a program has."""
    if name.startswith("ray "):
        ray()  # sets what Ray reads when it is imported, and keeps for all tests of this process
        from ray.scripts.scripts import cli

        command: click.Command = cli.commands[name.removeprefix("ray ")]
        return {flag for param in command.params for flag in param.opts}
    if name == "optuna-dashboard":
        return set(re.findall(r'"(--[a-z-]+)"', Path(optuna_dashboard._cli.__file__ or "").read_text()))
    ours: dict[str, Any] = {"app": app_main.main, "search.export_one": export_one.main}
    ours |= {f"search.{word}": main for word, main in COMMANDS.items()}
    return {flag for param in typer.main.get_command(ours[name]).params for flag in param.opts}


KNOWN = [(name, words) for words in commands() if (name := program(words)) and name != "pip"]


@pytest.mark.parametrize(("name", "words"), KNOWN, ids=[" ".join(words)[:60] for _, words in KNOWN])
def test_every_flag_in_the_document_exists(name: str, words: list[str]) -> None:
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert used - flags_of(name) == set()
    if name in ("search.run", "search.results"):
        assert words[words.index("-m") + 2] in study_names()


def test_the_document_names_the_commands_that_matter() -> None:
    names = {name for name, _ in KNOWN}
    assert {"search.run", "search.results", "app", "optuna-dashboard", "ray start", "ray up", "ray down"} <= names
    assert {"ray get-auth-token", "ray status", "ray attach"} <= names


def test_the_launchers_example_is_one_that_ray_takes() -> None:
    (example,) = [found for found in map(yaml.safe_load, blocks("yaml")) if "cluster_name" in found]
    ray()  # as above
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(example)))
    with pytest.raises(Exception, match="'colour' was unexpected"):
        validate_config(prepare_config(copy.deepcopy(example) | {"colour": 1}))


def test_kuberays_example_is_a_job_with_a_token_and_no_password() -> None:
    (job,) = [found for found in map(yaml.safe_load, blocks("yaml")) if found.get("kind") == "RayJob"]
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {box["image"] for pod in pods for box in pod["template"]["spec"]["containers"]}
    assert len(images) == 1, "versions are equal on all nodes"
    mounts = [box["volumeMounts"] for pod in pods for box in pod["template"]["spec"]["containers"]]
    assert all(mount == [{"name": "shared", "mountPath": "/shared"}] for mount in mounts)
    words = shlex.split(job["spec"]["entrypoint"])
    for flag in ("--data", "--runs"):
        assert words[words.index(flag) + 1].startswith("/shared/")
    assert "value" not in next(
        e for e in pods[0]["template"]["spec"]["containers"][0]["env"] if e["name"] == "PGPASSWORD"
    )
