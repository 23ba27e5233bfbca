"""Every net of the paper (Romero et al., ICLR 2015) by name, with its hint pair: sections 3 and 4, appendix A.

Kernels and pads of the teachers are from pylearn2's maxout recipes, which the paper names; those of MNIST's student
from the authors' released code. Where text, tables and code contradict each other, `Reading` selects one of them.
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal

from fitnets.nets.cost import cost
from fitnets.values.base import Value
from fitnets.values.net import Conv, Dense, Net, Shape

CIFAR: Shape = (3, 32, 32)
BUDGETS = {"30M": 30_000_000, "107M": 107_000_000}
"""The fixed budgets of Figure 2, in multiply-adds."""


class Reading(Value):
    """Which of the paper's contradictory statements is followed; each default gives the published counts."""

    dense_pieces: Literal[2, 5] = 2
    """Pieces of the fully connected maxout layer. Text and released code: 5. All published counts were made with 2."""
    fitnet3: Literal["table 5", "table 7"] = "table 5"
    """Block 1 of FitNet 3. Table 7 lists 32, 48, 64, 64. Table 5's 1.6M parameters and 392M multiply-adds need 64 in
    all four: the only widths that give both numbers with the other two blocks unchanged."""
    mnist_pieces: Literal[2, 4] = 2
    """Pieces of the last convolution of MNIST's teacher and the last two of its student. Text and counts: 2; code: 4,
    because its convolutions needed multiples of 16 filters."""
    mnist_biases: Literal["tied", "untied"] = "tied"
    """Biases of MNIST's student. Untied in the released code, pylearn2's default; the counts exclude biases."""
    svhn_student: Literal["fitnet3", "fitnet4"] = "fitnet3"
    """Section 3.2: 13 layers and ~1.5M parameters, which is FitNet 3 of Table 7; the appendix states FitNet 4."""
    svhn_guided: Literal["16x16", "8x8"] = "16x16"
    """SVHN's hint pair is not stated. The hint map is 10x10, so the published regressor needs a guided layer with
    16x16 maps: the last of those. On 8x8 maps, as for CIFAR-10, the hint is pooled down to the student."""


class Pair(Value):
    """The hint layer of the teacher and the guided layer of the student."""

    hint: int
    guided: int


class PaperNet(Value):
    """One net of the paper."""

    name: str
    net: Net
    pair: Pair | None = None
    """None for teachers. The regressor between them is the published one: an unpadded convolution of kernel
    `N_guided - N_hint + 1` with the hint layer's own nonlinearity (`Hint.regressor` = "paper")."""
    doubt: str = ""
    """What the paper does not state, or states in contradictory ways."""

    @property
    def weights(self) -> int:
        """Parameters in the paper's convention: weights alone."""
        return cost(self.net).weights

    @property
    def macs(self) -> int:
        """Multiply-adds for one image, in the paper's convention."""
        return cost(self.net).macs


TABLE_7 = {
    "fitnet1": ((16, 16, 16), (32, 32, 32), (48, 48, 64)),
    "fitnet2": ((16, 32, 32), (48, 64, 80), (96, 96, 128)),
    "fitnet3": ((32, 48, 64, 64), (80, 80, 80, 80), (128, 128, 128)),
    "fitnet4": ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6),
}
FITNET_3_OF_TABLE_5 = ((64, 64, 64, 64), *TABLE_7["fitnet3"][1:])
TABLE_6 = {
    "L5-30M": ((64,), (64,), (64,)),
    "L5-107M": ((128,), (128,), (128,)),
    "L7-30M": ((16, 32), (32, 64), (64,)),
    "L7-107M": ((32, 64), (80, 80), (128,)),
    "L9-30M": ((16, 32), (32, 32, 32), (48, 64)),
    "L9-107M": ((32, 32), (64, 80, 80), (96, 128)),
    "L11-30M": TABLE_7["fitnet1"],
    "L11-107M": TABLE_7["fitnet2"],
}
FIGURE_2_GUIDED = {5: 2, 7: 4, 9: 5, 11: 7}


@cache
def nets(reading: Reading = Reading()) -> dict[str, PaperNet]:  # noqa: B008 (frozen)
    """All nets by name, as `cifar10/fitnet1`, in the paper's order."""
    found = [
        *_cifar("cifar10", 10, tuple(TABLE_7), reading),
        *_cifar("cifar100", 100, ("fitnet4",), reading),
        *_svhn(reading),
        *_mnist(reading),
        *_aflw(),
        *_figure2(reading),
    ]
    return {net.name: net for net in found}


def _cifar(data: str, classes: int, students: Sequence[str], reading: Reading) -> list[PaperNet]:
    convs = ((96, 8, 4, 2, 4, 2), (192, 8, 3, 2, 4, 2), (192, 5, 3, 2, 2, 2))
    teacher = _net(CIFAR, convs, classes, dense=_dense(500, reading))
    found = [PaperNet(name=f"{data}/teacher", net=teacher)]
    for name in students:
        blocks, doubt = TABLE_7[name], ""
        if name == "fitnet3":
            doubt = "the widths of Table 7 do not give the counts of Table 5: 64 filters in each layer of block 1 do"
            blocks = FITNET_3_OF_TABLE_5 if reading.fitnet3 == "table 5" else blocks
        if classes == 100:
            doubt = "the paper repeats CIFAR-10's count; 100 outputs have 45,000 weights more"
        net = _fitnet(blocks, classes, reading)
        found.append(PaperNet(name=f"{data}/{name}", net=net, pair=_end_of_block_2(blocks), doubt=doubt))
    return found


def _svhn(reading: Reading) -> list[PaperNet]:
    convs = ((64, 5, 4, 2, 3, 2), (128, 5, 3, 2, 3, 2), (128, 5, 3, 2, 3, 2))
    blocks = TABLE_7[reading.svhn_student]
    last = len(blocks[0]) + len(blocks[1])  # its map is pooled to 8x8, so the layer before it is the last on 16x16
    guided = last - 1 if reading.svhn_guided == "16x16" else last
    doubt = "section 3.2 has 13 layers, the appendix FitNet 4; the hint pair is not stated"
    return [
        PaperNet(name="svhn/teacher", net=_net(CIFAR, convs, 10, dense=_dense(400, reading))),
        PaperNet(name="svhn/fitnet", net=_fitnet(blocks, 10, reading), pair=Pair(hint=2, guided=guided), doubt=doubt),
    ]


def _mnist(reading: Reading) -> list[PaperNet]:
    few, shape = reading.mnist_pieces, (1, 28, 28)
    teacher = ((48, 8, 0, 2, 4, 2), (48, 8, 3, 2, 4, 2), (24, 5, 3, few, 2, 2))
    student = (
        *((16, 5, 0, 2, 1, 1), (16, 3, 0, 2, 4, 2), (16, 5, 3, 2, 1, 1), (16, 3, 0, 2, 4, 2)),
        *((12, 3, 3, few, 1, 1), (12, 3, 0, few, 2, 2)),
    )
    return [
        PaperNet(name="mnist/teacher", net=_net(shape, teacher, 10)),
        PaperNet(
            name="mnist/fitnet",
            net=_net(shape, student, 10).changed(biases=reading.mnist_biases),
            pair=Pair(hint=2, guided=4),
        ),
    ]


def _aflw() -> list[PaperNet]:
    """ReLU nets on 16x16 patches. Unpadded convolutions and colour images are assumed: neither is stated."""
    shape, pair = (3, 16, 16), Pair(hint=3, guided=5)
    teacher = ((128, 3, 0, 1, 2, 2), (512, 2, 0, 1, 1, 1), (512, 5, 0, 1, 1, 1))
    doubt = "pads and channels are not stated, and no pads give 15 and 2.5 times fewer multiply-adds together"
    students = {"fitnet1": (16, *(32,) * 6), "fitnet2": (32, *(64,) * 6)}
    faces = {name: [(width, 3, 0, 1, 1, 1) for width in widths] for name, widths in students.items()}
    return [
        PaperNet(name=f"aflw/{name}", net=_net(shape, rows, 2).changed(output="sigmoid"), pair=guided, doubt=doubt)
        for name, rows, guided in [("teacher", teacher, None), *((name, rows, pair) for name, rows in faces.items())]
    ]


def _figure2(reading: Reading) -> list[PaperNet]:
    found = []
    for name, blocks in TABLE_6.items():
        depth = sum(len(widths) for widths in blocks) + 2
        doubt = "hinted at layer 7 here, at layer 6 in Table 7" if depth == 11 else ""
        pair = Pair(hint=2, guided=FIGURE_2_GUIDED[depth])
        found.append(PaperNet(name=f"figure2/{name}", net=_fitnet(blocks, 10, reading), pair=pair, doubt=doubt))
    return found


def _fitnet(blocks: Sequence[Sequence[int]], classes: int, reading: Reading) -> Net:
    """Table 7's layout: 3x3 convolutions, a pooling after each block, the last one global, one maxout layer of 500."""
    return Net.staged(CIFAR, classes, blocks, dense=_dense(500, reading))


def _end_of_block_2(blocks: Sequence[Sequence[int]]) -> Pair:
    return Pair(hint=2, guided=len(blocks[0]) + len(blocks[1]))


def _dense(width: int, reading: Reading) -> tuple[Dense, ...]:
    return (Dense(width=width, pieces=reading.dense_pieces),)


def _net(shape: Shape, convs: Sequence[tuple[int, ...]], classes: int, *, dense: Sequence[Dense] = ()) -> Net:
    """A net from rows of width, kernel, pad, pieces, pool, pool stride."""
    rows = tuple(
        Conv(width=width, kernel=kernel, pad=pad, pieces=pieces, pool=pool, pool_stride=stride)
        for width, kernel, pad, pieces, pool, stride in convs
    )
    return Net(input=shape, convs=rows, dense=tuple(dense), classes=classes)
