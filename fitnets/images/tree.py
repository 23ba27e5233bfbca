"""The folders below an untrusted folder of images. No file is opened here.

Links must not point out of the folder, and an image must be a regular file.
"""

import os
from collections import Counter
from pathlib import Path

from fitnets.errors import InputError
from fitnets.images.printable import shown
from fitnets.predict import FILE_TYPES


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
        """The names of everything else in a folder, in order; a folder with an image's suffix counts as a file."""
        return sorted(entry.name for entry in self._listed(folder) if not _is_folder(entry))

    def images(self, folder: Path) -> list[str]:
        """The names of the image files in a folder, in order; none where there is no such folder."""
        return [name for name in self.files(folder) if _is_image(name)] if folder.is_dir() else []

    def below(self, folder: Path) -> tuple[int, Counter[str]]:
        """The number of image files in a folder and all folders below it, and of other files by suffix."""
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
        """Raises InputError for files that must not be opened: reading a pipe would wait for ever."""
        for entry in self._listed(folder):
            path = folder / entry.name
            if not _is_image(entry.name):
                continue
            if entry.is_symlink():
                self.check_inside(path)
            if not (path if entry.is_symlink() else entry).is_file():
                raise InputError(f"`{shown(path)}` is not a regular file: remove it.")

    def _listed(self, folder: Path) -> list[os.DirEntry[str]]:
        """The content of a folder. Raises InputError if it cannot be read."""
        if folder not in self._entries:
            self.check_inside(folder)
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
