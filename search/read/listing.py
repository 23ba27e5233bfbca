"""The studies of a storage, and how many of their trials are in each state."""

from search.read import queries
from search.read.candidates import STATES, State
from search.storage.faults import reading
from search.storage.readonly import ReadOnlyStorage


def studies(url: str) -> list[str]:
    """The names of the studies in a storage, the newest last. Raises InputError when there is no such storage."""
    with reading(url), ReadOnlyStorage(url) as storage:
        return storage.read(queries.study_names)


def counts(url: str, name: str) -> dict[State, int]:
    """How many trials are in each state, by one fast query; those over the limits count as pruned."""
    with reading(url), ReadOnlyStorage(url) as storage:
        found = storage.read(lambda engine: queries.state_counts(engine, name))
    return {STATES.get(state, "running"): count for state, count in found.items()}
