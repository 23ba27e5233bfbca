"""When a training run stops, and which epoch's weights it returns: pure functions of the measures so far.

There is one measure for each epoch, higher is better; epochs are counted from 1.
"""

from collections.abc import Sequence

from fitnets.values.training import Training


def best(measures: Sequence[float]) -> int:
    """The first epoch with the highest measure."""
    return list(measures).index(max(measures)) + 1


def chosen_epoch(training: Training, measures: Sequence[float]) -> int:
    """The epoch whose weights the training run returns."""
    return best(measures) if training.keep == "best" else len(measures)


def is_over(training: Training, measures: Sequence[float]) -> bool:
    """Whether training stops here."""
    if training.patience is not None and measures and len(measures) - best(measures) >= training.patience:
        return True
    return len(measures) >= training.last
