"""Enforces a study's disk limit while it runs: caches are deleted first, then the weights of dominated students."""

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

SLACK = 0.9  # a store over its limit is cut to this share of it, so that not every check finds it over
CHECK_SECONDS = 5.0  # between two checks; a check of 20,000 entries takes half a second


class DiskLimit:
    """Holds a store within `limit` bytes; None is no limit. Only the folder that the driver sees is counted.

    Checkpoints of running trials may exceed the limit while these trials run.
    """

    def __init__(self, store: Store, limit: int | None, ledger: Ledger):
        self.store, self.limit, self.ledger = store, limit, ledger
        self._checked = float("-inf")  # when, by the monotonic clock

    def enforce(self, *, now: bool = False) -> None:
        """Delete what may go, where a check is due or `now`. Raises DiskError when what must stay exceeds the limit."""
        if self.limit is None or (not now and time.monotonic() - self._checked < CHECK_SECONDS):
            return
        used = evict(self.store, self.limit, self.dominated, down_to=int(SLACK * self.limit))
        self._checked = time.monotonic()
        if used > self.limit:
            permanent = sum(entry.size for entry in entries(self.store) if entry.kind not in TEMPORARY)
            if permanent <= self.limit:
                return
            raise DiskError(
                f"`{self.store.root}` takes {format_bytes(permanent)} without its caches, more than the limit of "
                f"{format_bytes(self.limit)}: continue with a larger `search.run --max-disk`."
            )

    def tidy(self) -> None:
        """Delete the checkpoints of finished trials whose worker or driver died before it could.

        Checkpoints are named by the recipe. One of an unfinished trial stays, also where a trial with the same recipe
        has failed. Another study that trains the same recipe right now loses its own, which costs it time only.
        """
        finished, unfinished = set[str](), set[str]()
        for trial in self.ledger.trials:
            (finished if trial.state.is_finished() else unfinished).add(trial.user_attrs.get("digest", ""))
        for kind in TEMPORARY:
            for name in self.store.names(kind):
                if not (finished - unfinished).isdisjoint(name.split("-")):
                    self.store.remove(kind, name)

    def dominated(self) -> list[str]:
        """The weights' digests of finished students that are not on the Pareto front, the least accurate first."""
        complete = [trial for trial in self.ledger.trials if trial.state == TrialState.COMPLETE]
        points = [(-trial.values[0], trial.values[1], trial.values[2]) for trial in complete]
        weights = [trial.user_attrs["outcome"]["weights_sha256"] for trial in complete]
        on_front = {weights[index] for index in pareto.front(points)}
        ranked = sorted(range(len(complete)), key=lambda index: complete[index].values[0])
        return [weights[index] for index in ranked if weights[index] not in on_front]


def notes(runs: Path, needed: int, tables: int, limit: int | None) -> list[str]:
    """The lines to print before a search that is expected to take `needed` bytes, `tables` of them for tables."""
    existing = next(folder for folder in (runs, *runs.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    lines = []
    if min(needed, limit or needed) > free:
        lines.append(
            f"note: only {format_bytes(free)} are free in `{existing}`: make room, or set a limit with "
            "`search.run --max-disk`"
        )
    if limit is not None and tables > limit:
        lines.append(f"note: the tables do not fit into {format_bytes(limit)}: what is removed is computed again")
    return lines
