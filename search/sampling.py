"""The sampler of one draw: a pure function of the study's seed, its history, and how many draws came before."""

import optuna

from fitnets.value import seed_of


def sampler_for(seed: int, draw: int) -> optuna.samplers.BaseSampler:
    """Optuna's multi-objective TPE, seeded for this draw.

    A sampler seeded once would repeat its first draws whenever a study is continued; seeded for each draw, a
    continued study goes on as an uninterrupted one would.
    """
    return optuna.samplers.TPESampler(seed=seed_of("draw", seed, draw) % 2**32)
