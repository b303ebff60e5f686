"""What every recipe's training loop needs: a resumable state, the moving average of the weights, the learning rate.

Knows no loss and no data; a recipe brings its network and its batches.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@dataclass
class AveragedState(Generic[Network]):
    """What a snapshot holds: the run as it stands after `step` steps."""

    step: int
    """Steps done."""
    network: Network
    """The weights being trained."""
    average: Network
    """Their exponential moving average."""
    optimizer: torch.optim.Optimizer
    """With its moments."""

    def save(self, path: Path) -> None:
        """Write a snapshot; a run killed in the middle leaves the one before."""
        content = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Take over a snapshot's weights, moments and step."""
        content: dict[str, Any] = torch.load(path, weights_only=True)
        self.step = content["step"]
        self.network.load_state_dict(content["network"])
        self.average.load_state_dict(content["average"])
        self.optimizer.load_state_dict(content["optimizer"])

    def start_from(self, path: Path) -> None:
        """Begin with the averaged weights of another run's snapshot; step and moments stay those of a new run."""
        content: dict[str, Any] = torch.load(path, weights_only=True)
        self.network.load_state_dict(content["average"])
        self.average.load_state_dict(content["average"])

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average towards the weights; early steps count more, so that it forgets the random start."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for kept, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def cosine_learning_rate(step: int, *, peak: float, warmup_steps: int, steps: int) -> float:
    """Linear warm-up, then a cosine from the peak to a hundredth of it at the last step."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    share = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))
