"""Averaged generators: what a style is made from. Moves no weight that is being trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .config import OptimizerConfig, TrainConfig


class Averages:
    """Exponential moving averages of the generators' weights.

    Up to `ema_start` of the run, and always with a half-life of 0, they are copies. A step that was skipped needs no
    exception: it left the generators as they were.

    Args:
        generators: by name, as they are being trained.
        config: of the run.
    """

    def __init__(self, generators: Mapping[str, nn.Module], config: TrainConfig) -> None:
        self.generators = {name: _frozen_copy(network) for name, network in generators.items()}
        """The averaged generators by name, in evaluation mode."""
        self._sources = generators
        self._config = config.optimizer
        self._start_step = config.optimizer.ema_start * config.run.steps

    @torch.no_grad()
    def update(self, step: int, num_images: int) -> None:
        """Take the weights of a step in.

        Args:
            step: number of steps done, this one included.
            num_images: pictures of a domain this step saw, on all processes.
        """
        decay = decay_of(num_images, self._config) if step > self._start_step else 0.0
        for name, average in self.generators.items():
            _blend(list(average.parameters()), list(self._sources[name].parameters()), decay)
            _blend(list(average.buffers()), list(self._sources[name].buffers()), 0.0)

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Weights of the averaged generators by name."""
        return {name: network.state_dict() for name, network in self.generators.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what `state_dict` gave."""
        for name, network in self.generators.items():
            network.load_state_dict(state[name])


def decay_of(num_images: int, config: OptimizerConfig) -> float:
    """Share of an average that is left after a step of `num_images` pictures."""
    half_life = 1000 * config.ema_half_life_kimg
    return float(0.5 ** (num_images / half_life)) if half_life else 0.0


def _frozen_copy(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).eval().requires_grad_(False)


def _blend(kept: list[Tensor], new: list[Tensor], decay: float) -> None:
    if not kept:
        return
    if decay:
        torch._foreach_lerp_(kept, new, 1 - decay)
    else:
        torch._foreach_copy_(kept, new)
