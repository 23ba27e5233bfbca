"""What many tests use: real digits, and a small teacher trained on them once for each run of the tests."""

import os
import shutil
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from fitnets.disk.store import Store
from fitnets.images.images import Images, load
from fitnets.teacher import opening, train
from fitnets.teacher.teacher import Teacher
from search.storage.address import storage_url
from tests.commands import Crew, invoke, study_file
from tests.helpers import DIGITS, TEACHER
from tests.postgres import Server

torch.set_num_threads(1)
os.environ.pop("FITNET_STORAGE", None)  # the developer's own is not for tests
settings.register_profile("here", deadline=None, database=None, derandomize=True, print_blob=False)
settings.load_profile("here")


@pytest.fixture(scope="session")
def digits() -> Images:
    """Real digits with shifted views."""
    return load(DIGITS, Path("nowhere"))


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that several tests read; it holds the trained teacher."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def teacher(digits: Images, shared_store: Store) -> Teacher:
    """A small teacher, well above chance."""
    for _ in train.trained(TEACHER, digits, shared_store):
        pass
    return opening.load(TEACHER, digits, shared_store)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study's file and the runs folder where it has trained its three students. Copy it to change it."""
    root = tmp_path_factory.mktemp("finished")
    file = study_file(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "search.workers.crew", types.SimpleNamespace(RayWorkers=Crew))
        result = invoke("run", file, "--runs", root / "runs")
    assert result.exit_code == 0, result.output
    assert "next: python -m search.pick" in result.output
    return file, root / "runs"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server; its tests are skipped where it is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="fitnet-postgresql-"))  # its user may not look into pytest's own
    try:
        made = Server(folder)
        yield made
        made.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty storage, of either kind."""
    if request.param == "sqlite":
        return storage_url(tmp_path / "runs", None)
    server: Server = request.getfixturevalue("server")
    return server.url()


@pytest.fixture(autouse=True)
def _own_main() -> Iterator[None]:
    """Streamlit's test runner leaves its script as `__main__`, and a process spawned later would run that."""
    ours = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = ours
