"""Forecasts: arithmetic that can be checked by hand."""

import random

import pytest

from fitnets.config import Hint
from fitnets.nets.cost import cost
from fitnets.values import table_sizes
from fitnets.values.net import Net
from search.driver.forecast import forecast, forecast_and_actual, hint_work, stage2_work, typical
from search.driver.sampling.draw import Draw
from search.driver.stopping import Stopping
from search.space import recipe_of, suggest
from search.units import format_duration
from search.workers.facts import Facts, Speed
from tests.helpers import RECIPE, SHORT, STUDY, TEACHER

FRAME = STUDY.frame((1, 8, 8), 10, 3)
FACTS = Facts(
    shape=(1, 8, 8), classes=tuple("0123456789"), train=1000, val=200, images="d", device="cpu", native="float32"
)
STUDENT, TAUGHT = Speed(train_step=1e-3, forward=1e-4), Speed(train_step=4e-3, forward=1e-3)


@pytest.mark.parametrize(
    ("seconds", "message"),
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
def test_durations(seconds: float, message: str) -> None:
    assert format_duration(seconds) == message


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
    assert two.total_seconds == pytest.approx(one.total_seconds / 2)
    trials = one.total_seconds - one.tables_seconds
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
        cost(recipe_of(suggest(Draw(random.Random(s)), STUDY.space), STUDY.space, FRAME).student).params
        for s in range(99)
    )
    recipe, relative, feasible = typical(STUDY, FRAME)
    assert costs[10] < cost(recipe.student).params < costs[-10]
    assert feasible == 1.0
    assert 0.5 < relative < 2.0
    tight = STUDY.changed(max_params=costs[20])
    recipe, _, feasible = typical(tight, FRAME)
    assert cost(recipe.student).params <= costs[20]
    assert 0.05 < feasible < 0.45


def test_students_that_are_known_before_cost_what_they_cost() -> None:
    study = STUDY.changed(trials=4, max_params=10**9)
    _, random_mean, _ = typical(study, FRAME)
    large = RECIPE.changed(student=Net.staged((1, 8, 8), 10, ((64, 64), (64, 64))), stage1=STUDY.stage1)
    median, mean, _ = typical(study, FRAME, [large] * 2)
    macs = cost(large.student).macs / cost(median.student).macs
    assert mean == pytest.approx((2 * macs + 2 * random_mean) / 4) and mean > 2 * random_mean
    assert typical(study, FRAME, [large] * 9)[1] == pytest.approx(macs), "no more than the study trains"
    assert typical(study.changed(max_params=cost(large.student).params - 1), FRAME, [large])[1] == random_mean
    arguments = (FACTS, FRAME, STUDENT, TAUGHT, None)
    got = [forecast(study, *arguments, teacher_epochs=0, slots=1, known=k).trial_seconds for k in ((), [large] * 4)]
    trained = [seconds - TAUGHT.forward * FACTS.train * STUDY.stage1.epochs for seconds in got]  # less the live hints
    assert trained[1] / trained[0] == pytest.approx(macs / random_mean)


def test_every_line_is_for_people() -> None:
    got = forecast(STUDY, FACTS, FRAME, STUDENT, TAUGHT, None, teacher_epochs=0, slots=2)
    text = "\n".join(got.lines())
    assert "3 trials on 2 slot(s), 6 epochs in all; 100% of random students" in text
    assert got.table_bytes == 2 * 1000 * 10, "a brought teacher's logits"
    assert got.disk_bytes > got.table_bytes + 1200 * 64
    assert "kB of disk; 20 kB of it are the teacher's tables" in text


def test_a_pass_that_tells_the_hints_tells_the_logits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    macs = 64 * 9 * 16 * 2, 16 * 9 * 16 * 24 * 2, 4 * 9 * 24 * 32 * 2, 32 * 10  # 8x8 digits, 3x3 kernels, 2 pieces
    shares = [sum(macs[:layer]) / sum(macs) for layer in (1, 2, 3)]
    recipe = RECIPE.changed(student=Net.staged((1, 8, 8), 10, ((8,), (8,), (8,))))  # its second map is 2x2
    low, high = recipe.changed(hint=Hint(hint=1, guided=2)), recipe.changed(hint=Hint(hint=3, guided=2))
    bytes_of = {1: 2 * 1000 * 16 * 4 * 4, 2: 2 * 1000 * 24 * 2 * 2, 3: 2 * 1000 * 32}
    epochs = SHORT.epochs
    assert hint_work([low, high], 1000, TEACHER.net, STUDY.data) == (epochs * sum(bytes_of.values()), 0.0, 0.0)
    longer = low.changed(stage1=SHORT.changed(epochs=epochs + 3))
    assert hint_work([longer], 1000, TEACHER.net, STUDY.data).passes == pytest.approx(3 * shares[2])
    monkeypatch.setattr(table_sizes, "TABLE_BYTES", 2 * 1000 * 16 * 2 * 2)  # layer 1 as 2x2, and layer 3, which is less
    pooled = hint_work([high, low, low], 1000, TEACHER.net, STUDY.data)
    assert pooled.table_bytes == epochs * (bytes_of[3] + bytes_of[1] // 4)
    assert pooled.passes == pytest.approx(epochs * shares[0]) and pooled.live == 0
    monkeypatch.setattr(table_sizes, "TABLE_BYTES", 0)
    live = hint_work([high, low, RECIPE.without_hints()], 1000, TEACHER.net, STUDY.data)
    assert live.table_bytes == live.passes == 0
    assert live.live == pytest.approx(epochs * (shares[0] + shares[2]) / 3)


def test_tables_that_are_stored_cost_nothing_again() -> None:
    epochs = SHORT.epochs
    longer = RECIPE.changed(stage1=SHORT.changed(epochs=epochs + 1))
    maps = {(1, (4, 4)), (2, (2, 2)), (3, (1, 1))}
    logits = {(epoch, None) for epoch in range(1, epochs + 1)}
    every = logits | {(epoch, table) for epoch in range(1, epochs + 2) for table in maps}
    none = hint_work([longer], 1000, TEACHER.net, STUDY.data)
    assert none.passes > 0 < none.table_bytes
    assert hint_work([longer], 1000, TEACHER.net, STUDY.data, every) == (0, 0.0, 0.0)
    again = hint_work([longer], 1000, TEACHER.net, STUDY.data, logits)
    assert again.table_bytes == none.table_bytes, "logits alone: their pass did not fill the hints"
    assert again.passes == pytest.approx((epochs + 1) * none.passes)
    arguments = (STUDY.changed(stage2=SHORT), FACTS, FRAME, STUDENT, TAUGHT, None)
    got = forecast(*arguments, teacher_epochs=0, slots=2, stored=logits - {(1, None)})
    assert got.tables_seconds == pytest.approx(1000 * 1e-3) and got.table_bytes == 1000 * 10 * 2
    ready = forecast(*arguments, teacher_epochs=0, slots=2, stored=logits)
    assert ready.tables_seconds == ready.table_bytes == 0 and ready.lines()[-1].endswith("kB of disk")


def test_epochs_with_the_same_views_need_one_pass() -> None:
    once = STUDY.data.changed(plans=1)
    recipe = RECIPE.changed(stage1=SHORT.changed(epochs=SHORT.epochs + 3))
    every, same = (hint_work([recipe], 1000, TEACHER.net, data) for data in (STUDY.data, once))
    assert every.passes > 0 == same.passes and every.table_bytes == (SHORT.epochs + 3) * same.table_bytes
    arguments = (FACTS, FRAME, STUDENT, TAUGHT, None)
    got = [
        forecast(STUDY.changed(data=data, stage2=SHORT), *arguments, teacher_epochs=0, slots=2).tables_seconds
        for data in (STUDY.data, once)
    ]
    assert got == pytest.approx([SHORT.epochs * 1000 * 1e-3, 1000 * 1e-3])


def test_a_forecast_is_held_against_what_the_run_took() -> None:
    assert forecast_and_actual(98.2, 224.0) == "forecast 98 s, took 3 min 44 s"


def test_stopped_students_cost_their_epochs_up_to_the_rung() -> None:
    study = STUDY.changed(stopping=Stopping(), stage2=STUDY.stage2.changed(epochs=60), trials=30)
    assert stage2_work(study, (0.5, 0.25)) == (20 + 0.5 * 20 + 0.375 * 20, 0.375)
    assert stage2_work(study, (0.0, 0.0)) == stage2_work(study.changed(stopping=None), ()) == (60.0, 1.0)
    arguments = (FACTS, FRAME, STUDENT, TAUGHT, TEACHER.net)
    whole = forecast(study.changed(stopping=None), *arguments, teacher_epochs=0, slots=1)
    stopped = forecast(study, *arguments, teacher_epochs=0, slots=1, stopped=(0.5, 0.25))
    assert stopped.epochs == 30 * (1 + 37.5) and whole.epochs == 30 * 61
    assert stopped.stopped == 0.625 and whole.stopped == 0.0
    assert stopped.tables_seconds == whole.tables_seconds
    ratio = (0.6 + 37.5) / 60.6
    assert stopped.trial_seconds == pytest.approx(ratio * whole.trial_seconds)
    assert "1,155 epochs in all, as about 62% are stopped early; 100% of random" in stopped.lines()[0]
    assert "stopped" not in whole.lines()[0]
