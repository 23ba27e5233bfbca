"""What must be trained for each of the paper's tables, at two sizes: values only.

`quick` is sized for two CPU cores, `full` for one GPU. Rows of a table differ only in what they name: student, method
and recipe. Seeds are added when an experiment is run.
"""

from collections.abc import Sequence
from typing import Literal

from fitnets.config import Data, Precision, Recipe, Trained
from fitnets.paper import recipes
from fitnets.paper.nets import Pair, nets
from fitnets.paper.recipes import ALTERNATIVES, METHODS, PAPER_EPOCHS, Family, Lengths, Method
from fitnets.values.base import Value
from fitnets.values.net import Dense, Net
from search.paper.interpretations import IMAGES, TAKEN, seen

Scale = Literal["quick", "full"]
System = Literal["mnist", "cifar10", "cifar100", "svhn", "aflw", "figure2"]


class Size(Value):
    """How much of a system is trained."""

    students: tuple[tuple[str, tuple[Method, ...]], ...]
    """Names in `fitnets.paper.nets` without the data set, each with its methods."""
    modern: Lengths
    paper: Lengths
    seeds: int = 3
    limit: int | None = None
    """The approximate number of training images; None for all."""


class Arm(Value):
    """One row of a table: a student and how it is trained."""

    name: str
    """In `fitnets.paper.nets`; figure 2's small nets have names of their own."""
    method: Method
    family: Family
    recipe: Recipe


class Experiment(Value):
    """One table of the paper, or its figure 2, to be trained."""

    system: System
    scale: Scale
    data: Data
    teacher: Trained
    teacher_name: str
    arms: tuple[Arm, ...]
    seeds: int
    differs: tuple[str, ...]
    """What differs from the paper, and which reading is taken where it contradicts itself."""

    @property
    def teacher_family(self) -> Family:
        """The family of the teacher's recipe."""
        return _lead([arm.family for arm in self.arms])

    def runs(self) -> list[tuple[Arm, int, Recipe]]:
        """Every arm with every seed: all arms of a seed before the next seed."""
        return [(arm, seed, arm.recipe.changed(seed=seed)) for seed in range(self.seeds) for arm in self.arms]


UP_TO = Lengths(teacher=PAPER_EPOCHS, stage1=PAPER_EPOCHS, stage2=PAPER_EPOCHS)
GPU = Lengths(teacher=60, stage1=20, stage2=100)
ONLY_HINTS: tuple[Method, ...] = ("hints",)


def _quick(teacher: int, stage1: int, stage2: int, **rest: object) -> Size:
    lengths = Lengths(teacher=teacher, stage1=stage1, stage2=stage2)
    return Size.model_validate({"modern": lengths, "paper": lengths, **rest})


FITNETS = tuple((f"fitnet{number}", METHODS if number == 1 else ONLY_HINTS) for number in (1, 2, 3, 4))
FACES = (("fitnet1", METHODS), ("fitnet2", METHODS))
SIZES: dict[tuple[System, Scale], Size] = {
    ("mnist", "quick"): _quick(12, 4, 20, students=(("fitnet", METHODS),)),
    ("mnist", "full"): Size(students=(("fitnet", METHODS),), modern=GPU, paper=UP_TO),
    ("cifar10", "quick"): _quick(8, 4, 12, students=FITNETS[:1], limit=6_000),
    ("cifar10", "full"): Size(
        students=(*FITNETS, ("fitnet4", ALTERNATIVES)), modern=GPU.changed(stage2=200), paper=UP_TO
    ),
    ("cifar100", "quick"): _quick(8, 3, 10, students=(("fitnet4", METHODS),), limit=3_000, seeds=1),
    ("cifar100", "full"): Size(students=(("fitnet4", METHODS),), modern=GPU.changed(stage2=200), paper=UP_TO),
    ("svhn", "quick"): _quick(8, 3, 10, students=(("fitnet", METHODS),), limit=3_000, seeds=1),
    ("svhn", "full"): Size(students=(("fitnet", METHODS),), modern=GPU.changed(stage2=60), paper=UP_TO),
    ("aflw", "quick"): _quick(10, 5, 15, students=FACES, limit=12_000),
    ("aflw", "full"): Size(students=FACES, modern=GPU, paper=UP_TO),
    ("figure2", "quick"): Size(
        students=(),
        modern=Lengths(teacher=12, stage1=6, stage2=15),
        paper=Lengths(teacher=12, stage1=10, stage2=30),
        limit=12_000,
    ),
    ("figure2", "full"): Size(
        students=tuple((name.split("/")[1], METHODS) for name in nets() if name.startswith("figure2/")),
        modern=GPU,
        paper=UP_TO,
    ),
}
SMALL_BUDGET = 1_500_000
"""Multiply-adds of the quick figure 2's nets."""
SMALL_FIGURE_2 = {
    "L5": (((16,), (18,), (18,)), 2),
    "L7": (((5, 8), (10, 12), (16,)), 4),
    "L9": (((4, 8), (8, 8, 8), (16, 16)), 5),
    "L11": (((4, 4, 5), (8, 8, 8), (12, 12, 16)), 7),
    "L13": (((4, 4, 4, 4), (6, 6, 6, 8), (8, 12, 12)), 8),
}
"""Table 6's layouts scaled to 28x28 digits, with their guided layers; besides, the 13 layers that the text mentions."""
ALTERNATIVES_ON = "L11"
"""The small net on which section 3.1's alternatives are tried, by the paper's recipe. The full size uses FitNet 4."""


def data_of(system: System, scale: Scale, family: Family) -> Data:
    """The images of an experiment."""
    limit = SIZES[system, scale].limit
    if system != "figure2":
        return recipes.data_of(system, family).changed(limit=limit)
    if scale == "full":
        return recipes.data_of("cifar10", family)
    return recipes.data_of("mnist", "paper").changed(limit=limit)  # both families see the same images


def experiment(
    system: System, scale: Scale, families: Sequence[Family], seeds: int | None, native: Precision
) -> Experiment:
    """The experiment; `native` is the workers' fast precision, which the modern recipe uses."""
    size = SIZES[system, scale]
    arms: list[Arm] = []
    for family in families:
        lengths = size.modern if family == "modern" else size.paper
        for name, net, pair, methods in _students(system, size, family):
            for method in methods if family == "paper" else [method for method in methods if method in METHODS]:
                recipe = recipes.student(net, pair, system, family, method, lengths)
                precision = native if family == "modern" and system != "figure2" else "float32"
                arms.append(Arm(name=name, method=method, family=family, recipe=recipe.changed(precision=precision)))
    lead = _lead(families)
    teacher_epochs = (size.modern if lead == "modern" else size.paper).teacher
    return Experiment(
        system=system,
        scale=scale,
        data=data_of(system, scale, lead),
        teacher=recipes.teacher(_data(system, scale), lead, teacher_epochs, native),
        teacher_name=f"{_data(system, scale)}/teacher",
        arms=tuple(arms),
        seeds=seeds or size.seeds,
        differs=differences(system, scale, families, size),
    )


def _lead(families: Sequence[Family]) -> Family:
    """The family whose teacher and images are used."""
    return "modern" if "modern" in families else "paper"


def _data(system: System, scale: Scale) -> str:
    if system == "figure2":
        return "cifar10" if scale == "full" else "mnist"
    return system


def _students(system: System, size: Size, family: Family) -> list[tuple[str, Net, Pair, tuple[Method, ...]]]:
    if system == "figure2" and not size.students:
        dense = (Dense(width=100, pieces=2),)
        return [
            (
                name,
                Net.staged((1, 28, 28), 10, blocks, dense=dense),
                Pair(hint=2, guided=guided),
                METHODS + ALTERNATIVES * (name == ALTERNATIVES_ON),
            )
            for name, (blocks, guided) in SMALL_FIGURE_2.items()
        ]
    found = []
    for short, methods in size.students:
        name = f"{system}/{short}"
        pair = nets()[name].pair
        assert pair is not None, f"{name} is a student"
        found.append((name, recipes.net_of(name, family), pair, methods))
    return found


def differences(system: System, scale: Scale, families: Sequence[Family], size: Size) -> tuple[str, ...]:
    """For people: what differs from the paper, and which reading is taken where it contradicts itself."""
    found = []
    if size.limit is not None:
        found.append(f"about {size.limit:,} training images (validation included), not all of them")
    if system == "figure2" and scale == "quick":
        found.append(f"MNIST and nets of {SMALL_BUDGET / 1e6:g}M multiply-adds; the paper: CIFAR-10, 30M and 107M")
    for family in families:
        lengths = size.modern if family == "modern" else size.paper
        if lengths != UP_TO:
            found.append(
                f"{family} recipe: {lengths.teacher} epochs of the teacher, {lengths.stage1} of stage 1, "
                f"{lengths.stage2} of stage 2; the paper: up to {PAPER_EPOCHS} each"
            )
    if "modern" in families:
        found.append("modern recipe: initialisation, optimiser, schedule, hint loss and views are not the paper's")
    if "paper" in families and len(families) > 1:
        found.append("one teacher for both recipes, trained by the modern one")
    if "paper" in families:
        found += [f"paper recipe: {reading}" for reading in TAKEN[system]]
        data, own = data_of(system, scale, _lead(families)), data_of(system, scale, "paper")
        if data == own:
            small = system == "figure2" and scale == "quick"
            found += [f"paper recipe: {reading}" for reading in IMAGES["small figure2" if small else system]]
        else:
            found.append(f"paper recipe: on the modern recipe's images ({seen(data)}), not on its own ({seen(own)})")
    return tuple(found)
