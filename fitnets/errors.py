"""The two ways things go wrong on purpose."""


class InputError(ValueError):
    """What the user gave cannot be used; the message names the value, the rule and the remedy. Exit code 2."""


class Diverged(RuntimeError):
    """A training's loss stopped being a finite number. The trial has failed; the search goes on."""
