"""The study as its only writer sees it: read from the storage once, then mirrored in memory.

Optuna's `Trial` takes a transaction for every suggested parameter and attribute, and reads the storage again for each
parameter: with 10,000 trials, 0.1 s a trial on SQLite before any sampling (bench/RESULTS.md). Here a trial is written
whole, in one transaction, and nothing is read back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.driver.sampling.draw import Proposal
from search.workers.protocol import Stopped

LARGE_ATTRIBUTES = ("reports", "classes", "right")  # 10 kB a trial: not held in memory once it has finished


STOPPED_AT = "stopped_at"  # a trial's attribute: the rung at which it was stopped
WHY = "why"  # a PRUNED trial's attribute, for people: optuna-dashboard lists attributes, and says no more than pruned


def is_stopped(trial: FrozenTrial) -> bool:
    """Whether a trial was stopped at a rung."""
    return trial.state == TrialState.PRUNED and STOPPED_AT in trial.user_attrs


class Ledger:
    """All trials of a study, by number. Every change goes to the storage first, then to the copy in memory.

    Raises Stopped when the study has been deleted from the storage.
    """

    def __init__(self, study: optuna.Study, storage: optuna.storages.BaseStorage):
        self.storage = storage
        self.name = study.study_name
        self._study_id = storage.get_study_id_from_name(self.name)
        self._ids: dict[int, int] = {}  # the storage's own id of a trial, by the trial's number
        self.trials: list[FrozenTrial] = study.get_trials(deepcopy=True)
        self.counts: Counter[TrialState] = Counter(trial.state for trial in self.trials)
        self.stopped = sum(is_stopped(trial) for trial in self.trials)
        """How many trials were stopped at a rung. They are PRUNED, as those over the limits are."""
        for trial in self.trials:
            self._drop_large_attributes(trial)

    def add(self, proposal: Proposal, attributes: Mapping[str, Any]) -> int:
        """Write a new trial whole and return its number. A crash leaves all of it or nothing."""
        trial = create_trial(
            state=TrialState.RUNNING,
            params=proposal.params,
            distributions=proposal.distributions,
            user_attrs=dict(attributes),
            constraints=proposal.excess,
        )
        with self._stopped_if_deleted():
            trial_id = self.storage.create_new_trial(self._study_id, trial)
        trial.number = len(self.trials)
        self._ids[trial.number] = trial_id
        self.trials.append(trial)
        self.counts[TrialState.RUNNING] += 1
        return trial.number

    def note(self, number: int, **attributes: Any) -> None:
        """Write attributes of a trial that has not finished."""
        trial = self.trials[number]
        for name, value in attributes.items():
            with self._stopped_if_deleted():
                self.storage.set_trial_user_attr(self._id(number), name, value)
            trial.user_attrs[name] = value

    def tell(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        """Finish a trial, with its objectives where it is complete."""
        trial = self.trials[number]
        objectives = None if values is None else [float(value) for value in values]
        with self._stopped_if_deleted():
            self.storage.set_trial_state_values(self._id(number), state, objectives)
        self.counts[trial.state] -= 1
        self.counts[state] += 1
        trial.state, trial.values = state, objectives
        self.stopped += is_stopped(trial)
        self._drop_large_attributes(trial)

    def stored(self, number: int) -> dict[str, Any]:
        """Every attribute of a trial, from the storage."""
        with self._stopped_if_deleted():
            return self.storage.get_trial(self._id(number)).user_attrs

    def _id(self, number: int) -> int:
        if number not in self._ids:
            self._ids[number] = self.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        return self._ids[number]

    @contextmanager
    def _stopped_if_deleted(self) -> Iterator[None]:
        """Turn the KeyError of a deleted study (optuna-dashboard has a button for it) into Stopped."""
        try:
            yield
        except KeyError:
            raise Stopped(
                f"the study `{self.name}` was deleted from its storage while it ran: the same command starts it again, "
                "and finds its teacher and tables in the store."
            ) from None

    @staticmethod
    def _drop_large_attributes(trial: FrozenTrial) -> None:
        """Remove them from the copy in memory of a finished trial."""
        if trial.state.is_finished():
            for name in LARGE_ATTRIBUTES:
                trial.user_attrs.pop(name, None)
