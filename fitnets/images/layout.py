"""Finds the parts and classes of a folder of images. No file is opened here.

A part is `train`, `val` or `test`, named as listed below in upper or lower case, and contains class folders. A class
contains its image files directly, so that a class may be called `train`, too.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fitnets.errors import InputError
from fitnets.images.printable import counted, listed, shown
from fitnets.images.tree import Tree
from fitnets.images.unused import Part, kinds, named, notes

PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def part_folders(tree: Tree) -> dict[Part, Path]:
    """The folder of each part. Raises InputError if two folders are the same part, or one might be a class, too."""
    names = tree.folders(tree.root)
    beside = _others(tree, names)
    called = {tree.root / name: PARTS[name.lower()] for name in names if name.lower() in PARTS}
    of_folders = [path for path in called if tree.folders(path)]
    alone = [path for path in of_folders if not tree.images(path)]  # the others may be classes that contain folders
    found: dict[Part, Path] = {}
    for path in alone if beside and not alone else of_folders:
        part = called[path]
        if part in found:
            raise InputError(
                f"`{shown(found[part])}` and `{shown(path)}` are both the {part} part: merge them, or rename one."
            )
        found[part] = path
    if beside and set(found) == {"train"}:
        raise InputError(
            f"`{shown(found['train'])}` holds folders, but {named(beside)} beside it hold images: if it is a class, "
            "move its images up into it; if it is the training part, move the others away."
        )
    return found


def _others(tree: Tree, names: list[str]) -> list[str]:
    """The folders without a part's name that contain images directly, as classes do."""
    paths = {name: tree.root / name for name in names if name.lower() not in PARTS}
    return [name for name, path in paths.items() if not path.is_symlink() and tree.images(path)]


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a folder of images: each one's folder, and its image files class by class."""

    root: Path
    parts: dict[Part, Path]
    """The training part is `root` itself where the class folders lie directly in it."""
    classes: tuple[str, ...]
    files: dict[Part, list[list[Path]]]
    notes: tuple[str, ...]
    """What is not used, and why; a line of text each."""

    @classmethod
    def of(cls, root: Path) -> "Layout":
        """The layout of the folder `root`.

        Raises InputError for an unknown layout, a class with too few images, and files that must not be opened.
        """
        tree = Tree(root)
        found = part_folders(tree)
        for name in tree.folders(root):
            part, path = PARTS.get(name.lower()), root / name
            if part not in (None, *found) and "train" in found:
                raise InputError(
                    f"`{shown(path)}` has no class folders: add `{shown(path)}/<class>/*`, or give it a name that "
                    f"is not a part's, as `{shown(path)}_unused`."
                )
        train = found.get("train", root)
        parts: dict[Part, Path] = {"train": train}
        parts.update(found)
        classes = [name for name in tree.folders(train) if train / name not in parts.values()]
        _check_names(train, classes)
        if train == root and classes and all(name.lower() in PARTS for name in classes):
            raise InputError(
                f"{named(classes)} in `{shown(root)}` hold images, but no class folders: sort the images into "
                f"`{shown(root)}/train/<class>/*`."
            )
        if len(classes) < 2:
            hint = _wrapped(tree, train, classes)
            raise InputError(
                f"`{shown(train)}` has {len(classes)} class folders, but a classifier needs two: add "
                f"`{shown(train)}/<class>/*`{hint}."
            )
        files = {part: _listing(tree, path, classes, train) for part, path in parts.items()}
        _check_counts(classes, files, train)
        return cls(root, parts, tuple(classes), files, tuple(notes(tree, parts, classes)))


def _check_names(folder: Path, names: list[str]) -> None:
    for name in names:
        if not name.isprintable():
            raise InputError(
                f"`{shown(folder / name)}` is a class, but a class's name must be printable: rename the folder."
            )


def _wrapped(tree: Tree, folder: Path, names: list[str]) -> str:
    """A remedy for the case that the class folders lie one folder further down."""
    inner = [name for name in names if tree.folders(folder / name)]
    return f", or name `{shown(folder / inner[0])}` with --data" if inner else ""


def _listing(tree: Tree, folder: Path, classes: list[str], train: Path) -> list[list[Path]]:
    """The image files of every class. Raises InputError for classes that have none."""
    files: list[list[Path]] = []
    for name in classes:
        path = folder / name
        tree.check_inside(path)
        if path.is_dir():
            tree.check_files(path)
        files.append([path / image for image in tree.images(path)])
    empty = [name for name, found in zip(classes, files, strict=True) if not found]
    if not empty:
        return files
    others = {name.lower(): name for name in tree.folders(folder) if name not in classes}
    renamed = [name for name in empty if name.lower() in others]
    below = [tree.below(folder / name) for name in empty]
    unread = sum((more for _, more in below), Counter[str]())
    also = f" There are {kinds(unread)} files, which are not read: save images as PNG or JPEG." if unread else ""
    if folder != train and renamed:
        remedy = f": rename `{shown(folder / others[renamed[0].lower()])}` to `{renamed[0]}`."
    elif folder != train:
        remedy = f", but every class of `{shown(train)}` needs some in each part: add them."
    elif any(images for images, _ in below):
        remedy = (
            ", only folders of them: a class holds its images itself, and a part is called `train`, `val` or `test`: "
            "rename the folders, or move the images up."
        )
    else:
        remedy = f": add some, or remove the folder{'s' * (len(empty) > 1)}."
    named = listed([f"`{shown(folder / name)}`" for name in empty])
    raise InputError(f"{named} {'holds' if len(empty) == 1 else 'hold'} no image files{remedy}{also}")


def _check_counts(classes: list[str], files: dict[Part, list[list[Path]]], train: Path) -> None:
    """Raises InputError for classes with too few images: parts without a folder are split off the training part.

    Every class needs at least one image in each part.
    """
    taken = [part for part in ("train", "val", "test") if part == "train" or part not in files]
    small = [
        f"`{name}` has {counted(len(found), 'image')}"
        for name, found in zip(classes, files["train"], strict=True)
        if len(found) < len(taken)
    ]
    if small:
        parts = {"train": "training", "val": "validation", "test": "test"}
        raise InputError(
            f"{listed(small)}, but a class needs {len(taken)} in `{shown(train)}`, one for each of "
            f"{', '.join(parts[part] for part in taken)}: add images to it, or remove its folder."
        )
