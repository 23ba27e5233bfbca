"""How large a teacher's tables are, and which of them are made. Arithmetic without torch: a forecast asks it too."""

from collections.abc import Sequence

from fitnets.values.net import Shape

HintTable = tuple[int, tuple[int, int]]  # of a hint layer (from 1), as maps of so many rows and columns
ITEM = 2  # bytes of a float16
TABLE_BYTES = 2**30  # of memory: a larger table of one epoch's hints is not made
TABLES_BYTES = 4 * 2**30  # of disk for one hint layer, or all that are tabled together: later epochs are computed live


def logit_table_bytes(num_images: int, classes: int) -> int:
    """One epoch's logits of so many images."""
    return ITEM * num_images * classes


def hint_table_bytes(num_images: int, channels: int, out: tuple[int, int]) -> int:
    """One epoch's hints of so many images, as maps of `out` rows and columns."""
    return ITEM * num_images * channels * out[0] * out[1]


def hint_epochs(table_bytes: int) -> int:
    """The number of epochs, from the first, whose hints are tabled where one of them takes so many bytes."""
    return TABLES_BYTES // table_bytes if table_bytes <= TABLE_BYTES else 0


def hint_tables(
    layer: int, out: tuple[int, int], num_images: int, shapes: Sequence[Shape], epoch: int
) -> list[HintTable]:
    """The tables that the hint of `layer` (from 1), pooled to `out`, comes from in that epoch.

    The first holds it; the others are told by the same pass: the whole maps of the highest hint layers, as many as
    fit together. They are the smallest, and the dearest to pass the images through again. A layer that is not among
    them has a table for each `out`. None at all: the hint is computed live.
    """
    whole: list[HintTable] = []
    total = 0
    for number in range(len(shapes), 0, -1):
        channels, rows, columns = shapes[number - 1]
        total += hint_table_bytes(num_images, channels, (rows, columns))
        if epoch > hint_epochs(total):
            break
        whole.append((number, (rows, columns)))
    own = (layer, dict(whole).get(layer, out))
    if own not in whole and epoch > hint_epochs(hint_table_bytes(num_images, shapes[layer - 1][0], out)):
        return []
    return [own, *(table for table in whole if table != own)]


def meeting_map(guided: Shape, hint: Shape) -> tuple[int, int]:
    """Rows and columns at which hint and prediction are compared: the smaller of the two maps, along each axis."""
    return min(guided[1], hint[1]), min(guided[2], hint[2])
