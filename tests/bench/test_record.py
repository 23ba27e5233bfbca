"""`bench.record`: which students a table of trainings has, and what a line says."""

import csv
import io

from bench.record import drawn, line, trainings
from fitnets.config import Report
from fitnets.nets.cost import cost
from search.read.candidates import as_csv
from search.space import recipe_of
from tests.helpers import STUDY
from tests.search.driver.test_loop import FRAME
from tests.search.test_results import candidate


def test_students_are_different_within_the_limits_and_a_function_of_the_seed() -> None:
    limit = cost(drawn(STUDY, FRAME, 5)[2][1].student).params
    study = STUDY.changed(max_params=limit)
    found = drawn(study, FRAME, 10)
    assert len({recipe.digest() for _, recipe in found}) == 10
    assert all(cost(recipe.student).params <= limit for _, recipe in found)
    assert found == drawn(study, FRAME, 10)
    assert found[:4] == drawn(study, FRAME, 4), "more students only add to them"
    assert all(recipe == recipe_of(params, study.space, FRAME) for params, recipe in found)
    assert found != drawn(study.changed(seed=1), FRAME, 10)


def test_a_students_trainings_differ_in_the_seed_alone() -> None:
    found = trainings(STUDY, FRAME, 3, 2)
    assert [(i, j) for _, i, j, _, _ in found] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert len({name for name, *_ in found}) == len({recipe.seed for *_, recipe in found}) == 6
    for (*_, one), (*_, other) in zip(found[::2], found[1::2], strict=True):
        assert one == other.changed(seed=one.seed)


def test_a_line_has_both_stages_epoch_by_epoch() -> None:
    reports = (
        Report(stage="stage 1", epoch=1, epochs=1, loss=1.0, hint_r2=-0.25, seconds=1.0),
        Report(stage="stage 2", epoch=1, epochs=2, loss=1.0, val_accuracy=0.5, lam=4.0, seconds=1.0),
        Report(stage="stage 2", epoch=2, epochs=2, loss=1.0, val_accuracy=391 / 396, lam=1.0, seconds=1.0),
    )
    trained = candidate(7, 391 / 396, 100, 2000).changed(reports=reports)
    (row,) = csv.DictReader(io.StringIO(as_csv([line(3, 1, {"tau": 2.5, "depth1": 2}, trained, 396)])))
    assert row == {
        "student": "3",
        "seed": "1",
        "params": "100",
        "weights": "100",
        "macs": "2000",
        "tau": "2.5",
        "depth1": "2",
        "seconds": "3.0",
        "hint_r2_x10000": "-2500",
        "val_epochs_of_396": "198 391",
    }
