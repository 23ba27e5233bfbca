"""How large a teacher's tables are, and which of them are computed. Without torch, as the forecast uses it too."""

from collections.abc import Sequence

from fitnets.values.net import Shape

HintTable = tuple[int, tuple[int, int]]  # a hint layer (from 1), and the rows and columns of its maps
ITEM = 2  # bytes of a float16 number
TABLE_BYTES = 2**30  # of memory: a larger table of one epoch's hints is not computed
TABLES_BYTES = 4 * 2**30  # of disk for one hint layer, or for all that share a pass; further epochs are computed live


def logit_table_bytes(num_images: int, classes: int) -> int:
    """Bytes of one epoch's logits of `num_images` images."""
    return ITEM * num_images * classes


def hint_table_bytes(num_images: int, channels: int, out: tuple[int, int]) -> int:
    """Bytes of one epoch's hints of `num_images` images, as maps of `out` rows and columns."""
    return ITEM * num_images * channels * out[0] * out[1]


def hint_epochs(table_bytes: int) -> int:
    """The number of epochs, from the first, whose hints are tabled when one epoch takes `table_bytes`."""
    return TABLES_BYTES // table_bytes if table_bytes <= TABLE_BYTES else 0


def hint_tables(
    layer: int, out: tuple[int, int], num_images: int, shapes: Sequence[Shape], epoch: int
) -> list[HintTable]:
    """The tables that one pass of the teacher fills for the hint of `layer` (from 1), pooled to `out`, in `epoch`.

    The first table contains that hint. The others come from the same pass: the unpooled maps of the highest hint
    layers, as many as fit together. Those maps are the smallest, and the most expensive to compute again. A layer that
    is not among them has a separate table for each `out`. An empty list means that the hint is computed live.
    """
    unpooled: list[HintTable] = []
    total = 0
    for number in range(len(shapes), 0, -1):
        channels, rows, columns = shapes[number - 1]
        total += hint_table_bytes(num_images, channels, (rows, columns))
        if epoch > hint_epochs(total):
            break
        unpooled.append((number, (rows, columns)))
    own = (layer, dict(unpooled).get(layer, out))
    if own not in unpooled and epoch > hint_epochs(hint_table_bytes(num_images, shapes[layer - 1][0], out)):
        return []
    return [own, *(table for table in unpooled if table != own)]


def meeting_map(guided: Shape, hint: Shape) -> tuple[int, int]:
    """Rows and columns at which hint and prediction are compared: the smaller of the two maps, along each axis."""
    return min(guided[1], hint[1]), min(guided[2], hint[2])
