"""Section 3.1's other ways to guide the lower layers, by labels, as Recipes: on FitNet 4 and CIFAR-10 none succeeded.

Each function takes a recipe with a hint, and leaves its guided layer, its training settings and its initial weights
unchanged. The paper does not state the weight of a joint hint in the loss; here it is that of the labels.
"""

from fitnets.config import LabelHint, Recipe


def labels_then_labels(recipe: Recipe) -> Recipe:
    """Stage 1: layers 1..guided learn the labels; stage 2: the whole student learns them."""
    return labels_then_kd(recipe).on_labels()


def labels_then_kd(recipe: Recipe) -> Recipe:
    """Stage 1: layers 1..guided learn the labels; stage 2: knowledge distillation."""
    return recipe.changed(hint=None, label_hint=LabelHint(guided=_guided(recipe)))


def joint_labels(recipe: Recipe) -> Recipe:
    """One stage: the guided layer learns the labels while the output does."""
    return joint_kd(recipe).on_labels()


def joint_kd(recipe: Recipe) -> Recipe:
    """One stage: the guided layer learns the labels while the output is distilled."""
    label_hint = LabelHint(guided=_guided(recipe), joint=True)
    return recipe.changed(hint=None, label_hint=label_hint, stage1=None)


def _guided(recipe: Recipe) -> int:
    if recipe.guided is None:
        raise ValueError("the recipe has no hint, so it does not say where labels may guide: give `hint`.")
    return recipe.guided
