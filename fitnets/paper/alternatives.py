"""Section 3.1's other ways to use the labels below, as Recipes: with FitNet 4 on CIFAR-10 none of them learnt anything.

Each takes a recipe with a hint, and is that recipe with its guided layer, its trainings and its start unchanged. The
paper does not say how a joint hint is weighed; here it has the weight of the labels.
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
