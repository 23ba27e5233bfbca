"""The definition of a study, and how one is found by name."""

import importlib
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, PositiveInt, ValidationError, field_validator, model_validator

from fitnets import own_code
from fitnets.config import Brought, Cost, Data, Distill, Ensemble, Hint, Precision, Recipe, Trained, Training
from fitnets.errors import InputError
from fitnets.nets.cost import Costs
from fitnets.values.base import Value, explain, later
from fitnets.values.net import Dense, Shape
from fitnets.values.staged import Staged as Staged
from fitnets.values.staged import StagedEnsemble as StagedEnsemble
from fitnets.values.staged import quick_training
from search.driver.stopping import Stopping as Stopping
from search.space import Frame, Space

BUILT_IN = Path(__file__).parents[1] / "studies"  # beside this package, installed or not
OWN = Path("studies")  # in the current folder
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
SMOKE_IMAGES = 3000
SMOKE_RATES = (2e-3, 8e-3)


AnyTeacher = Staged | StagedEnsemble | Trained | Brought | Ensemble
TeacherField = Annotated[AnyTeacher, Field(discriminator="kind")]


def resolved(
    teacher: AnyTeacher, shape: Shape, classes: int, students: Precision = "float32"
) -> Trained | Brought | Ensemble:
    """The teacher for images of this shape and number of classes; `students` is the precision of their training.

    Raises ValidationError where there can be none.
    """
    return teacher.resolved(shape, classes, students) if isinstance(teacher, Staged | StagedEnsemble) else teacher


class Named(Value):
    """A student designed by hand, trained before the sampler's own. Pieces, norm and shortcuts are the space's."""

    name: str
    stages: tuple[tuple[int, ...], ...]
    dense: tuple[Dense, ...] = ()
    hint: Hint
    distill: Distill = Distill()


class Study(Value):
    """What to search. Each module of `studies/` defines one `STUDY = Study(...)`."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    data: Data
    teacher: TeacherField
    space: Space
    stage1: Training
    """The space sets its learning rate."""
    stage2: Training
    """The space sets its learning rate."""
    distill: Distill = Distill()
    """Switches of the loss; the space sets tau and lambda."""
    init: Literal["scaled", "uniform"] = "scaled"
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Of the students' training. `auto`: bf16 where the workers' processor has it natively (compared over seeds in
    bench/RESULTS.md), else float32; always float32 with the paper's initial weights."""
    max_params: PositiveInt | None = None
    """Students with more parameters (biases included) are never trained."""
    max_macs: PositiveInt | None = None
    """Students with more multiply-adds are never trained."""
    min_accuracy: float | None = later(None, gt=0, lt=1)
    """Students of a lower validation accuracy, 0 to 1, are of no use: none is looked for, though some may be found."""
    first: tuple[Named, ...] = ()
    """Students to train before the sampler's own, those over the limits left out."""
    trials: PositiveInt = 30
    """How many students to train, those that are stopped or fail included; --trials overrides it."""
    stopping: Stopping | None = later(None)
    """Which students are stopped at rungs of stage 2; None trains all to their end. Never those in `first`."""
    duplicates: Literal["replicate", "reuse"] = "replicate"
    """What to do when a recipe is drawn again: train it with another seed, or reuse its outcome."""
    seed: int = Field(0, ge=0)
    trial_seconds: PositiveInt | None = None
    """A trial that takes longer fails; time that it waits does not count. --trial-seconds overrides it."""
    gpu_fraction: float = 0.25
    """The share of one GPU that a trial takes where there are GPUs: above 0, at most 1."""
    max_disk: Annotated[ByteSize, Field(gt=0)] | None = None
    """How many bytes, also as "20GB", `store/` under --runs may take. Beyond that, tables and other caches are removed,
    then the weights of dominated students."""

    @field_validator("gpu_fraction")
    @classmethod
    def _share_of_one_gpu(cls, share: float) -> float:
        if not 0 < share <= 1:
            raise ValueError(
                f"it is {share:g}, but a trial runs on one GPU and takes a share of it: "
                "choose a number above 0, at most 1; 0.25 lets four trials share a GPU."
            )
        return share

    @model_validator(mode="after")
    def _first_students_fit(self) -> Self:
        hints = self.teacher.hints
        for number, named in enumerate(self.first):
            where, stages, convs = f"`first[{number}]` (`{named.name}`)", named.stages, sum(map(len, named.stages))
            if len(stages) != self.space.stages:
                raise ValueError(
                    f"{where} has {len(stages)} stages, but the space has {self.space.stages}: give the student "
                    f"{self.space.stages} stages, or set the space's `stages` to {len(stages)}."
                )
            if not all(stages) or min(width for widths in stages for width in widths) < 1:
                raise ValueError(f"{where} has stages {stages}, but each needs a width of 1 or more: add one.")
            if named.hint.guided >= convs:
                remedy = f"choose 1..{convs - 1}." if convs > 1 else "give the student a second convolution."
                raise ValueError(
                    f"{where} has `hint.guided` {named.hint.guided}, but it has {convs} convolutions and the guided "
                    f"layer must come before the last: {remedy}"
                )
            if named.hint.hint > hints:
                raise ValueError(
                    f"{where} has `hint.hint` {named.hint.hint}, but the teacher has {hints} hint layers: "
                    f"choose 1..{hints}."
                )
        return self

    def resolved_precision(self, native: Precision) -> Precision:
        """The precision of the students' training; `native` is the one in which the workers are fastest."""
        if self.precision != "auto":
            return self.precision
        return "float32" if self.init == "uniform" else native

    def frame(self, shape: Shape, classes: int, hints: int, native: Precision = "float32") -> Frame:
        """The part of every recipe that the space does not vary; `native` as in `resolved_precision`."""
        return Frame(
            input=shape,
            classes=classes,
            hints=hints,
            stage1=self.stage1,
            stage2=self.stage2,
            distill=self.distill,
            init=self.init,
            precision=self.resolved_precision(native),
            seed=self.seed,
        )

    def resolved_teacher(
        self, shape: Shape, classes: int, native: Precision = "float32"
    ) -> Trained | Brought | Ensemble:
        """The teacher for these images; `native` as in `resolved_precision`."""
        return resolved(self.teacher, shape, classes, self.resolved_precision(native))

    def named_recipe(self, named: Named, frame: Frame) -> Recipe:
        """The recipe of a named student."""
        return Recipe(
            student=self.space.student(frame, named.stages, named.dense),
            hint=named.hint,
            stage1=self.stage1,
            distill=named.distill,
            stage2=self.stage2,
            init=self.init,
            precision=frame.precision,
            seed=self.seed,
        )

    def excess(self, price: Cost | Costs) -> dict[str, float]:
        """Each limit's relative excess: positive where it is exceeded. Empty without limits."""
        limits = {"max_params": (price.params, self.max_params), "max_macs": (price.macs, self.max_macs)}
        return {name: value / limit - 1 for name, (value, limit) in limits.items() if limit is not None}

    def allows(self, price: Cost | Costs) -> bool:
        """Whether a student of this cost is within the limits."""
        return max(self.excess(price).values(), default=0.0) <= 0

    def smoke(self) -> Self:
        """The same study on the same code path, shrunk to about a minute on two CPU cores.

        A teacher whose net is fixed is trained for fewer epochs; a brought one stays as it is.
        """
        low, high = self.space.base_width
        least = min(high, max(low, 8))
        space = self.space.changed(
            depth=(self.space.depth[0], max(self.space.depth[0], min(2, self.space.depth[1]))),
            base_width=(least, max(least, min(high, 16))),
            multiplier=(self.space.multiplier[0], max(self.space.multiplier[0], min(2.0, self.space.multiplier[1]))),
            lr1=_smoke_rates(self.stage1, self.space.lr1),
            lr2=_smoke_rates(self.stage2, self.space.lr2),
            dense=(),
        )
        return self.changed(
            name=f"{self.name}-smoke",
            data=self.data.changed(limit=min(SMOKE_IMAGES, self.data.limit or SMOKE_IMAGES)),
            teacher=_smoke_teacher(self.teacher),
            space=space,
            stage1=self.stage1.changed(epochs=min(4, self.stage1.epochs), batch=32),
            stage2=self.stage2.changed(epochs=min(6, self.stage2.epochs), batch=32),
            first=(),
            trials=4,
        )


def _smoke_rates(training: Training, rates: tuple[float, float]) -> tuple[float, float]:
    """Learning rates that learn something in a few hundred steps; Muon's always do."""
    return rates if training.optimizer == "muon" else SMOKE_RATES


def _smoke_teacher(teacher: AnyTeacher) -> AnyTeacher:
    """The teacher, trained in seconds and, where it is staged, smaller; a brought one stays as it is."""
    if isinstance(teacher, Staged | StagedEnsemble):
        return teacher.smoke()
    if isinstance(teacher, Trained):
        return teacher.changed(training=quick_training(teacher.training))
    if isinstance(teacher, Ensemble):  # seeds tell members apart whose trainings have become equal
        quick = [m.changed(training=quick_training(m.training), seed=i) for i, m in enumerate(teacher.members)]
        return teacher.changed(members=tuple(quick))
    return teacher


def find_study(name: str) -> Study:
    """The study of that name (see `_study_file`), or of a file. Raises InputError when there is none."""
    file = _study_file(name)
    if not own_code.comes_first():
        importlib.import_module("studies")  # ours, for files that build on it: own code could hide an editable install
    try:
        study = getattr(own_code.executed(file), "STUDY", None)
    except ValidationError as error:
        raise InputError(f"the study `{name}` is not valid:\n{explain(error)}") from error
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise InputError(f"the study `{name}` cannot be loaded ({why}): correct the file.") from error
    if not isinstance(study, Study):
        raise InputError(f"`{name}` defines no `STUDY = Study(...)`: see studies/digits.py for one.")
    return study


def _study_file(name: str) -> Path:
    """A built-in study's file, whatever the current folder holds; else that of `studies/` there; or the file itself."""
    found = [folder / f"{name}.py" for folder in (BUILT_IN, OWN) if name in own_code.names_in(folder)]
    found += [Path(name)] if Path(name).suffix == ".py" and Path(name).is_file() else []
    if found:
        return found[0]
    known = ", ".join(dict.fromkeys([*study_names(), *own_code.names_in(OWN)]))
    raise InputError(f"no study is called `{name}`: choose from {known}, or give the path of a study's .py file.")


def study_names() -> list[str]:
    """The built-in studies."""
    return own_code.names_in(BUILT_IN)


def own_namesake(name: str) -> Path | None:
    """The file in the current folder's `studies/` that has a built-in study's name, and is another file."""
    if name not in study_names() or name not in own_code.names_in(OWN):
        return None
    own = OWN / f"{name}.py"
    return None if own.samefile(BUILT_IN / own.name) else own
