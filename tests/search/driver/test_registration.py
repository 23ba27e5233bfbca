"""search/driver/registration.py: what a study's entry in the storage is compared with, and a folder's rights."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest

from fitnets.config import Brought
from fitnets.errors import InputError
from fitnets.images.identity import Identity
from search.driver.registration import check_teacher, writable
from search.read.definition import differences
from search.workers.facts import TeacherFacts, other_images
from tests.helpers import STUDY, unprivileged

FOLDER = Path("/now")
BROUGHT = Brought(build="theirs:net", hint_layers=("first",))


def test_differences_are_named_by_path_and_some_may_change() -> None:
    stored = json.loads(STUDY.model_dump_json())
    free = STUDY.changed(trials=99, trial_seconds=9, max_disk="1GB", gpu_fraction=0.5)
    assert differences(stored, free.model_dump(mode="json")) == []
    several = [STUDY.changed(teacher=BROUGHT.changed(min_accuracy=least)) for least in (None, 0.0, 0.9)]
    dumped = [study.model_dump(mode="json") for study in several]
    assert [differences(a, b) for a in dumped for b in dumped] == [[]] * 9
    now = STUDY.changed(seed=4, stage2=STUDY.stage2.changed(epochs=9), max_params=1000)
    assert differences(stored, now.model_dump(mode="json")) == [
        "max_params: was None, is now 1000",
        "seed: was 0, is now 4",
        "stage2.epochs: was 1, is now 9",
    ]


def test_a_definition_that_lacks_fields_differs() -> None:
    stored = STUDY.model_dump(mode="json")
    del stored["init"]
    assert differences(stored, STUDY.model_dump(mode="json")) == ["init: was None, is now scaled"]


def test_a_stored_study_without_shortcuts_is_another_one_than_with_them() -> None:
    """A study that was stored before spaces had shortcuts goes on; one with shortcuts is not that study."""
    stored = STUDY.model_dump(mode="json")
    assert "shortcuts" not in stored["space"]
    now = STUDY.changed(space=STUDY.space.changed(shortcuts=True)).model_dump(mode="json")
    assert differences(stored, now) == ["space.shortcuts: was None, is now True"]


def test_drivers_that_look_at_one_folder_at_once_do_not_hinder_each_other(tmp_path: Path) -> None:
    def look(_: int) -> None:
        for _ in range(200):
            writable(tmp_path)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(look, range(8))) == [None] * 8
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with unprivileged(), pytest.raises(InputError, match=r"cannot be written \(Permission denied\): .* with --out"):
        writable(tmp_path / "out", "--out")


EARLIER = (  # a definition as the version of 2026-11-24 stored it, which wrote the required accuracy always
    '{"build":"theirs:net","hint_layers":["first"],"kind":"brought","mean":null,"min_accuracy":%s,"std":null,'
    '"weights":null}'
)
CONTENTS = ("a" * 64, "b" * 64)
FACTS = TeacherFacts(teacher="c" * 64, hint_shapes=((4, 8, 8),), val_accuracy=0.5, contents=CONTENTS)


def stored_by_earlier_version(least: str, contents: tuple[str, str] = CONTENTS) -> optuna.Study:
    """A study with a brought teacher, whose digest depended on the required accuracy."""
    weights, code = contents
    definition = hashlib.sha256((EARLIER % least).encode()).hexdigest()
    known = optuna.create_study()
    known.set_user_attr("study", {**STUDY.model_dump(mode="json"), "teacher": json.loads(EARLIER % least)})
    known.set_user_attr("teacher", {"teacher": hashlib.sha256((weights + definition + code).encode()).hexdigest()})
    return known


@pytest.mark.parametrize("before", ["0.0", "0.9"])
@pytest.mark.parametrize("now", [None, 0.0, 0.7])
def test_a_brought_teacher_of_an_earlier_version_is_the_same_whatever_accuracy_it_must_reach(
    before: str, now: float | None
) -> None:
    study = STUDY.changed(teacher=BROUGHT.changed(min_accuracy=now))
    known = stored_by_earlier_version(before)
    assert differences(known.user_attrs["study"], study.model_dump(mode="json")) == []
    assert check_teacher(known, FACTS, study) is None
    for other in (("d" * 64, CONTENTS[1]), (CONTENTS[0], "d" * 64)):  # other weights, other code
        with pytest.raises(InputError, match="the teacher is not the one that the study learnt from"):
            check_teacher(stored_by_earlier_version(before, other), FACTS, study)


def test_images_that_have_a_validation_part_now_are_told_as_such() -> None:
    stored = {"images": "a", "train": 30, "val": 10, "data_dir": "/images"}
    now = Identity(images="a", classes=("x", "y"), train=30, own_val=True)
    assert other_images(stored, now, FOLDER) is None
    assert other_images({}, now, FOLDER) is None
    assert other_images(stored | {"classes": ["x", "y"]}, now, FOLDER) is None
    got = other_images(stored, now.changed(images="b", train=40), FOLDER)
    assert got is not None and "an earlier version, which did not read the validation part (`val/`)" in got
    for train, own_val in ((40, False), (41, True)):
        got = other_images(stored, now.changed(images="b", train=train, own_val=own_val), FOLDER)
        rule = "the images in `/now` are not those that the study was trained on (digest b, was a, read from `/images`)"
        assert got is not None and got.startswith(rule)
    got = other_images(stored | {"classes": ["y", "x"]}, now, FOLDER)
    assert got is not None and "(classes x, y; were y, x, read from" in got
