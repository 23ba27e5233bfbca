"""When a training stops, and which epoch's weights go on: pure functions of the measures so far, one for each epoch.

More is better; epochs are counted from 1.
"""

from collections.abc import Sequence

from fitnets.values.training import Training


def best(measures: Sequence[float]) -> int:
    """The first epoch that none was better than."""
    return list(measures).index(max(measures)) + 1


def chosen_epoch(training: Training, measures: Sequence[float]) -> int:
    """The epoch whose weights go on."""
    return best(measures) if training.keep == "best" else len(measures)


def is_over(training: Training, measures: Sequence[float]) -> bool:
    """Whether no further epoch is trained."""
    if training.patience is not None and measures and len(measures) - best(measures) >= training.patience:
        return True
    return len(measures) >= training.last
