"""The bench that compares three students of a stored study with the usual loop."""

from pathlib import Path

import pytest

from bench import usual
from fitnets.disk.store import Store
from fitnets.distill.run import distill, result_of
from fitnets.errors import InputError
from fitnets.images.images import Images
from fitnets.teacher.teacher import Teacher
from tests.helpers import RECIPE


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


def test_three_students_must_have_finished() -> None:
    with pytest.raises(InputError, match="the study has 0 finished students, and three are compared"):
        usual.three([])
