"""Class by class: the counts against a count by hand, and that they are the accuracy's own."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fitnets.config import Ensemble, Training
from fitnets.disk.store import Store
from fitnets.distill.run import distill, result_of
from fitnets.images.images import Images, accuracy, judged, per_class
from fitnets.teacher import opening, train
from fitnets.teacher.teacher import Teacher
from fitnets.values.per_class import MOST_MISTAKEN, PerClass
from fitnets.values.per_image import PerImage
from search.read.evidence.class_rows import of_teacher, rows, weakest
from search.read.reader import Reader, read
from tests.app import synthetic
from tests.helpers import RECIPE, SHORT, TEACHER, ended

COUNTS = [[5, 2, 0], [0, 6, 1], [3, 0, 0]]
RNG = random.Random(7)


class Guess(nn.Module):
    """Tells a class by the image's first pixel alone."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits for ten classes."""
        return nn.functional.one_hot((x_BCHW.flatten(1).sum(1).abs() * 7).long() % 10, 10).float()


def test_a_matrix_is_told_in_short() -> None:
    got = PerClass.counted(COUNTS)
    assert got.of == (7, 7, 3)
    assert got.right == (5, 6, 0)
    assert got.mistaken == ((2, 0, 3), (0, 1, 2), (1, 2, 1))
    assert got.accuracy == 11 / 17
    assert got.whole


@given(st.lists(st.lists(st.integers(0, 9), min_size=18, max_size=18), min_size=18, max_size=18))
def test_the_most_frequent_mistakes_are_kept(counts: list[list[int]]) -> None:
    got = PerClass.counted(counts)
    mistakes = sorted((n for a, row in enumerate(counts) for b, n in enumerate(row) if a != b and n), reverse=True)
    assert [n for _, _, n in got.mistaken] == mistakes[:MOST_MISTAKEN]
    assert all(counts[true][other] == n for true, other, n in got.mistaken)
    assert got.whole == (len(mistakes) <= MOST_MISTAKEN)


def test_the_counts_are_those_of_a_count_by_hand(digits: Images) -> None:
    guess = Guess().train()
    got = per_class(guess, digits, digits.val)
    assert guess.training
    counts = [[0] * 10 for _ in range(10)]
    for x_BCHW, label_B in digits.batches(digits.val):
        for image, label in zip(x_BCHW, label_B.tolist(), strict=True):
            counts[label][int(guess(image[None]).argmax())] += 1
    assert got == PerClass.counted(counts)
    assert got.accuracy == accuracy(guess, digits, digits.val)
    assert len(set(got.right)) > 1


def test_the_bits_are_those_of_a_look_at_each_image(digits: Images) -> None:
    guess = Guess()
    batches = list(digits.batches(digits.val))
    right = [
        int(guess(image[None]).argmax()) == label
        for x_BCHW, label_B in batches
        for image, label in zip(x_BCHW, label_B.tolist(), strict=True)
    ]
    got = judged(guess, digits, digits.val)[1]
    assert got == PerImage.counted(right)
    assert [bool(got.bits >> i & 1) for i in range(got.of)] == right
    assert 0 < got.count == sum(right) < got.of


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_students_classes_are_of_the_weights_that_were_kept(digits: Images, teacher: Teacher, keep: str) -> None:
    stage2 = Training(epochs=4, lr=0.05, batch=64).changed(keep=keep)
    result = result_of(distill(RECIPE.changed(stage2=stage2), digits, teacher, None))
    assert result.classes is not None
    assert result.classes.accuracy == result.outcome.val_accuracy
    assert sum(result.classes.of) == len(digits.val)
    assert result.right is not None and result.right.of == len(digits.val)
    assert result.right.count == sum(result.classes.right)


def test_of_a_retrained_student_they_are_of_the_first_run(digits: Images, teacher: Teacher) -> None:
    result = ended(distill(RECIPE.changed(retrain=True), digits, teacher, None))[1]
    assert result.classes is not None and result.outcome.retrained
    assert result.classes.accuracy == result.outcome.val_accuracy
    assert sum(result.classes.of) == len(digits.val)
    assert result.right is not None and result.right.of == len(digits.val)
    assert result.right.count == sum(result.classes.right)


def test_teachers_have_theirs(digits: Images, tmp_path: Path) -> None:
    store, earlier = Store(tmp_path / "now"), Store(tmp_path / "earlier")
    short = TEACHER.changed(training=SHORT)
    both = Ensemble(members=(short, short.changed(seed=1)))
    for _ in train.trained(both, digits, store):
        pass
    for taught in (short, both):
        loaded = opening.load(taught, digits, store)
        assert loaded.classes == per_class(loaded.network, digits, digits.val)
        assert loaded.classes.accuracy == loaded.val_accuracy
    found = train.files(short, digits, store)
    about = json.loads(found["about.json"])
    del about["classes"]
    train.receive(short, digits, earlier, found | {"about.json": json.dumps(about).encode()})
    assert opening.load(short, digits, earlier).classes is None  # as earlier versions kept it


def test_rows_have_the_classes_names_and_the_teachers_numbers() -> None:
    student, teacher = PerClass.counted(COUNTS), PerClass.counted([[7, 0, 0], [0, 7, 0], [1, 0, 2]])
    first, second, third = rows(student, teacher, ["cat", "dog"])
    assert (first.name, second.name, third.name) == ("cat", "dog", "2")
    assert (first.accuracy, first.teacher, first.images) == (5 / 7, 1.0, 7)
    assert (third.accuracy, third.teacher) == (0.0, 2 / 3)
    assert third.mistaken == (("cat", 3),)
    assert [row.name for row in weakest([first, second, third], 2)] == ["cat", "2"]
    assert [row.gap for row in rows(student, None, [])] == pytest.approx([2 / 7, 1 / 7, 1.0])


def test_a_teacher_that_was_counted_on_other_images_is_left_out() -> None:
    student, other = PerClass.counted(COUNTS), PerClass.counted([[1, 0], [0, 1]])
    assert [row.teacher for row in rows(student, other, [])] == [None] * 3
    assert [row.images for row in rows(PerClass.counted([[1, 0], [0, 0]]), None, [])] == [1]  # none of the other class
    assert of_teacher({}) is None and of_teacher({"classes": 3}) is None
    assert of_teacher({"classes": student.model_dump(mode="json")}) == student


def test_a_reader_reads_them_for_one_student_only(tmp_path: Path) -> None:
    url = synthetic.empty(tmp_path / "studies.db")
    got = synthetic.classes(RNG, 10)
    about = synthetic.trained(0, RNG) | {"classes": got.model_dump(mode="json")}
    without = {name: value for name, value in about.items() if name != "classes"}
    synthetic.fill(tmp_path / "studies.db", [("COMPLETE", about), ("COMPLETE", without)])
    with Reader(url, "digits") as reader:
        assert [c.trial for c in reader.refresh().candidates] == [0, 1]
        assert (reader.classes(0), reader.classes(1), reader.classes(2)) == (got, None, None)
    assert len(read(url, "digits").candidates) == 2
