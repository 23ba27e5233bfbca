"""Which studies a storage has, and how many trials they have in each state."""

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy

from search.read import tables
from search.read.candidates import STATES, State
from search.storage.faults import told
from search.storage.readonly import ReadOnlyStorage

T = TypeVar("T")


def studies(url: str) -> list[str]:
    """The names of the studies in a storage, the newest last. Raises InputError when there is no such storage."""
    return _read(url, tables.study_names)


def counts(url: str, name: str) -> dict[State, int]:
    """How many trials are in each state, by one quick query; those over the limits count as pruned."""
    found = _read(url, lambda connection: tables.state_counts(connection, name))
    return {STATES.get(state, "running"): count for state, count in found.items()}


def _read(url: str, ask: Callable[[sqlalchemy.Connection], T]) -> T:
    def query(engine: sqlalchemy.Engine) -> T:
        with engine.connect() as connection:
            return ask(connection)

    with told(url), ReadOnlyStorage(url) as storage:
        return storage.read(query)
