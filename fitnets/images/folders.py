"""Folders of image files, which may come from anybody: every file that is no image is refused by name, at once.

Shape suffixes: N images, H rows, W columns, C channels.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from fitnets.errors import InputError
from fitnets.images.layout import Layout
from fitnets.images.pixels import Form, Unreadable, decoded, header
from fitnets.images.printable import listed, shown
from fitnets.images.raw import Raw, stratified
from fitnets.images.unused import Part
from fitnets.values.net import Shape

TEST_FRACTION = 0.2


class BrokenFiles(InputError):
    """Image files that cannot be read. Its text names the first of them; `reasons` holds all, file by file."""

    reasons: Mapping[Path, str] = {}


def broken(reasons: Mapping[Path, str]) -> BrokenFiles:
    """What to raise for files that cannot be read."""
    named = [f"`{shown(file)}` is not an image that can be read ({reason})" for file, reason in reasons.items()]
    if len(named) == 1:
        error = BrokenFiles(f"{named[0]}: remove it.")
    else:
        each = listed([f"`{shown(file)}` ({reason})" for file, reason in reasons.items()])
        error = BrokenFiles(f"{len(named):,} files are not images that can be read: {each}: remove them.")
    error.reasons = dict(reasons)
    return error


def read_folder(folder: Path, part: Part, max_size: int, shape: Shape | None = None) -> Raw:
    """Image files as `<part>/<class>/*`, or `<class>/*`; where there is no `test`, a fifth of the images is one.

    That fifth is always the same. Grey files stay grey when all for training and validation are; images of several
    sizes are scaled to the commonest, `max_size` at most; both are told by the headers of all files. `shape` (C, H, W)
    is that of the training images, where it is known. Raises InputError for whatever else cannot be read, by name.
    """
    layout = Layout.of(folder)
    files, labels = _of_part(layout, part)
    reasons: dict[Path, str] = {}
    if shape is None:
        form, reasons = _form(layout, max_size)
    else:
        form = Form(grey=shape[0] == 1, columns=shape[2], rows=shape[1])
    pixels_NHWC = np.empty((len(files), form.rows, form.columns, 1 if form.grey else 3), dtype=np.uint8)
    for number, file in enumerate(files):
        if file not in reasons:
            try:
                pixels_NHWC[number] = decoded(file, form)
            except Unreadable as error:
                reasons[file] = str(error)
    if part != "train":  # what is wrong elsewhere is raised there
        reasons = {file: reasons[file] for file in files if file in reasons}
    if reasons:
        raise broken(reasons)
    return Raw(pixels_NHWC, np.array(labels, dtype=np.int64), layout.classes, layout.notes if part == "train" else ())


def _of_part(layout: Layout, part: Part) -> tuple[list[Path], list[int]]:
    """The files of a part and their labels, class by class."""
    classes = layout.files[part if part in layout.files else "train"]
    files, labels = list(chain(*classes)), [label for label, found in enumerate(classes) for _ in found]
    if "test" in layout.files or part == "val":
        return files, labels
    index = stratified(np.array(labels, dtype=np.int64), TEST_FRACTION, seed=0)[part == "test"]
    return [files[i] for i in index], [labels[i] for i in index]


def _form(layout: Layout, max_size: int) -> tuple[Form, dict[Path, str]]:
    """What every image is brought to, by the headers of all images for training and validation.

    And why some files cannot be read, those among them that are held out of the training folder for the test.
    """
    sizes, reasons, all_grey = Counter[tuple[int, int]](), dict[Path, str](), True
    kept = {*_of_part(layout, "train")[0], *chain(*layout.files.get("val", ()))}
    for file in chain(*layout.files["train"], *layout.files.get("val", ())):
        try:
            form = header(file)
        except Unreadable as error:
            reasons[file] = str(error)
            continue
        if file in kept:
            sizes[form.columns, form.rows] += 1
            all_grey &= form.grey
    columns, rows = sizes.most_common(1)[0][0] if sizes else (1, 1)
    scale = min(1.0, max_size / max(columns, rows))
    return Form(all_grey, max(1, round(columns * scale)), max(1, round(rows * scale))), reasons
