"""A PostgreSQL password is nowhere: not in what any command prints, not in a file, not in the study."""

import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import page
from search.storage.faults import StorageLost, writing
from search.storage.lock import driving
from search.storage.readonly import ReadOnlyStorage
from search.workers.inline import InlineWorkers
from tests.commands import Crew, invoke, study_file
from tests.postgres import PASSWORD, QUOTED, USER, Server

SECRETS = (PASSWORD, QUOTED)


@pytest.fixture(autouse=True)
def crew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inline workers."""
    monkeypatch.setitem(sys.modules, "search.workers.crew", types.SimpleNamespace(RayWorkers=Crew))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No reader of another test."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def clean(text: str) -> str:
    """The text, once it was seen to hold no password."""
    assert not [secret for secret in SECRETS if secret in text], text
    return text


def clean_files(folder: Path) -> int:
    """How many files there are, none of which holds the password."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in content], path
    return len(files)


def dump(url: str) -> str:
    """Everything in a database, as text."""
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"

    def rows(engine: sqlalchemy.Engine) -> list[str]:
        with engine.connect() as connection:
            names = list(connection.exec_driver_sql(tables).scalars())
            texts = [connection.exec_driver_sql(f"SELECT t::text FROM {name} t").scalars() for name in names]
            return [row for text in texts for row in text]

    with ReadOnlyStorage(url) as storage:
        return "\n".join(storage.read(rows))


def test_a_password_is_in_no_output_no_file_and_no_study(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, file, runs = server.url(), study_file(tmp_path), tmp_path / "runs"
    place = ["--runs", runs, "--storage", url]
    whole = InlineWorkers.wait

    def hang_up_later(self: Crew, seconds: float) -> list[Any]:
        events = whole(self, seconds)
        if any(type(event).__name__ == "Finished" for event in events):
            server.stop()
        return events

    with monkeypatch.context() as patch:
        patch.setattr(Crew, "wait", hang_up_later, raising=False)
        result = invoke("run", file, *place, "--trials", 2)
    away = [invoke("run", file, *place), invoke("results", file, *place), invoke("pick", file, *place)]
    server.start()
    assert result.exit_code == 1, result.output
    (line,) = clean(result.stderr).splitlines()
    assert line.startswith(f"stopped: the storage postgresql://{USER}:***@127.0.0.1:{server.port}/")
    assert f"Continue with: python -m search.run {file} --runs {runs} --storage" in line
    assert line.endswith("--trials 2")
    for command in away:
        assert command.exit_code == 2
        assert "Connection refused" in clean(command.output)
        assert command.stderr.count("\n") == 1

    result = invoke("run", file, *place, "--trials", 2)
    assert result.exit_code == 0, result.output
    assert f"--storage 'postgresql://{USER}:***@" in clean(result.output), "the next command names the storage"
    assert "is finished" in clean(invoke("run", file, *place, "--trials", 2).output)
    for form in ("table", "json", "csv"):
        result = invoke("results", file, *place, "--format", form)
        assert result.exit_code == 0 and clean(result.output)
    assert invoke("run", file, *place, "--dry-run").exit_code == 0
    with driving(url, "tiny"):
        assert "another driver" in clean(invoke("run", file, *place, "--trials", 9).stderr)
    result = invoke("pick", file, *place, "--out", tmp_path / "picked")
    assert result.exit_code == 0 and clean(result.output)
    assert (tmp_path / "picked/card.json").is_file()
    for wrong in (url.replace(QUOTED, f"not{QUOTED}"), url + "_absent", url.replace("@", "@@")):
        result = invoke("results", file, "--runs", runs, "--storage", wrong)
        assert result.exit_code == 2 and clean(result.output)
    assert clean_files(tmp_path) > 10
    assert "tiny" in clean(dump(url))


def test_the_driver_prints_no_password_when_it_fails_where_nobody_expected_it(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    """A fault that no one turned into a line: its traceback goes to the terminal."""
    code = (
        "import sys; from search.storage.readonly import ReadOnlyStorage; "
        "ReadOnlyStorage(sys.argv[1]).read(lambda engine: engine.connect())"
    )
    for url in (server.url() + "_absent", server.url().replace(QUOTED, "wrong")):
        done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=False)
        assert "Traceback" in clean(done.stderr) and "OperationalError" in done.stderr


def test_the_pages_show_no_password(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITNET_RUNS", str(tmp_path))
    url = server.url()
    with driving(url, "digits"):  # makes the tables
        pass
    for place in (url, url + "_absent", url.replace(QUOTED, f"not{QUOTED}")):
        monkeypatch.setenv("FITNET_STORAGE", place)
        at = AppTest.from_file(str(Path(page.__file__).with_name("main.py")), default_timeout=60).run()
        assert not at.exception
        assert f"postgresql://{USER}:***@127.0.0.1" in clean("\n".join(str(element.proto) for element in at.main))


def test_the_environment_names_storage_and_password(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `ps` shows to everybody on the machine needs no password: FITNET_STORAGE, PGPASSWORD, PGPASSFILE."""
    url, file = server.url(), study_file(tmp_path)
    bare = url.replace(f":{QUOTED}", "")
    result = invoke("results", file, "--storage", bare)
    assert result.exit_code == 2 and "no password supplied" in result.stderr
    with driving(url, "tiny"):
        pass
    kept = tmp_path / "passwords"
    kept.write_text(f"127.0.0.1:{server.port}:*:{USER}:{PASSWORD}\n")
    kept.chmod(0o600)
    for name, value in (("PGPASSWORD", PASSWORD), ("PGPASSFILE", str(kept)), ("FITNET_STORAGE", url)):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            words = [] if name == "FITNET_STORAGE" else ["--storage", bare]
            assert "has no study `tiny`: it has none" in clean(invoke("results", file, *words).stderr), name
    monkeypatch.setenv("FITNET_STORAGE", url)
    result = invoke("run", file, "--runs", tmp_path / "runs", "--trials", 1)
    assert result.exit_code == 0, result.output
    assert "next: python -m search.pick" in clean(result.output) and "--storage" not in result.output


def test_a_lost_connection_is_told_without_the_password(server: Server) -> None:
    url = server.url()
    with driving(url, "tiny") as storage:
        server.hang_up(url)
        with pytest.raises(StorageLost) as caught, writing(url):
            storage.get_all_studies()
    assert "***@" in clean(str(caught.value)) and "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads Linux's /proc")
def test_ray_is_not_told_the_password_of_a_command_line() -> None:
    """It keeps the driver's command line for its dashboard, as the system has it; `ps` shows the same."""
    code = (
        "from search.workers.cluster import ray; ray(); print(open('/proc/self/cmdline').read().replace(chr(0), ' '))"
    )
    words = [sys.executable, "-c", code, "--storage", f"postgresql://{USER}:{QUOTED}@host/db"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert f"postgresql://{USER}:***@host/db" in clean(done.stdout)
