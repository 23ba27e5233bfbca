"""The errors that are raised deliberately."""


class InputError(ValueError):
    """The user's input cannot be used; the message names the value, the rule and the remedy. Exit code 2."""


class DiskError(InputError):
    """A file that the run needs cannot be written: the disk is full, read-only or missing. Exit code 1: the run failed.

    The message names the folder, the fault and the remedy; running the same command again continues the work.
    """


class Diverged(RuntimeError):
    """The loss of a training run is no longer finite. The trial has failed; the search continues."""
