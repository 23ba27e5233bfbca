"""The bench that compares three students of a stored study with the usual loop."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.speed import usual
from fitnets.disk.store import Store
from fitnets.distill.run import distill, result_of
from fitnets.errors import InputError
from fitnets.images.images import Images
from fitnets.teacher.teacher import Teacher
from tests.helpers import RECIPE, SHORT, STUDY, TEACHER


def test_a_part_of_the_images_keeps_the_proportion_and_has_tables_of_its_own(digits: Images) -> None:
    part = usual.part_of(digits, 200)
    assert len(part.train) == 200
    assert len(part.val) == 200 * len(digits.val) // len(digits.train)
    assert part.train.pixels_NHWC.equal(digits.train.pixels_NHWC[:200])
    assert part.digest != digits.digest


def test_the_usual_loop_pays_for_the_teacher_in_every_epoch_and_ours_once(
    digits: Images, teacher: Teacher, tmp_path: Path
) -> None:
    part, store = usual.part_of(digits, 128), Store(tmp_path)
    once = usual.measured(RECIPE, teacher, part, store)
    longer = RECIPE.changed(stage2=RECIPE.stage2.changed(epochs=5 * RECIPE.stage2.epochs))
    often = usual.measured(longer, teacher, part, store)
    assert 0 < once.teacher < once.usual and once.ours > 0
    assert often.teacher > 2 * once.teacher and often.usual > 2 * once.usual
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    result_of(distill(longer, part, teacher, store))
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == files, "the second training filled no table"


def test_all_students_share_the_passes_that_fill_the_tables(
    digits: Images, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usual, "seconds_of", lambda call: (call(), 7.0))
    study = STUDY.changed(stage2=SHORT.changed(epochs=5))
    longer = RECIPE.changed(stage1=SHORT.changed(epochs=6), stage2=study.stage2)
    part = usual.part_of(digits, 128)
    assert usual.table_seconds(study, [RECIPE] * 9, TEACHER.net, teacher, part) == 7.0 * 5
    sixth = usual.table_seconds(study, [longer] * 9, TEACHER.net, teacher, part) - 7.0 * 5
    assert 0 < sixth < 7.0, "the sixth epoch's hints need a part of a pass"
    same = replace(part, data=part.data.changed(plans=2))
    assert usual.table_seconds(study, [longer], TEACHER.net, teacher, same) == 7.0 * 2


def test_three_students_must_have_finished() -> None:
    with pytest.raises(InputError, match="the study has 0 finished students, and three are compared"):
        usual.three([])
