"""What made the students good: their settings as numbers, and how much each matters. No torch.

Settings are read from the recipes, so that students which somebody else designed count too.
"""

import math
import warnings
from collections.abc import Callable, Sequence

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState, create_trial

from fitnets.values.base import Value
from search.read.candidates import Candidate
from search.read.tradeoffs import accuracy

FEWEST = 10  # students, below which nothing is said
ENOUGH = 50  # students, below which importances are unreliable
MOST = 2000  # the newest students, which importances rest on


class Setting(Value):
    """A number that describes a student or its training."""

    name: str
    log: bool
    values: tuple[float | None, ...]
    """One for each student; None where it has none."""


def settings(rows: Sequence[Candidate]) -> list[Setting]:
    """All settings in which the students differ, in the order of the recipe."""
    found = [
        Setting(name=name, log=log, values=tuple(_clean(read(c)) for c in rows)) for name, (log, read) in _READ.items()
    ]
    return [setting for setting in found if len({v for v in setting.values if v is not None}) > 1]


class Importances(Value):
    """How much each setting matters."""

    shares: dict[str, float]
    """They sum to 1; the largest first."""
    count: int
    """The students that they rest on."""


def importances(rows: Sequence[Candidate]) -> Importances | None:
    """How much each setting matters for accuracy (PED-ANOVA: what sets the best tenth apart).

    Rests on the students with hints where those are the most, because the others lack some settings. None with fewer
    than `FEWEST` students.
    """
    recent = sorted(rows, key=lambda c: c.trial)[-MOST:]
    hinted = [c for c in recent if c.recipe.hint is not None]
    recent = hinted if 2 * len(hinted) > len(recent) else recent
    known = [s for s in settings(recent) if None not in s.values]
    if len(recent) < FEWEST or not known:
        return None
    if len(known) == 1:
        return Importances(shares={known[0].name: 1.0}, count=len(recent))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", storage=optuna.storages.InMemoryStorage())
    study.add_trials(_trials(recent, known))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental
        evaluator = PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    total = sum(found.values())
    if not total > 0:
        return None
    shares = sorted(((name, value / total) for name, value in found.items()), key=lambda row: -row[1])
    return Importances(shares=dict(shares), count=len(recent))


def _trials(rows: Sequence[Candidate], known: Sequence[Setting]) -> list[FrozenTrial]:
    spans: dict[str, BaseDistribution] = {}
    for setting in known:
        values = [v for v in setting.values if v is not None]
        spans[setting.name] = FloatDistribution(min(values), max(values), log=setting.log and min(values) > 0)
    return [
        create_trial(
            state=TrialState.COMPLETE,
            value=accuracy(c),
            params={s.name: s.values[i] for s in known},
            distributions=spans,
        )
        for i, c in enumerate(rows)
    ]


def inside(rows: Sequence[Candidate], ranges: dict[str, tuple[float, float]]) -> list[Candidate]:
    """The students whose settings lie within every range; a setting that a student lacks does not exclude it."""
    known = {s.name: s.values for s in settings(rows)}
    kept = list(range(len(rows)))
    for name, (low, high) in ranges.items():
        values = known.get(name)
        if values is not None:
            kept = [i for i in kept if (v := values[i]) is None or low <= v <= high]
    return [rows[i] for i in kept]


def guided_share(c: Candidate) -> float | None:
    """Where the guided layer lies, as a share of the student's convolutions; None without hints."""
    return None if c.recipe.hint is None else c.recipe.hint.guided / len(c.recipe.student.convs)


def _clean(value: float | None) -> float | None:
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
