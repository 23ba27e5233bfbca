"""The search space, and the only calls of Optuna's `suggest_*`: (trial, Space) -> parameters -> Recipe, and back.

Every parameter is always suggested, within constant bounds, and is relative (a width multiplier, a share of the depth),
so that every draw is a valid student and no sampler loses a parameter to a changing range. Of the encodings that were
compared, this one was best with every sampler at small budgets.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Self

from pydantic import Field, PositiveInt, model_validator

from fitnets.config import Distill, Hint, Precision, Recipe, Training
from fitnets.values.base import Value, later
from fitnets.values.net import Dense, Net, Shape

Regressor = Literal["paper", "linear", "normalised"]


class Space(Value):
    """Students by stages (separated by pooling), hint pairs, and the settings of both stages. Pairs are (low, high)."""

    stages: PositiveInt = 3
    depth: tuple[int, int] = (1, 4)
    """Convolutions in each stage."""
    base_width: tuple[int, int] = (8, 32)
    """Width of the first stage."""
    multiplier: tuple[float, float] = (1.0, 4.0)
    """Width of each later stage, as a multiple of the first one's."""
    multiple_of: PositiveInt = 4
    """Every width is a multiple of this."""
    pieces: PositiveInt = 2
    norm: Literal["none", "batch"] = "none"
    dense: tuple[Dense, ...] = ()
    shortcuts: bool | Literal["either"] = later(False)
    """Every convolution after the first of its stage adds its input to its output; "either": the search tries both."""
    tau: tuple[float, float] = (1.0, 10.0)
    lambda_start: tuple[float, float] = (0.5, 8.0)
    lambda_ratio: tuple[float, float] = (0.0, 1.0)
    """Lambda's end as a share of its start."""
    lr1: tuple[float, float] = (3e-4, 3e-2)
    """Learning rate of stage 1."""
    lr2: tuple[float, float] = (3e-4, 3e-2)
    """Learning rate of stage 2. Where students are stopped early, keep the range narrow: a rate that begins slowly
    looks worse at a rung than at the end, so that rungs would compare rates (bench/LOG.md)."""
    regressors: tuple[Regressor, ...] = Field(("linear",), min_length=1)

    @model_validator(mode="after")
    def _ranges_are_in_order(self) -> Self:
        for field in ("depth", "base_width", "multiplier", "tau", "lambda_start", "lambda_ratio", "lr1", "lr2"):
            low, high = getattr(self, field)
            if low > high:
                raise ValueError(f"`{field}` is ({low}, {high}), but the low end comes first: write ({high}, {low}).")
        if self.depth[0] < 1 or self.stages * self.depth[0] < 2:
            raise ValueError(
                f"`depth` starts at {self.depth[0]} in {self.stages} stage(s), but a student needs a convolution in "
                "every stage and two in all: raise `depth` or `stages`."
            )
        if any(width % self.multiple_of or width < 1 for width in self.base_width):
            raise ValueError(
                f"`base_width` is {self.base_width}, but both ends must be multiples of {self.multiple_of}."
            )
        if (
            self.multiplier[0] <= 0
            or self.tau[0] < 1
            or self.lambda_start[0] <= 0
            or self.lambda_ratio[0] < 0
            or self.lr1[0] <= 0
            or self.lr2[0] <= 0
        ):
            raise ValueError(
                "`multiplier`, `lambda_start`, `lr1` and `lr2` must be above 0, `lambda_ratio` at least 0, and `tau` "
                "at least 1: raise the low end."
            )
        return self

    def student(
        self, frame: "Frame", widths: Sequence[Sequence[int]], dense: Sequence[Dense], shortcuts: bool | None = None
    ) -> Net:
        """The net with these widths of convolutions, a sequence for each stage, and these dense layers.

        `shortcuts` is the space's own unless it is given; of "either", with them.
        """
        return Net.staged(
            frame.input,
            frame.classes,
            widths,
            pieces=self.pieces,
            norm=self.norm,
            dense=dense,
            shortcuts=bool(self.shortcuts) if shortcuts is None else shortcuts,
        )


class Frame(Value):
    """What the space does not vary: the images' shape, the number of hint layers, and the rest of the trainings."""

    input: Shape
    classes: int
    hints: PositiveInt
    stage1: Training
    stage2: Training
    distill: Distill = Distill()
    init: Literal["scaled", "uniform"] = "scaled"
    precision: Precision = "float32"
    seed: int = 0


class Suggests(Protocol):
    """The methods of an Optuna trial that `suggest` calls."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


def suggest(trial: Suggests, space: Space) -> dict[str, Any]:
    """One draw: always the same parameters, always within the same bounds."""
    params: dict[str, Any] = {}
    for stage in range(1, space.stages + 1):
        params[f"depth{stage}"] = trial.suggest_int(f"depth{stage}", *space.depth)
    params["base_width"] = trial.suggest_int("base_width", *space.base_width, step=space.multiple_of)
    for stage in range(2, space.stages + 1):
        params[f"multiplier{stage}"] = trial.suggest_float(f"multiplier{stage}", *space.multiplier, log=True)
    params["guided"] = trial.suggest_float("guided", 0.0, 1.0)
    params["hint"] = trial.suggest_float("hint", 0.0, 1.0)
    params["tau"] = trial.suggest_float("tau", *space.tau, log=True)
    params["lambda_start"] = trial.suggest_float("lambda_start", *space.lambda_start, log=True)
    params["lambda_ratio"] = trial.suggest_float("lambda_ratio", *space.lambda_ratio)
    params["lr1"] = trial.suggest_float("lr1", *space.lr1, log=True)
    params["lr2"] = trial.suggest_float("lr2", *space.lr2, log=True)
    if space.shortcuts == "either":
        params["shortcuts"] = trial.suggest_categorical("shortcuts", [False, True])
    if len(space.regressors) > 1:
        params["regressor"] = trial.suggest_categorical("regressor", list(space.regressors))
    return params


def student_of(params: Mapping[str, Any], space: Space, frame: Frame) -> Net:
    """The student of a draw: all that its costs depend on. Every draw within the space's bounds gives a valid one."""
    base = params["base_width"]
    widths = [base] + [_width(base * params[f"multiplier{stage}"], space) for stage in range(2, space.stages + 1)]
    stages = [[width] * params[f"depth{stage}"] for stage, width in enumerate(widths, start=1)]
    return space.student(frame, stages, space.dense, params.get("shortcuts"))


def recipe_of(params: Mapping[str, Any], space: Space, frame: Frame) -> Recipe:
    """The absolute recipe of a draw. Every draw within the space's bounds gives a valid one."""
    student = student_of(params, space, frame)
    tau, lambda_start = params["tau"], params["lambda_start"]
    return Recipe(
        student=student,
        hint=Hint(
            hint=_nth(params["hint"], frame.hints),
            guided=_nth(params["guided"], len(student.convs) - 1),
            regressor=params.get("regressor", space.regressors[0]),
        ),
        stage1=frame.stage1.changed(lr=params["lr1"]),
        distill=frame.distill.changed(
            tau=tau, lambda_start=lambda_start, lambda_end=lambda_start * params["lambda_ratio"]
        ),
        stage2=frame.stage2.changed(lr=params["lr2"]),
        init=frame.init,
        precision=frame.precision,
        seed=frame.seed,
    )


def params_of(recipe: Recipe, space: Space, frame: Frame) -> dict[str, Any]:
    """The draw nearest to a recipe: what the sampler learns of a named student.

    Raises ValueError when the recipe has no hint, or another number of stages than the space.
    """
    stages = recipe.student.stages
    if len(stages) != space.stages or recipe.hint is None or recipe.stage1 is None:
        raise ValueError(
            f"a recipe of {len(stages)} stages and hint {recipe.hint} has no place in {space.stages} stages."
        )
    means = [sum(widths) / len(widths) for widths in stages]
    base = _clip(_width(means[0], space), space.base_width)
    params: dict[str, Any] = {"base_width": int(base)}
    for stage, widths in enumerate(stages, start=1):
        params[f"depth{stage}"] = int(_clip(len(widths), space.depth))
        if stage > 1:
            params[f"multiplier{stage}"] = _clip(means[stage - 1] / base, space.multiplier)
    start, end = recipe.distill.lambda_start, recipe.distill.lambda_end
    return params | {
        "guided": (recipe.hint.guided - 0.5) / (len(recipe.student.convs) - 1),
        "hint": (recipe.hint.hint - 0.5) / frame.hints,
        "tau": _clip(recipe.distill.tau, space.tau),
        "lambda_start": _clip(start, space.lambda_start),
        "lambda_ratio": _clip(end / start if start else 0.0, space.lambda_ratio),
        "lr1": _clip(recipe.stage1.lr, space.lr1),
        "lr2": _clip(recipe.stage2.lr, space.lr2),
        **({"shortcuts": any(conv.shortcut for conv in recipe.student.convs)} if space.shortcuts == "either" else {}),
        **({"regressor": recipe.hint.regressor} if len(space.regressors) > 1 else {}),
    }


def extreme(space: Space, frame: Frame, end: Literal[0, 1]) -> Recipe:
    """The space's smallest (0) or largest (1) student, with settings in the middle of their ranges."""
    params: dict[str, Any] = {"base_width": space.base_width[end], "guided": 0.5, "hint": 0.5}
    for stage in range(1, space.stages + 1):
        params[f"depth{stage}"] = space.depth[end]
        params[f"multiplier{stage}"] = space.multiplier[end]
    for name in ("tau", "lambda_start", "lambda_ratio", "lr1", "lr2"):
        params[name] = sum(getattr(space, name)) / 2
    return recipe_of(params, space, frame)


def _width(width: float, space: Space) -> int:
    """The nearest width that is a positive multiple of the space's `multiple_of`."""
    return max(1, round(width / space.multiple_of)) * space.multiple_of


def _nth(share: float, count: int) -> int:
    """The layer (from 1) at this share of `count` layers."""
    return min(count, 1 + math.floor(share * count))


def _clip(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
