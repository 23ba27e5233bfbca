"""Forecasts: arithmetic that can be checked by hand."""

import pytest

from fitnets.cost import cost
from search.facts import Facts, Speed
from search.forecast import Drawn, duration, forecast, typical
from search.space import recipe_of, suggest
from tests.helpers import STUDY, TEACHER

FRAME = STUDY.frame((1, 8, 8), 10, 3)
FACTS = Facts(
    shape=(1, 8, 8), classes=tuple("0123456789"), train=1000, val=200, images="d", device="cpu", native="float32"
)
STUDENT, TAUGHT = Speed(train_step=1e-3, forward=1e-4), Speed(train_step=4e-3, forward=1e-3)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (8.4, "8 s"),
        (99, "99 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 0 min"),
        (18_600, "5 h 10 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_a_teacher_that_is_trained_costs_no_training() -> None:
    ready = forecast(STUDY, FACTS, FRAME, STUDENT, TAUGHT, TEACHER.net, teacher_epochs=0, slots=1)
    fresh = forecast(STUDY, FACTS, FRAME, STUDENT, TAUGHT, TEACHER.net, teacher_epochs=10, slots=1)
    assert ready.teacher_seconds == 0
    assert fresh.teacher_seconds == pytest.approx(10 * (4e-3 * 1000 + 1e-3 * 200))
    assert fresh.total_seconds - ready.total_seconds == pytest.approx(fresh.teacher_seconds)


def test_tables_are_paid_once_and_trials_by_every_slot() -> None:
    one = forecast(STUDY, FACTS, FRAME, STUDENT, TAUGHT, TEACHER.net, teacher_epochs=0, slots=1)
    two = forecast(STUDY, FACTS, FRAME, STUDENT, TAUGHT, TEACHER.net, teacher_epochs=0, slots=2)
    more = STUDY.changed(trials=6)
    twice = forecast(more, FACTS, FRAME, STUDENT, TAUGHT, TEACHER.net, teacher_epochs=0, slots=1)
    assert one.tables_seconds == two.tables_seconds == twice.tables_seconds
    trials = one.total_seconds - one.tables_seconds
    assert two.total_seconds - two.tables_seconds == pytest.approx(trials / 2)
    assert twice.total_seconds - twice.tables_seconds == pytest.approx(trials * 2)
    assert one.epochs == 3 * 2


def test_longer_trials_cost_more() -> None:
    longer = STUDY.changed(stage2=STUDY.stage2.changed(epochs=10))
    short = forecast(STUDY, FACTS, FRAME, STUDENT, TAUGHT, TEACHER.net, teacher_epochs=0, slots=1)
    long = forecast(longer, FACTS, FRAME, STUDENT, TAUGHT, TEACHER.net, teacher_epochs=0, slots=1)
    assert long.trial_seconds > 2 * short.trial_seconds
    assert long.tables_seconds == pytest.approx(10 * short.tables_seconds)


def test_the_typical_student_is_within_the_limits_and_in_the_middle() -> None:
    costs = sorted(
        cost(recipe_of(suggest(Drawn(s), STUDY.space), STUDY.space, FRAME).student).params for s in range(99)
    )
    recipe, relative, feasible = typical(STUDY, FRAME)
    assert costs[10] < cost(recipe.student).params < costs[-10]
    assert feasible == 1.0
    assert 0.5 < relative < 2.0
    tight = STUDY.changed(max_params=costs[20])
    recipe, _, feasible = typical(tight, FRAME)
    assert cost(recipe.student).params <= costs[20]
    assert 0.05 < feasible < 0.45


def test_every_line_is_for_people() -> None:
    told = forecast(STUDY, FACTS, FRAME, STUDENT, TAUGHT, None, teacher_epochs=0, slots=2)
    text = "\n".join(told.lines())
    assert "3 trials on 2 slot(s), 6 epochs in all; 100% of random students" in text
    assert "MB of disk" in text
