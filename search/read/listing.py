"""Which studies a storage has, and how many trials they have in each state."""

import sqlalchemy

from search.read.candidates import STATES, State
from search.storage.faults import told
from search.storage.readonly import engine

STUDIES = sqlalchemy.text("SELECT study_name FROM studies ORDER BY study_id")
_COUNTS = sqlalchemy.text(
    "SELECT t.state, COUNT(*) FROM trials t JOIN studies s ON s.study_id = t.study_id "
    "WHERE s.study_name = :name GROUP BY t.state"
)


def studies(url: str) -> list[str]:
    """The names of the studies in a storage, the newest last. Raises InputError when there is no such storage."""
    with told(url):
        opened = engine(url)
        try:
            with opened.connect() as connection:
                return [row[0] for row in connection.execute(STUDIES)]
        finally:
            opened.dispose()


def counts(url: str, name: str) -> dict[State, int]:
    """How many trials are in each state, by one quick query; those over the limits count as pruned."""
    with told(url):
        opened = engine(url)
        try:
            with opened.connect() as connection:
                found = connection.execute(_COUNTS, {"name": name}).all()
        finally:
            opened.dispose()
    return {STATES.get(state, "running"): count for state, count in found}
