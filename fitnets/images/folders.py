"""Reads folders of untrusted image files. All files that cannot be read are named in one error.

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
    """Image files that cannot be read. The message names the first ones; `reasons` has a reason for each file."""

    reasons: Mapping[Path, str] = {}


def broken(reasons: Mapping[Path, str]) -> BrokenFiles:
    """The error to raise for files that cannot be read."""
    named = [f"`{shown(file)}` is not an image that can be read ({reason})" for file, reason in reasons.items()]
    if len(named) == 1:
        error = BrokenFiles(f"{named[0]}: remove it.")
    else:
        each = listed([f"`{shown(file)}` ({reason})" for file, reason in reasons.items()])
        error = BrokenFiles(f"{len(named):,} files are not images that can be read: {each}: remove them.")
    error.reasons = dict(reasons)
    return error


def read_folder(folder: Path, part: Part, max_size: int, shape: Shape | None = None) -> Raw:
    """The images of `<part>/<class>/*`, or of `<class>/*`; without a `test` folder, a fixed fifth is the test part.

    Images are grey if all training and validation images are. Images of different sizes are scaled to the most frequent
    size, with at most `max_size` rows and columns. Both are determined from the headers of all files, unless `shape`
    (C, H, W), that of the training images, is given. Raises InputError for a folder that cannot be used and
    BrokenFiles for files that cannot be read.
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
    if part != "train":  # errors of other parts are raised when those are read
        reasons = {file: reasons[file] for file in files if file in reasons}
    if reasons:
        raise broken(reasons)
    return Raw(pixels_NHWC, np.array(labels, dtype=np.int64), layout.classes, layout.notes if part == "train" else ())


def _of_part(layout: Layout, part: Part) -> tuple[list[Path], list[int]]:
    """The files of a part and their labels, ordered by class."""
    classes = layout.files[part if part in layout.files else "train"]
    files, labels = list(chain(*classes)), [label for label, found in enumerate(classes) for _ in found]
    if "test" in layout.files or part == "val":
        return files, labels
    index = stratified(np.array(labels, dtype=np.int64), TEST_FRACTION, seed=0)[part == "test"]
    return [files[i] for i in index], [labels[i] for i in index]


def _form(layout: Layout, max_size: int) -> tuple[Form, dict[Path, str]]:
    """The form that every image is converted to, from the headers of all training and validation images.

    Also the reasons why files cannot be read, including the test images that are held out of the training folder.
    """
    sizes, reasons, all_grey = Counter[tuple[int, int]](), dict[Path, str](), True
    used = {*_of_part(layout, "train")[0], *chain(*layout.files.get("val", ()))}
    for file in chain(*layout.files["train"], *layout.files.get("val", ())):
        try:
            form = header(file)
        except Unreadable as error:
            reasons[file] = str(error)
            continue
        if file in used:
            sizes[form.columns, form.rows] += 1
            all_grey &= form.grey
    columns, rows = sizes.most_common(1)[0][0] if sizes else (1, 1)
    scale = min(1.0, max_size / max(columns, rows))
    return Form(all_grey, max(1, round(columns * scale)), max(1, round(rows * scale))), reasons
