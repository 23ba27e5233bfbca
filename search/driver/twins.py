"""Trials of the same recipe: one of them is trained, and the others share its end."""

from optuna.trial import TrialState

from search.driver.flight import RunningTrial
from search.driver.ledger import STOPPED_AT, Ledger
from search.workers.faults import DETERMINISTIC

REASON_CHARACTERS = 2000
SHARED = ("reports", "classes", "right", "outcome", STOPPED_AT)  # attributes that a trial takes over from its twin


class Twins:
    """Which trial is or was trained with each recipe, and which ones wait for it."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self.originals: dict[str, int] = {}
        """By the recipe's digest, the trial that was or is trained with it."""
        self._waiting: dict[int, list[RunningTrial]] = {}  # by the original

    def waiting(self) -> int:
        """How many trials wait for the end of another one."""
        return sum(map(len, self._waiting.values()))

    def ended(self, number: int) -> list[RunningTrial]:
        """The trials that waited for trial `number`, which has ended; they wait no longer."""
        return self._waiting.pop(number, [])

    def reuse(self, trial: RunningTrial) -> bool:
        """Share the end of the trial with the same recipe, or wait for it while that one runs.

        Returns False where it failed by chance (its workers died, or memory ran out): this one is to be trained.
        """
        digest = trial.recipe.digest()
        original = self.originals[digest]
        known, number = self._ledger.trials[original], trial.number
        if known.state == TrialState.RUNNING:
            self._waiting.setdefault(original, []).append(trial)
        elif known.state in (TrialState.COMPLETE, TrialState.PRUNED):
            stored = self._ledger.stored(original)
            self._ledger.note(number, same_as=original, **{name: stored[name] for name in SHARED if name in stored})
            self._ledger.tell(number, known.state, known.values)
        elif str(known.user_attrs.get("reason")).startswith(tuple(f"{kind}:" for kind in DETERMINISTIC)):
            reason = f"{known.user_attrs['reason']} (trial {original}, which has the same recipe)"
            self._ledger.note(number, same_as=original, reason=reason[:REASON_CHARACTERS])
            self._ledger.tell(number, TrialState.FAIL)
        else:
            self.originals[digest] = number
            return False
        return True
