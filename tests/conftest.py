"""What many tests use: real digits, and a small teacher trained on them once for each run of the tests."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from fitnets import teacher as teachers
from fitnets.data import Images, load
from fitnets.store import Store
from fitnets.teacher import Teacher
from tests.helpers import DIGITS, TEACHER

torch.set_num_threads(1)
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
    for _ in teachers.trained(TEACHER, digits, shared_store):
        pass
    return teachers.load(TEACHER, digits, shared_store)
