"""A study's disk limit, kept while it runs: caches go first, then the weights of students that others beat."""

import shutil
import time
from pathlib import Path

from optuna.trial import TrialState

from fitnets.disk.eviction import TEMPORARY, entries, evict
from fitnets.disk.store import Store
from fitnets.errors import DiskError
from search.driver.ledger import Ledger
from search.read import pareto
from search.units import format_bytes

SLACK = 0.9  # a store over its limit is brought this far below it, so that not every look finds it over
LOOK_SECONDS = 5.0  # between two looks; a look at 20,000 entries takes half a second


class DiskLimit:
    """Keeps a store within `limit` bytes; None is no limit. The folder that the driver sees is what is counted.

    Checkpoints of running trials may stand above the limit for as long as these run.
    """

    def __init__(self, store: Store, limit: int | None, ledger: Ledger):
        self.store, self.limit, self.ledger = store, limit, ledger
        self._looked = float("-inf")

    def enforce(self, *, now: bool = False) -> None:
        """Make room where it is time to look, or `now`. Raises DiskError when what must stay exceeds the limit."""
        if self.limit is None or (not now and time.monotonic() - self._looked < LOOK_SECONDS):
            return
        taken = evict(self.store, self.limit, self.beaten, down_to=int(SLACK * self.limit))
        self._looked = time.monotonic()
        if taken > self.limit:
            stays = sum(entry.size for entry in entries(self.store) if entry.kind not in TEMPORARY)
            if stays <= self.limit:
                return
            raise DiskError(
                f"`{self.store.root}` takes {format_bytes(stays)} without its caches, more than the limit of "
                f"{format_bytes(self.limit)}: run the same command with a larger --max-disk."
            )

    def tidy(self) -> None:
        """Delete the checkpoints of finished trials whose worker or driver died before it could.

        They are known by the recipe, so another study that trains the same one now loses its own: that costs time only.
        """
        over = {trial.user_attrs.get("digest") for trial in self.ledger.trials if trial.state.is_finished()}
        for kind in TEMPORARY:
            for name in self.store.names(kind):
                if not over.isdisjoint(name.split("-")):
                    self.store.remove(kind, name)

    def beaten(self) -> list[str]:
        """The weights of finished students that are not on the front, the least accurate first."""
        complete = [trial for trial in self.ledger.trials if trial.state == TrialState.COMPLETE]
        points = [(-trial.values[0], trial.values[1], trial.values[2]) for trial in complete]
        weights = [trial.user_attrs["outcome"]["weights_sha256"] for trial in complete]
        kept = {weights[index] for index in pareto.front(points)}
        ranked = sorted(range(len(complete)), key=lambda index: complete[index].values[0])
        return [weights[index] for index in ranked if weights[index] not in kept]


def notes(runs: Path, needed: int, tables: int, limit: int | None) -> list[str]:
    """What to say before a search of which `needed` bytes are expected, `tables` of them tables; mostly nothing."""
    place = next(folder for folder in (runs, *runs.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    said = []
    if min(needed, limit or needed) > free:
        said.append(f"note: only {format_bytes(free)} are free in `{place}`: make room, or set a limit with --max-disk")
    if limit is not None and tables > limit:
        said.append(f"note: the tables do not fit into {format_bytes(limit)}: what is removed is computed again")
    return said
