"""The students' settings as numbers, and how much each matters for accuracy. No torch.

Settings are read from the recipes, so that students which the sampler did not propose count too.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState, create_trial

from fitnets.values.base import Value
from search.read.candidates import Candidate
from search.read.tradeoffs import Axis, FrontAccuracy, accuracy, front_on, measured

FEWEST = 10  # with fewer students, importances are not computed
ENOUGH = 50  # with fewer students, importances are unreliable
COSTS = ("parameters", "multiply-adds")  # among `settings`: they follow from the widths and the depth
MOST = 1000  # importances are computed from so many of the newest students


class Setting(Value):
    """A number that describes a student or its training."""

    name: str
    log: bool
    values: tuple[float | None, ...]
    """One for each student; None where it has none."""


def settings(rows: Sequence[Candidate]) -> list[Setting]:
    """The settings in which the students differ, in the order of the recipe."""
    return [found for name in _READ if (found := setting(rows, name)) is not None]


def setting(rows: Sequence[Candidate], name: str) -> Setting | None:
    """One of them; None where the students do not differ in it, and for a name that is no setting's."""
    if name not in _READ:
        return None
    log, read = _READ[name]
    values = tuple(_finite(read(c)) for c in rows)
    return Setting(name=name, log=log, values=values) if len({v for v in values if v is not None}) > 1 else None


class Importances(Value):
    """How much each setting matters."""

    shares: dict[str, float]
    """They sum to 1; the largest first."""
    count: int
    """The number of students that they were computed from."""


def importances(rows: Sequence[Candidate], axis: Axis, front: Sequence[Candidate] | None = None) -> Importances | None:
    """How much each setting matters at equal cost (PED-ANOVA: what sets the tenth nearest to the front apart).

    A student's value is its distance to the front: its accuracy less that of the best student of these that costs no
    more. By accuracy alone, what matters is how large a student is; costs themselves are no settings.

    Where most students have hints, only those are used, because the others lack some settings. None with fewer than
    `FEWEST` students. `front` is their front, where it is known already.
    """
    level = FrontAccuracy(front_on(rows, axis) if front is None else front, axis)
    recent = sorted(measured(rows, axis), key=lambda c: c.trial)[-MOST:]
    hinted = [c for c in recent if c.recipe.hint is not None]
    recent = hinted if 2 * len(hinted) > len(recent) else recent
    known = [s for s in settings(recent) if None not in s.values and s.name not in COSTS]
    if len(recent) < FEWEST or not known:
        return None
    if len(known) == 1:
        return Importances(shares={known[0].name: 1.0}, count=len(recent))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", storage=optuna.storages.InMemoryStorage())
    study.add_trials(_trials([accuracy(c) - level(c) for c in recent], known))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna marks it as experimental
        evaluator = PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    total = sum(found.values())
    if not total > 0:
        return None
    shares = sorted(((name, value / total) for name, value in found.items()), key=lambda row: -row[1])
    return Importances(shares=dict(shares), count=len(recent))


class _Shared(FloatDistribution):
    """A distribution that Optuna's storage need not copy for every trial: it never changes."""

    def __deepcopy__(self, memo: dict[int, object]) -> "_Shared":
        return self


def _trials(found: Sequence[float], known: Sequence[Setting]) -> list[FrozenTrial]:
    distributions: dict[str, BaseDistribution] = {}
    for each in known:
        values = [v for v in each.values if v is not None]
        distributions[each.name] = _Shared(min(values), max(values), log=each.log and min(values) > 0)
    return [
        create_trial(
            state=TrialState.COMPLETE,
            value=value,
            params={s.name: s.values[i] for s in known},
            distributions=distributions,
        )
        for i, value in enumerate(found)
    ]


def inside(rows: Sequence[Candidate], ranges: dict[str, tuple[float, float]]) -> list[Candidate]:
    """The students whose settings lie within all ranges; a student without a setting is not excluded by its range."""
    indices = list(range(len(rows)))
    for name, (low, high) in ranges.items():
        if (known := setting(rows, name)) is not None:
            indices = [i for i in indices if (v := known.values[i]) is None or low <= v <= high]
    return [rows[i] for i in indices]


def within(rows: Sequence[Candidate], ends: Mapping[str, tuple[float | None, float | None]]) -> list[Candidate]:
    """The same for ranges of which an end may be open."""
    closed = {
        name: (-math.inf if low is None else low, math.inf if high is None else high)
        for name, (low, high) in ends.items()
    }
    return inside(rows, closed) if closed else list(rows)


def guided_share(c: Candidate) -> float | None:
    """The guided layer's number divided by that of the student's convolutions; None without hints."""
    return None if c.recipe.hint is None else c.recipe.hint.guided / len(c.recipe.student.convs)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


_READ: dict[str, tuple[bool, Callable[[Candidate], float | None]]] = {
    "convolutions": (False, lambda c: float(len(c.recipe.student.convs))),
    "first width": (False, lambda c: float(c.recipe.student.convs[0].width)),
    "last width": (False, lambda c: float(c.recipe.student.convs[-1].width)),
    "parameters": (True, lambda c: float(c.cost.params)),
    "multiply-adds": (True, lambda c: float(c.cost.macs)),
    "hint layer": (False, lambda c: None if c.recipe.hint is None else float(c.recipe.hint.hint)),
    "guided layer": (False, lambda c: None if c.recipe.hint is None else float(c.recipe.hint.guided)),
    "tau": (True, lambda c: c.recipe.distill.tau),
    "lambda start": (True, lambda c: c.recipe.distill.lambda_start),
    "lambda end": (False, lambda c: c.recipe.distill.lambda_end),
    "rate, stage 1": (True, lambda c: None if c.recipe.stage1 is None else c.recipe.stage1.lr),
    "rate, stage 2": (True, lambda c: c.recipe.stage2.lr),
}
