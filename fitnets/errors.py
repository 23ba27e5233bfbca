"""The ways things go wrong on purpose."""


class InputError(ValueError):
    """What the user gave cannot be used; the message names the value, the rule and the remedy. Exit code 2."""


class DiskError(InputError):
    """A disk refused a file that must be kept: it is full, read-only or gone. Exit code 1: the run failed.

    The message names the folder, the fault and the remedy; the same command continues.
    """


class Diverged(RuntimeError):
    """A training's loss stopped being a finite number. The trial has failed; the search goes on."""
