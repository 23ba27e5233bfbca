"""A network's architecture as a value, for students and teachers, with its shapes. Nothing here needs torch."""

import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from fitnets.values.base import Value, later

Shape = tuple[int, int, int]  # channels, rows, columns


class Conv(Value):
    """A convolution of stride 1, its activation, and the max pooling after it.

    The activation is the maximum over `pieces` linear pieces (maxout, Goodfellow et al. 2013); one piece means ReLU.
    Pooling is ceil-mode, as in the paper's code: `out = ceil((map - pool) / pool_stride) + 1`.
    """

    width: PositiveInt
    kernel: PositiveInt = 3
    pad: int = Field(1, ge=0)
    pieces: PositiveInt = 2
    pool: PositiveInt = 1
    pool_stride: PositiveInt = 1
    shortcut: bool = later(False)
    """Add the layer's input to its map before activation and pooling, as ResNets do: `pool(relu(norm(conv(x)) + x))`.
    With maxout it is added to the maximum, which equals adding it to each piece. Not for the first convolution of a
    stage."""

    @model_validator(mode="after")
    def _pool_leaves_no_gap(self) -> Self:
        if self.pool_stride > self.pool:
            raise ValueError(
                f"`pool_stride` is {self.pool_stride}, but must not exceed `pool` (={self.pool}): "
                f"choose 1..{self.pool}."
            )
        return self


class Dense(Value):
    """A fully connected layer with its activation: maxout over `pieces`, or ReLU for one piece."""

    width: PositiveInt
    pieces: PositiveInt = 2


class Net(Value):
    """A student or a teacher: convolutions, fully connected layers, and a linear output.

    Layers are numbered from 1, convolutions first. The output of a layer is taken after its activation and its
    pooling, as in the paper. `norm="batch"` puts batch normalisation between the linear part and the activation.
    """

    input: Shape
    convs: tuple[Conv, ...] = Field(min_length=1)
    dense: tuple[Dense, ...] = ()
    classes: int = Field(ge=2)
    norm: Literal["none", "batch"] = "none"
    biases: Literal["tied", "untied"] = later("tied")
    """`tied`: one bias for each filter (the paper's CIFAR and SVHN nets); `untied`: one for each filter and position
    (the released MNIST file)."""
    output: Literal["softmax", "sigmoid"] = later("softmax")
    """`sigmoid`: two classes from one number z, as the logits (0, z): the paper's output for faces. Softmax,
    cross-entropy and softening by tau of these are exactly sigmoid, binary cross-entropy and sigmoid(z / tau)."""

    @classmethod
    def staged(
        cls,
        input: Shape,
        classes: int,
        stages: Sequence[Sequence[int]],
        *,
        pieces: int = 2,
        norm: Literal["none", "batch"] = "none",
        dense: Sequence[Dense] = (),
        shortcuts: bool = False,
    ) -> Self:
        """3x3 convolutions in `stages`, each a list of widths, with pooling after each stage.

        It is 2x2 max pooling between the stages and global max pooling at the end: the layout of FitNets 1 to 4
        (Table 7). With `shortcuts`, every convolution after the first of its stage adds its input where the widths are
        equal.
        Raises ValueError when a stage is empty or the images are too small for this many poolings.
        """
        rows, columns = input[1:]
        convs = []
        for number, widths in enumerate(stages, start=1):
            if not widths:
                raise ValueError(f"stage {number} has no convolution: give every stage at least one width.")
            convs += [
                Conv(width=width, pieces=pieces, shortcut=shortcuts and index > 0 and width == widths[index - 1])
                for index, width in enumerate(widths)
            ]
            if number < len(stages):
                convs[-1] = convs[-1].changed(pool=2, pool_stride=2)
                rows, columns = math.ceil(rows / 2), math.ceil(columns / 2)
        convs[-1] = convs[-1].changed(pool=max(rows, columns), pool_stride=max(rows, columns))
        return cls(input=input, classes=classes, convs=tuple(convs), dense=tuple(dense), norm=norm)

    @model_validator(mode="after")
    def _sigmoid_is_for_two(self) -> Self:
        if self.output == "sigmoid" and self.classes != 2:
            raise ValueError(f'`classes` is {self.classes}, but a sigmoid tells 2 apart: choose `output="softmax"`.')
        return self

    @model_validator(mode="after")
    def _maps_stay_positive(self) -> Self:
        self.maps()
        return self

    def maps(self) -> list[tuple[Shape, Shape]]:
        """For each convolution: the shape it computes (width, rows, columns), and the shape after its pooling."""
        found: list[tuple[Shape, Shape]] = []
        _, rows, columns = self.input
        for number, conv in enumerate(self.convs, start=1):
            stage_input = found[-1][1] if found and self.convs[number - 2].pool == 1 else None
            rows, columns = (size + 2 * conv.pad - conv.kernel + 1 for size in (rows, columns))
            if min(rows, columns) < 1:
                raise ValueError(
                    f"`convs[{number}]` has a kernel of {conv.kernel}, larger than the padded map it sees: "
                    "use a smaller kernel, more padding, or fewer poolings before it."
                )
            before = (conv.width, rows, columns)
            if conv.shortcut and before != stage_input:
                what = (
                    "its stage begins with it"
                    if stage_input is None
                    else f"its map is {_dimensions(before)}, its input {_dimensions(stage_input)}"
                )
                raise ValueError(
                    f"`convs[{number}].shortcut` is set, but {what}, and only equal shapes within a stage are added: "
                    "set it to False, or change the widths, kernel or padding."
                )
            if conv.pool > 1:
                if max(rows, columns) < conv.pool:
                    raise ValueError(
                        f"`convs[{number}].pool` is {conv.pool}, but the map is {rows}x{columns}: "
                        f"choose 1..{max(rows, columns)}."
                    )
                rows, columns = (_pooled(size, conv) for size in (rows, columns))
            found.append((before, (conv.width, rows, columns)))
        return found

    @property
    def features(self) -> int:
        """How many numbers the last convolution passes to the fully connected layers."""
        return math.prod(self.maps()[-1][1])

    @property
    def outputs(self) -> int:
        """How many numbers the output layer computes."""
        return self.classes if self.output == "softmax" else 1

    @property
    def depth(self) -> int:
        """The number of layers, the output layer included, as the paper counts them."""
        return len(self.convs) + len(self.dense) + 1

    @property
    def stages(self) -> tuple[tuple[int, ...], ...]:
        """The convolutions' widths, grouped into stages that end with a pooling."""
        groups: list[tuple[int, ...]] = [()]
        for number, conv in enumerate(self.convs, start=1):
            groups[-1] += (conv.width,)
            if conv.pool > 1 and number < len(self.convs):
                groups.append(())
        return tuple(groups)


def _dimensions(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _pooled(size: int, conv: Conv) -> int:
    """Rows or columns after ceil-mode pooling; a window larger than the map covers the whole map."""
    return max(0, math.ceil((size - conv.pool) / conv.pool_stride)) + 1
