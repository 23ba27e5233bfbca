"""A teacher, as a value: trained here, brought by the user, or an ensemble. Nothing here needs torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from fitnets.values.base import Value, later, sha256
from fitnets.values.net import Net
from fitnets.values.training import Precision, Training
from fitnets.values.updates import Dropout


class Trained(Value):
    """A teacher that is trained here: a net and its training on the labels."""

    kind: Literal["trained"] = "trained"
    net: Net
    training: Training
    precision: Precision = "float32"
    seed: int = Field(0, ge=0)
    init: Literal["scaled", "uniform"] = later("scaled")
    """As `Recipe.init`; the paper's teachers are `uniform` as well."""
    init_range: PositiveFloat = later(0.005)
    dropout: Dropout | None = later(None)
    """During training only; None: no dropout."""
    retrain: bool = later(False)
    """As `Recipe.retrain`."""
    own_views: bool = later(False)
    """Train on augmented views that no student sees. A teacher has memorised the views that it was trained on: there
    its logits are nearly those of the labels, and teach less."""

    @property
    def members(self) -> tuple["Trained", ...]:
        """The teachers to train: itself."""
        return (self,)

    @property
    def hints(self) -> int:
        """How many layers can be hint layers."""
        return len(self.net.convs)


class Brought(Value):
    """A teacher that the user brings: a function returning an `nn.Module`, its weights, and its hint layers by name."""

    kind: Literal["brought"] = "brought"
    build: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`package.module:function`: a function without arguments that returns an `nn.Module` from images to logits."""
    weights: str | None = None
    """A safetensors file with the module's state, or None if the function loads it itself."""
    hint_layers: tuple[str, ...] = Field(min_length=1)
    """Names of submodules with spatial outputs (as in `named_modules`), from the input up: hint layers 1, 2, ..."""
    mean: tuple[float, ...] | None = None
    """Per-channel mean of pixels in [0, 1] that the module expects; None: the data set's own standardisation."""
    std: tuple[PositiveFloat, ...] | None = None
    min_accuracy: float | None = later(None, ge=0, le=1)
    """The teacher is refused when its validation accuracy is lower, a sign of wrong weights, classes or normalisation.
    None: it must exceed chance, the share of the most frequent class, by more than the standard error; 0: anything."""

    @property
    def members(self) -> tuple[Trained, ...]:
        """The teachers to train: none."""
        return ()

    @property
    def hints(self) -> int:
        """How many layers can be hint layers."""
        return len(self.hint_layers)

    def digest_with(self, weights: str, code: str) -> str:
        """The digest of the teacher that this value, and the contents with these digests, make."""
        return sha256(weights + self.digest() + code)

    @model_validator(mode="after")
    def _mean_goes_with_std(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("`mean` and `std` go together: give both, or neither.")
        return self


class Ensemble(Value):
    """Several trained teachers whose outputs are averaged. Hints come from the first: the paper's are one teacher's."""

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[Trained, ...] = Field(min_length=2)
    average: Literal["logits", "probabilities"] = "logits"
    """Section 2.1: the geometric mean of their outputs, which averages logits, or the arithmetic mean, which averages
    probabilities (before softening)."""

    @property
    def hints(self) -> int:
        """How many layers can be hint layers."""
        return self.members[0].hints

    @model_validator(mode="after")
    def _members_agree_and_differ(self) -> Self:
        kinds = {(member.net.input, member.net.classes) for member in self.members}
        if len(kinds) > 1:
            raise ValueError("`members` take images or tell classes apart that differ: give all the same of both.")
        if any(member.retrain for member in self.members):
            raise ValueError(
                "`members` holds a teacher with `retrain`, which leaves no images to measure the ensemble on: "
                "choose `retrain=False`."
            )
        if len({member.digest() for member in self.members}) < len(self.members):
            raise ValueError("`members` holds a teacher twice, which would count twice: give each another `seed`.")
        return self


Teacher = Annotated[Trained | Brought | Ensemble, Field(discriminator="kind")]
