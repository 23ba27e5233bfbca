"""The studies of a storage, and how many of their trials are in each state."""

from search.read.candidates import STATES, SUFFIX, State
from search.read.stored import queries
from search.storage.faults import reading
from search.storage.readonly import ReadOnlyStorage


def studies(url: str) -> list[str]:
    """The names of the searches in a storage, the newest last; not those of runs with fresh seeds of their students.

    Raises InputError when there is no such storage.
    """
    with reading(url), ReadOnlyStorage(url) as storage:
        names = storage.read(queries.study_names)
    confirming = {name + SUFFIX for name in names}
    return [name for name in names if name not in confirming]


def counts(url: str, name: str) -> dict[State, int]:
    """How many trials are in each state, by one fast query; those over the limits count as pruned."""
    with reading(url), ReadOnlyStorage(url) as storage:
        found = storage.read(lambda engine: queries.state_counts(engine, name))
    return {STATES.get(state, "running"): count for state, count in found.items()}
