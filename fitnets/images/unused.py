"""Counts the files in a folder of images that are not used, with the reasons, in lines of text."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from fitnets.images.printable import counted, listed, shown
from fitnets.images.tree import Tree
from fitnets.predict import FILE_TYPES

Part = Literal["train", "val", "test"]
SEVERAL = 3  # places that a note names


def notes(tree: Tree, parts: Mapping[Part, Path], classes: list[str]) -> list[str]:
    """A line for each kind of unused files, with their number and the reason; and one for a validation part."""
    lines: list[str] = []
    if "val" in parts:
        number = sum(len(tree.images(parts["val"] / name)) for name in classes)
        lines.append(
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
            lines.append(f"not used: {counted(number, 'image')} {where} ({listed(places, SEVERAL)}), as {why}.")
    if unread:
        lines.append(
            f"not used: {counted(unread.total(), 'file')} in class folders ({kinds(unread)}), as only "
            f"{', '.join(sorted(suffix[1:] for suffix in FILE_TYPES))} files are read: convert what is an image."
        )
    return lines


def kinds(suffixes: Counter[str]) -> str:
    """The number of files of each suffix, the most frequent first."""
    words = {suffix: shown(Path(suffix)) if suffix else "without a suffix" for suffix in suffixes}
    return listed([f"{count:,} {words[suffix]}" for suffix, count in suffixes.most_common()], SEVERAL)


def named(names: list[str]) -> str:
    """Folders by name."""
    return listed([f"`{shown(Path(name))}`" for name in names], SEVERAL)
