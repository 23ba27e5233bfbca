"""Which images a study uses, as a value. Nothing here needs torch."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from fitnets.values.base import Value, later, seed_of


class Data(Value):
    """Which images, how they are split, and which augmented views of them each training epoch uses."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """`digits`, `mnist`, `cifar10`, `cifar100`, `svhn`, or any other name: an image folder with that name."""
    val_fraction: float = Field(0.2, gt=0, lt=1)
    """The share of the training images of each class that is held out for validation."""
    seed: int = Field(0, ge=0)
    """Seeds the split and the augmentation of every epoch, so that all trials of a study see the same views."""
    shift: int = Field(0, ge=0)
    """The largest shift of a view along each axis, in pixels; less than the images' rows and columns."""
    flip: bool = False
    """Whether half of the views are mirrored."""
    flips: Literal["alternating", "random"] = later("alternating")
    """With `flip`: every image is mirrored in every second epoch, or in each epoch with a chance of one half."""
    plans: PositiveInt | None = later(None)
    """After so many epochs students see the same views again, in another order of images, and the teacher's tables of
    them serve again. None: every epoch has views of its own, as every epoch of the teacher's training always has."""
    border: Literal["reflect", "zero"] = later("reflect")
    """What fills the border of a shifted view: the image's own pixels, mirrored, or zeros in the network's input. The
    released CIFAR files pad by 8 (the teacher's by 4) and crop: `shift=8, border="zero"`."""
    whiten: bool = False
    """Global contrast normalisation and ZCA whitening (the paper's) instead of per-channel standardisation."""
    local_contrast: bool = later(False)
    """Global, then local contrast normalisation over 7x7 pixels instead (the paper's for SVHN, from pylearn2)."""
    limit: PositiveInt | None = None
    """Use about this many training images (before the split) and test images, with the same share of each class."""
    max_size: PositiveInt = 64
    """Image folders only: larger images are scaled down to this many rows or columns."""

    @model_validator(mode="after")
    def _one_normalisation(self) -> Self:
        if self.whiten and self.local_contrast:
            raise ValueError("`whiten` and `local_contrast` are two ways to normalise images: choose one.")
        return self

    @model_validator(mode="after")
    def _plans_mirror_evenly(self) -> Self:
        if self.flip and self.flips == "alternating" and self.plans is not None and self.plans % 2:
            raise ValueError(
                f"`plans` is {self.plans}, but with `flip` every second epoch mirrors what the one before did not: "
                f"choose an even number, as {self.plans + 1}."
            )
        return self

    @property
    def standardised(self) -> bool:
        """Whether images are stored as pixels and standardised per channel when they are used."""
        return not (self.whiten or self.local_contrast)

    @property
    def views(self) -> tuple[object, ...]:
        """Everything that the views of an image depend on."""
        border = () if self.border == "reflect" else (self.border,)
        flips = () if self.flips == "alternating" else (self.flips,)
        return (self.shift, self.flip, self.seed, *border, *flips, *(() if self.plans is None else (self.plans,)))

    def with_other_views(self) -> Self:
        """For `Trained.own_views`: views that no student sees. The split, which was made before, is not changed."""
        return self.changed(seed=seed_of("views of the teacher", self.seed))

    def equivalent_epoch(self, epoch: int) -> int:
        """The first epoch with exactly the same views as `epoch`, whose tables serve both.

        Without augmentation all epochs have the same views; with alternating flips alone, every second one; see also
        `plans`.
        """
        if self.plans is not None:
            epoch = (epoch - 1) % self.plans + 1
        if self.shift or (self.flip and self.flips == "random"):
            return epoch
        return 2 - epoch % 2 if self.flip else 1
