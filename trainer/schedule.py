"""The learning rate of each step: constant, then linear to 0. Knows no optimizer."""

from __future__ import annotations

from .compat import COMPAT, Compat
from .config import OptimizerConfig


def learning_rate_at(step: int, config: OptimizerConfig, num_steps: int, compat: Compat = COMPAT["none"]) -> float:
    """Learning rate of a step.

    Args:
        step: its number, from 0.
        config: rate at the start, and when it falls.
        num_steps: of the whole run; the rate would be 0 at this step.
        compat: whose schedule.
    """
    if config.decay == "constant" or not compat.has_decay:
        return config.learning_rate
    start = config.decay_start * num_steps
    step += compat.decays_a_step_early
    share_left = (num_steps - step) / max(num_steps - start, 1e-9)
    return config.learning_rate * min(max(share_left, 0.0), 1.0)
