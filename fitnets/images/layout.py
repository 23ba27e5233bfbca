"""Where a folder of images has its parts and classes, and what in it is not used. Nothing is opened here.

A part is `train`, `val` or `test`, by the names below in any case, and holds class folders; a class holds its image
files itself, so that a class may be called `train`, too. Links may not point out of the folder.
"""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fitnets.errors import InputError
from fitnets.images.printable import counted, listed, shown

FILE_TYPES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
Part = Literal["train", "val", "test"]
PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SEVERAL = 3  # places that a note names


class Tree:
    """The folders below one folder, each listed once; hidden files and folders are left out."""

    def __init__(self, root: Path):
        self.root = root
        self._entries: dict[Path, list[os.DirEntry[str]]] = {}

    def folders(self, folder: Path) -> list[str]:
        """The names of the folders in a folder, in order; none where there is no such folder."""
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in self._listed(folder) if _is_folder(entry))

    def files(self, folder: Path) -> list[str]:
        """The names of whatever else is in a folder, in order; a folder with an image's suffix counts as one."""
        return sorted(entry.name for entry in self._listed(folder) if not _is_folder(entry))

    def images(self, folder: Path) -> list[str]:
        """The names of the image files in a folder, in order; none where there is no such folder."""
        return [name for name in self.files(folder) if _is_image(name)] if folder.is_dir() else []

    def below(self, folder: Path) -> tuple[int, Counter[str]]:
        """How many image files are in a folder and all folders below it, and how many others by suffix."""
        if not folder.is_dir() or folder.is_symlink():
            return 0, Counter()
        names = self.files(folder)
        images, others = sum(map(_is_image, names)), Counter(Path(n).suffix for n in names if not _is_image(n))
        for name in self.folders(folder):
            more, unread = self.below(folder / name)
            images, others = images + more, others + unread
        return images, others

    def check_inside(self, path: Path) -> None:
        """Raises InputError for a link that points out of the folder of images."""
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root)):
            raise InputError(
                f"`{shown(path)}` points out of `{shown(self.root)}`: put what it points to in its place, or remove it."
            )

    def check_files(self, folder: Path) -> None:
        """Raises InputError for what should not even be opened: a pipe would be waited for for ever."""
        for entry in self._listed(folder):
            path = folder / entry.name
            if not _is_image(entry.name):
                continue
            if entry.is_symlink():
                self.check_inside(path)
            if not (path if entry.is_symlink() else entry).is_file():
                raise InputError(f"`{shown(path)}` is not a regular file: remove it.")

    def _listed(self, folder: Path) -> list[os.DirEntry[str]]:
        """What is in a folder. Raises InputError where it cannot be read."""
        if folder not in self._entries:
            try:
                with os.scandir(folder) as inside:
                    self._entries[folder] = [entry for entry in inside if not entry.name.startswith(".")]
            except OSError as error:
                raise InputError(
                    f"`{shown(folder)}` cannot be read ({error.strerror}): let this user read it, or remove it."
                ) from error
        return self._entries[folder]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return not _is_image(entry.name) and Path(entry).is_dir()


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in FILE_TYPES


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, in order, hidden ones left out; none where there is no such folder."""
    return Tree(folder).folders(folder)


def part_folders(tree: Tree) -> dict[Part, Path]:
    """The folders that are parts. Raises InputError where two are the same, or one might be a class as well."""
    names = tree.folders(tree.root)
    found: dict[Part, Path] = {}
    for name in names:
        part, path = PARTS.get(name.lower()), tree.root / name
        if part is None:
            continue
        tree.check_inside(path)
        if not tree.folders(path) or (tree.images(path) and _others(tree, names)):
            continue  # a class
        if part in found:
            raise InputError(
                f"`{shown(found[part])}` and `{shown(path)}` are both the {part} part: merge them, or rename one."
            )
        found[part] = path
    beside = _others(tree, names)
    if beside and set(found) == {"train"}:
        raise InputError(
            f"`{shown(found['train'])}` holds folders, but {_named(beside)} beside it hold images: if it is a class, "
            "move its images up into it; if it is the training part, move the others away."
        )
    return found


def _others(tree: Tree, names: list[str]) -> list[str]:
    """The folders that no part is called by and that hold images themselves, as classes do."""
    return [name for name in names if name.lower() not in PARTS and tree.images(tree.root / name)]


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a folder of images: each one's folder, and its image files class by class."""

    root: Path
    parts: dict[Part, Path]
    """The training part is `root` itself where the classes lie right below it."""
    classes: tuple[str, ...]
    files: dict[Part, list[list[Path]]]
    notes: tuple[str, ...]
    """What is not used, and why; plain lines."""

    @classmethod
    def of(cls, root: Path) -> "Layout":
        """What is in the folder `root`.

        Raises InputError for a layout that is none, a class with too few images, and what may not be opened.
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
        parts: dict[Part, Path] = {"train": train} | {part: path for part, path in found.items() if part != "train"}
        classes = [name for name in tree.folders(train) if train / name not in parts.values()]
        _check_names(train, classes)
        if len(classes) < 2:
            hint = _wrapped(tree, train, classes)
            raise InputError(
                f"`{shown(train)}` has {len(classes)} class folders, but a classifier needs two: add "
                f"`{shown(train)}/<class>/*`{hint}."
            )
        files = {part: _listing(tree, path, classes, train) for part, path in parts.items()}
        _check_counts(classes, files, train)
        return cls(root, parts, tuple(classes), files, tuple(_notes(tree, parts, classes)))


def _check_names(folder: Path, names: list[str]) -> None:
    for name in names:
        if not name.isprintable():
            raise InputError(
                f"`{shown(folder / name)}` is a class, but a class's name must be printable: rename the folder."
            )


def _wrapped(tree: Tree, folder: Path, names: list[str]) -> str:
    """What to try where one folder in the folder holds what was looked for."""
    inner = [name for name in names if len(tree.folders(folder / name)) > 1]
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
    named = listed([f"`{shown(folder / name)}`" for name in empty])
    verb = "holds" if len(empty) == 1 else "hold"
    other = {name.lower(): name for name in tree.folders(folder) if name not in classes}
    renamed = [name for name in empty if name.lower() in other]
    if folder != train and renamed:
        was = shown(folder / other[renamed[0].lower()])
        raise InputError(f"{named} {verb} no image files: rename `{was}` to `{renamed[0]}`.")
    if folder != train:
        raise InputError(
            f"{named} {verb} no image files, but every class of `{shown(train)}` needs some in each part: add them."
        )
    if any(tree.below(folder / name)[0] for name in empty):
        raise InputError(
            f"{named} {verb} no image files, only folders of them: a class holds its images itself; a part is called "
            "`train`, `val` or `test`. Rename the folders, or move the images up."
        )
    raise InputError(f"{named} {verb} no image files: add some, or remove the folder{'s' * (len(empty) > 1)}.")


def _check_counts(classes: list[str], files: dict[Part, list[list[Path]]], train: Path) -> None:
    """Raises InputError for classes with too few images: those parts that have no folder come out of the training one.

    Every class has an image at least in each part.
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


def _notes(tree: Tree, parts: dict[Part, Path], classes: list[str]) -> list[str]:
    """A line for each kind of thing that is not used, with its number and why; and one for a validation part."""
    notes: list[str] = []
    if "val" in parts:
        number = sum(len(tree.images(parts["val"] / name)) for name in classes)
        notes.append(
            f"{counted(number, 'image')} in `{shown(parts['val'])}` are the validation part: none are split from "
            "training, and `val_fraction` is not used."
        )
    deep, extra, beside, loose = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    unread = Counter[str]()
    for folder in parts.values():
        loose[shown(folder)] += len(tree.images(folder))
        for name in tree.folders(folder):
            path = folder / name
            if path in parts.values():
                continue
            if name not in classes:
                extra[shown(path)] += tree.below(path)[0]
                continue
            others = Counter(Path(n).suffix for n in tree.files(path) if Path(n).suffix.lower() not in FILE_TYPES)
            for inner in tree.folders(path):
                images, more = tree.below(path / inner)
                deep[shown(path / inner)] += images
                others += more
            unread += others
    if parts["train"] != tree.root:
        loose[shown(tree.root)] += len(tree.images(tree.root))
        for name in tree.folders(tree.root):
            if tree.root / name not in parts.values():
                beside[shown(tree.root / name)] += tree.below(tree.root / name)[0]
    reasons = [
        (deep, "in folders inside a class", "a class holds its images itself: move them up"),
        (extra, "of classes that the training part lacks", "no network could learn them"),
        (beside, "in folders that are no part", "parts are called `train`, `val` and `test`"),
        (loose, "outside the class folders", "their class is unknown"),
    ]
    for counts, where, why in reasons:
        if number := counts.total():
            places = [f"`{place}`" for place, count in counts.items() if count]
            notes.append(f"not used: {counted(number, 'image')} {where} ({listed(places, SEVERAL)}), as {why}.")
    if unread:
        kinds = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in unread.most_common()]
        notes.append(
            f"not used: {counted(unread.total(), 'file')} in class folders ({listed(kinds, SEVERAL)}), as only "
            f"{', '.join(sorted(suffix[1:] for suffix in FILE_TYPES))} files are read: convert what is an image."
        )
    return notes


def _named(names: list[str]) -> str:
    return listed([f"`{name}`" for name in names], SEVERAL)
