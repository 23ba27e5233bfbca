"""Image folders of every layout: parts and classes are found, or refused with the remedy; what is unused is counted."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fitnets.config import Data
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.images.images import Images, load, load_test
from fitnets.images.layout import Layout
from fitnets.images.parts import check

DATA = Data(name="x")
ROOT = "x"


class Maker:
    """Writes image files that all differ."""

    def __init__(self, root: Path):
        self.root, self.numbers = root, itertools.count()

    def __call__(self, folders: Mapping[str, int]) -> Path:
        """So many image files in each folder below `x`."""
        for folder, count in folders.items():
            (self.root / ROOT / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                number = next(self.numbers)
                pixels = np.full((4, 4), number // 250, dtype=np.uint8)
                pixels[0] = number % 250
                Image.fromarray(pixels).save(self.root / ROOT / folder / f"{i:03}.png")
        return self.root


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """A maker below the test's own folder."""
    return Maker(tmp_path)


def refusal(root: Path) -> str:
    """What a person is told when the search starts: one printable line."""
    with pytest.raises(InputError) as caught:
        check(DATA, root)
        load(DATA, root)
    message = str(caught.value)
    assert message.isprintable()
    return message


def sizes(root: Path) -> tuple[int, int, int]:
    """How many training, validation and test images there are."""
    images = load(DATA, root)
    return len(images.train), len(images.val), len(load_test(DATA, root, images))


def of(prefix: str, count: int, classes: str = "ab") -> dict[str, int]:
    """So many images for each class of a part."""
    return {f"{prefix}/{name}": count for name in classes}


# parts


@pytest.mark.parametrize("train", ["train", "Train", "TRAIN", "training", "Training"])
@pytest.mark.parametrize("test", ["test", "Test", "testing", "Testing"])
def test_training_and_test_folders_are_known_by_their_usual_names(make: Maker, train: str, test: str) -> None:
    assert sizes(make(of(train, 10) | of(test, 3))) == (16, 4, 6)


@pytest.mark.parametrize("val", ["val", "Val", "valid", "validation", "Validation"])
@pytest.mark.parametrize(("test", "whole"), [({}, (16, 6, 4)), (of("test", 5), (20, 6, 10))])
def test_a_validation_folder_is_the_validation_part(
    make: Maker, val: str, test: dict[str, int], whole: tuple[int, int, int]
) -> None:
    root = make(of("train", 10) | of(val, 3) | test)
    images = load(DATA, root)
    assert sizes(root) == whole
    saved = [np.asarray(Image.open(file)) for file in sorted((root / ROOT / val).glob("*/*"))]
    assert np.array_equal(images.val.pixels_NHWC[..., 0].numpy(), np.stack(saved))
    assert images.val.label_N.tolist() == [0, 0, 0, 1, 1, 1]
    assert images.notes == (
        f"6 images in `{root}/{ROOT}/{val}` are the validation part: none are split from training, and `val_fraction` "
        "is not used.",
    )


def test_what_is_trained_is_keyed_by_the_validation_folder_too(make: Maker) -> None:
    root = make(of("train", 10) | of("val", 3))
    before = load(DATA, root).digest
    assert load(DATA, root).digest == before
    (root / ROOT / "val" / "a" / "000.png").unlink()
    assert load(DATA, root).digest != before


def test_a_validation_folder_is_read_from_the_store_and_limited(make: Maker, tmp_path: Path) -> None:
    root, store = make(of("train", 10) | of("val", 3)), Store(tmp_path / "store")
    first, again = load(DATA, root, store), load(DATA, root, store)
    assert (first.digest, first.notes) == (again.digest, again.notes) and first.notes
    assert len(load(DATA.changed(limit=4), root, store).val) == 4


def test_classes_right_below_beside_a_test_folder(make: Maker) -> None:
    assert sizes(make({"a": 10, "b": 10} | of("test", 3))) == (16, 4, 6)


@pytest.mark.parametrize("name", ["train", "test", "val", "Training", "valid"])
@pytest.mark.parametrize("parted", [False, True])
def test_a_class_may_be_called_as_a_part_is(make: Maker, name: str, parted: bool) -> None:
    root = make({f"{part}{c}": 10 for part in (("train/", "test/") if parted else ("",)) for c in ("bus", "car", name)})
    images = load(DATA, root)
    assert images.classes == tuple(sorted(("bus", "car", name)))
    assert len(images.train) + len(images.val) == (30 if parted else 24)
    assert check(DATA, root) == ()


def test_a_class_called_train_with_folders_in_it_is_still_a_class(make: Maker) -> None:
    images = load(DATA, make({"bus": 10, "car": 10, "train": 10, "train/2021": 4}))
    assert images.classes == ("bus", "car", "train")
    assert "4 images in folders inside a class" in images.notes[0]


def test_a_folder_that_may_be_a_class_or_the_training_part_is_refused(make: Maker) -> None:
    message = refusal(make({"bus": 10, "car": 10, "train/2021": 5, "train/2022": 5}))
    assert (
        "train` holds folders, but `bus`, `car` beside it hold images: if it is a class, move its images up" in message
    )


def test_parts_without_class_folders_are_no_classes(make: Maker) -> None:
    """`train` against `test` is nothing to learn."""
    message = refusal(make({"train": 10, "test": 10}))
    assert "`test`, `train` in" in message and "sort the images into" in message and "/train/<class>/*`." in message


def test_a_part_twice_is_refused(make: Maker) -> None:
    message = refusal(make(of("train", 10) | of("Training", 10)))
    assert "are both the train part: merge them, or rename one." in message


def test_a_test_folder_without_classes_is_refused(make: Maker) -> None:
    message = refusal(make(of("train", 10) | {"test": 5}))
    assert "/x/test` has no class folders: add" in message and "or give it a name that is not a part's" in message


def test_a_folder_around_the_parts_is_named(make: Maker) -> None:
    root = make(of("set/train", 10))
    assert f"or name `{root}/x/set` with --data." in refusal(root)


def test_parts_of_unknown_names_are_no_classes(make: Maker) -> None:
    message = refusal(make(of("seg_train", 10) | of("seg_test", 10)))
    assert (
        "hold no image files, only folders of them" in message
        and "a part is called `train`, `val` or `test`" in message
    )


# what is not used


def notes(root: Path) -> tuple[str, ...]:
    """What is said of the images."""
    return load(DATA, root).notes


def test_folders_inside_a_class_are_counted(make: Maker) -> None:
    root = make(of("train", 10) | {"train/a/2021": 3, "train/b/x/y": 4, "test/a": 2, "test/b": 2, "test/b/z": 1})
    assert notes(root) == (
        f"not used: 8 images in folders inside a class (`{root}/x/train/a/2021`, `{root}/x/train/b/x`, "
        f"`{root}/x/test/b/z`), as a class holds its images itself: move them up.",
    )


def test_files_of_other_types_are_counted_by_type(make: Maker) -> None:
    root = make(of("train", 10))
    for number, name in enumerate(("1.HEIC", "2.HEIC", "3.avif", "deep/4.HEIC", "none")):
        file = root / ROOT / "train" / "ab"[number % 2] / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"ftypheic")
    (root / ROOT / "train" / "a" / ".DS_Store").touch()
    (root / ROOT / "labels.csv").touch()
    (message,) = notes(root)
    assert (
        message.startswith("not used: 5 files in class folders (3 .HEIC, 1 ")
        and "are read: convert what is an" in message
    )
    assert "1 .avif" in message and "1 without a suffix" in message


@pytest.mark.parametrize("part", ["test", "val"])
def test_classes_that_the_training_part_lacks_are_counted(make: Maker, part: str) -> None:
    root = make(of("train", 10) | of(part, 2, "abz"))
    assert notes(root)[-1] == (
        f"not used: 2 images of classes that the training part lacks (`{root}/x/{part}/z`), as no network could learn "
        "them."
    )


def test_images_outside_classes_and_folders_beside_the_parts_are_counted(make: Maker) -> None:
    root = make(of("train", 10) | of("test", 2) | {"train": 2, "": 1, "extra": 3, "more/a": 2})
    assert notes(root) == (
        f"not used: 5 images in folders that are no part (`{root}/x/extra`, `{root}/x/more`), as parts are called "
        "`train`, `val` and `test`.",
        f"not used: 3 images outside the class folders (`{root}/x/train`, `{root}/x`), as their class is unknown.",
    )


def test_a_folder_in_which_all_is_used_needs_no_note(make: Maker) -> None:
    assert notes(make(of("train", 10) | of("test", 3))) == ()


# known before the search


@pytest.mark.parametrize(
    ("folders", "needed"),
    [
        ({"a": 9, "b": 9, "zebra": 1}, "3 in `{}`, one for each of training, validation, test"),
        ({"a": 9, "b": 9, "zebra": 2}, "3 in `{}`, one for each of training, validation, test"),
        (of("train", 9) | {"train/zebra": 1} | of("test", 3) | {"test/zebra": 3}, "2 in `{}/train`, one for each of"),
        (of("train", 9) | {"train/zebra": 1} | of("val", 3) | {"val/zebra": 3}, "2 in `{}/train`, one for each of"),
    ],
)
def test_a_class_with_too_few_images_is_named_with_its_number(
    make: Maker, folders: dict[str, int], needed: str
) -> None:
    root, count = make(folders), folders.get("zebra", 1)
    message = refusal(root)
    assert message.startswith(f"`zebra` has {count} image{'s' * (count > 1)}, but a class needs ")
    assert needed.format(root / ROOT) in message and message.endswith("add images to it, or remove its folder.")


def test_as_few_images_as_a_class_needs_are_enough(make: Maker, tmp_path: Path) -> None:
    assert sizes(make({"a": 9, "b": 3})) == (9 - 2 - 1 + 1, 2, 3)
    other = Maker(tmp_path / "other")
    root = other(of("train", 1) | of("val", 1) | of("test", 1))
    assert check(DATA, root) == () and sizes(root) == (2, 2, 2)


def test_a_limit_leaves_a_rare_class_enough_to_be_split(make: Maker) -> None:
    images = load(DATA.changed(limit=12), make(of("train", 200, "a") | of("train", 5, "b") | of("test", 3)))
    assert set(images.train.label_N.tolist()) == set(images.val.label_N.tolist()) == {0, 1}


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_class_that_a_part_lacks_is_told_before_the_search(make: Maker, part: str) -> None:
    message = refusal(make(of("train", 10) | of(part, 2, "a")))
    assert (
        f"/x/{part}/b` holds no image files, but every class of" in message
        and "needs some in each part: add" in message
    )


def test_a_class_of_another_case_is_to_be_renamed(make: Maker) -> None:
    root = make(of("train", 10) | of("test", 2, "aB"))
    assert refusal(root).endswith(f"/x/test/b` holds no image files: rename `{root}/x/test/B` to `b`.")


def test_a_class_of_files_that_are_not_read_is_told_so(make: Maker) -> None:
    root = make(of("train", 10) | of("train", 0, "z") | of("test", 3))
    for number in range(4):
        (root / ROOT / "train" / "z" / f"{number}.HEIC").touch()
    assert refusal(root).endswith(
        "z` holds no image files: add some, or remove the folder. There are 4 .HEIC files, which are not read: save "
        "images as PNG or JPEG."
    )


def test_all_broken_files_of_all_parts_are_named_at_once(make: Maker) -> None:
    root = make(of("train", 10) | of("val", 3) | of("test", 3))
    paths = [root / ROOT / name for name in ("train/a/001.png", "train/b/009.png", "val/a/000.png", "test/b/002.png")]
    for number, path in enumerate(paths):
        path.write_bytes(b"" if number % 2 else path.read_bytes()[:45])
    message = refusal(root)
    assert message.startswith("4 files are not images that can be read: ") and message.endswith(": remove them.")
    assert all(f"`{path}` (" in message for path in paths)


def test_broken_files_in_the_images_held_out_for_the_test_are_named_too(make: Maker) -> None:
    root = make({"a": 10, "b": 10})
    for file in (root / ROOT / "a").iterdir():
        file.write_bytes(file.read_bytes()[:45])
    assert refusal(root).startswith("10 files are not images that can be read: ")


def test_of_very_many_broken_files_twenty_are_named(make: Maker) -> None:
    root = make({"a": 40, "b": 10})
    for file in (root / ROOT / "a").iterdir():
        file.write_bytes(b"")
    message = refusal(root)
    assert message.count("cannot identify") == 20 and " and 20 more: remove them." in message


# images in two parts


def repeated(root: Path, source: str, target: str, number: int) -> Images:
    """So many images of a folder are copied into another; then the images are loaded."""
    for file in sorted((root / ROOT / source).iterdir())[:number]:
        (root / ROOT / target / f"copy-{file.name}").write_bytes(file.read_bytes())
    return load(DATA, root)


def test_test_images_that_are_training_images_are_counted(make: Maker) -> None:
    root = make(of("train", 10) | of("test", 3))
    repeated(root, "train/a", "test/a", 4)
    assert check(DATA, root) == (
        "4 of 10 test images (40.0%) are among the training or validation images, pixel for pixel: the test accuracy "
        "will be too high by them.",
    )


def test_validation_images_that_are_training_images_are_counted(make: Maker) -> None:
    root = make(of("train", 10) | of("val", 3))
    repeated(root, "train/a", "val/b", 1)
    assert check(DATA, root) == (
        "1 of 7 validation images (14.3%) is among the training images, pixel for pixel: the validation accuracy will "
        "be too high by them.",
    )


def test_the_look_at_all_parts_is_kept_until_a_file_changes(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, store = make(of("train", 10) | of("test", 3)), Store(tmp_path / "store")
    repeated(root, "train/a", "test/a", 4)
    first = check(DATA, root, store)
    assert first and len(store.names("images")) == 2, "the training images, and what was found: no test image"
    with monkeypatch.context() as patched:
        patched.setattr("fitnets.images.parts.read", lambda *arguments: pytest.fail("it is known"))
        assert check(DATA, root, store) == first
    (root / ROOT / "test" / "a" / "copy-000.png").unlink()
    assert check(DATA, root, store) != first


def test_a_layout_names_what_it_found(make: Maker) -> None:
    layout = Layout.of(make(of("Train", 10) | of("test", 3)) / ROOT)
    assert {part: path.name for part, path in layout.parts.items()} == {"train": "Train", "test": "test"}
    assert [len(found) for found in layout.files["test"]] == [3, 3]
