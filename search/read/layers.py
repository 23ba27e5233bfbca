"""The layers of a student and its teacher: their shares of the cost, and which are hint and guided layer. No torch."""

from collections.abc import Sequence
from typing import Any, Literal

from fitnets.config import Brought, Recipe
from fitnets.nets.cost import layers
from fitnets.values.base import Value
from fitnets.values.net import Net, Shape
from search.read.candidates import Snapshot
from search.read.definition import Definition


class LayerRow(Value):
    """One layer of a net, as the pages show it."""

    number: int
    kind: Literal["conv", "dense", "output", "unknown"]
    text: str
    """Its operations in their order: kernel, shortcut, activation, pooling."""
    shape: Shape
    """Channels, rows, columns after pooling."""
    params: int
    macs: int
    params_share: float
    macs_share: float
    role: Literal["guided layer", "hint layer"] | None = None


def student(recipe: Recipe) -> list[LayerRow]:
    """A student's layers, the guided layer marked."""
    return described(recipe.student, recipe.hint.guided if recipe.hint else None, "guided layer")


def teacher(snapshot: Snapshot, recipe: Recipe) -> list[LayerRow]:
    """The teacher's layers, the hint layer marked; an ensemble's are those of its first member, which gives the hints.

    Empty where the stored definition does not hold them.
    """
    hint = recipe.hint.hint if recipe.hint else None
    try:
        known = Definition.of(snapshot).teacher_of(recipe, recipe.student.input)
    except ValueError:  # of the definition, or of equal members
        return []
    if isinstance(known, Brought):
        return _brought(known, snapshot.teacher.get("hint_shapes", []), hint)
    return described(known.members[0].net, hint, "hint layer")


def counted(rows: Sequence[LayerRow]) -> str:
    """How many layers a net has; for a brought teacher, how many hint layers are known."""
    if not rows:
        return ""
    if any(row.kind == "unknown" for row in rows):
        return f"{len(rows)} hint layer{'' if len(rows) == 1 else 's'} known"
    return str(len(rows))


def regressor(recipe: Recipe) -> str | None:
    """The regressor between guided layer and hint layer in stage 1, for people; None without hints."""
    if recipe.hint is None:
        return None
    return {
        "paper": "unpadded convolution, the paper's",
        "linear": "1x1 convolution",
        "normalised": "1x1 convolution, normalised",
    }[recipe.hint.regressor]


def described(net: Net, marked: int | None, role: Literal["guided layer", "hint layer"]) -> list[LayerRow]:
    """A net's layers; the one numbered `marked` has the role."""
    rows = layers(net)
    params, macs = sum(row.params for row in rows), sum(row.macs for row in rows)
    texts = [_conv(net, i) for i in range(len(net.convs))]
    texts += [_activation(dense.pieces) for dense in net.dense] + ["linear"]
    return [
        LayerRow(
            number=row.number,
            kind=row.kind,
            text=text,
            shape=row.shape,
            params=row.params,
            macs=row.macs,
            params_share=row.params / params,
            macs_share=row.macs / macs,
            role=role if row.number == marked else None,
        )
        for row, text in zip(rows, texts, strict=True)
    ]


def _conv(net: Net, index: int) -> str:
    conv = net.convs[index]
    shortcut = " + input" if conv.shortcut else ""  # added before the activation
    pooled = f", pool {conv.pool}x{conv.pool}" if conv.pool > 1 else ""
    return f"{conv.kernel}x{conv.kernel}{shortcut}, {_activation(conv.pieces)}{pooled}"


def _activation(pieces: int) -> str:
    return f"maxout of {pieces}" if pieces > 1 else "ReLU"


def _brought(teacher: Brought, shapes: Any, hint: int | None) -> list[LayerRow]:
    """A brought teacher's hint layers, by name: nothing else of it is known."""
    rows = list(zip(teacher.hint_layers, shapes, strict=False))
    return [
        LayerRow(
            number=number,
            kind="unknown",
            text=name,
            shape=(int(shape[0]), int(shape[1]), int(shape[2])),
            params=0,
            macs=0,
            params_share=0,
            macs_share=0,
            role="hint layer" if number == hint else None,
        )
        for number, (name, shape) in enumerate(rows, start=1)
    ]
