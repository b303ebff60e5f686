"""What the training loops of landmarks, detector and parser share: a resumable state, its steps, the learning rate.

Knows no loss and no data; a recipe brings its network and its batches.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

_logger = logging.getLogger(__name__)


class Schedule(Protocol):
    """The part of a recipe's settings that fixes its optimizer."""

    @property
    def steps(self) -> int:
        """Optimizer steps; the learning rate's cosine ends here."""
        ...

    @property
    def learning_rate(self) -> float:
        """Peak of the warm-up and cosine schedule."""
        ...

    @property
    def warmup_steps(self) -> int:
        """Steps of linear warm-up."""
        ...

    @property
    def weight_decay(self) -> float:
        """AdamW's, on every weight."""
        ...

    @property
    def seed(self) -> int:
        """Of the first weights."""
        ...


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

    @classmethod
    def begin(cls, build: Callable[[], Network], schedule: Schedule) -> Self:
        """A run's state before its first step.

        Args:
            build: makes the network, with random weights.
            schedule: of the run.
        """
        torch.manual_seed(schedule.seed)
        network, average = (build().to(memory_format=torch.channels_last) for _ in range(2))
        average.load_state_dict(network.state_dict())
        optimizer = torch.optim.AdamW(network.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay)
        return cls(0, network.train(), average.eval(), optimizer)

    def content(self) -> dict[str, Any]:
        """What a snapshot holds, by name."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def save(self, path: Path) -> None:
        """Write a snapshot; a run killed in the middle leaves the one before."""
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(self.content(), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def restore(self, content: dict[str, Any]) -> None:
        """Take over everything that `content` gave in an earlier process."""
        self.step = content["step"]
        self.network.load_state_dict(content["network"])
        self.average.load_state_dict(content["average"])
        self.optimizer.load_state_dict(content["optimizer"])

    def start_from(self, content: dict[str, Any]) -> None:
        """Begin with the averaged weights of another run's snapshot; step and moments stay those of a new run."""
        self.network.load_state_dict(content["average"])
        self.average.load_state_dict(content["average"])

    def resume(self, snapshot: Path, start_from: Path | None) -> None:
        """Go on where a run stopped, or begin a new one with another's weights; neither where neither is there."""
        if snapshot.exists():
            self.restore(read_snapshot(snapshot))
            _logger.info("Resumed at step %d.", self.step)
        elif start_from is not None:
            self.start_from(read_snapshot(start_from))
            _logger.info("Started from the weights in '%s'.", start_from)

    def descend(self, loss: Tensor, learning_rate: float, max_norm: float) -> None:
        """Take one optimizer step, the gradients' norm clipped."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), max_norm)
        self.optimizer.step()

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average towards the weights; early steps count more, so that it forgets the random start."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for kept, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def read_snapshot(path: Path) -> dict[str, Any]:
    """Read what a state's `save` wrote; nothing in the file is executed."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def learning_rate_at(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then a cosine from the peak to a hundredth of it at the last step."""
    if step < schedule.warmup_steps:
        return schedule.learning_rate * (step + 1) / schedule.warmup_steps
    share = (step - schedule.warmup_steps) / max(schedule.steps - schedule.warmup_steps, 1)
    return schedule.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


def to_images(pictures: Tensor) -> Tensor:
    """NxHxWx3 uint8 RGB to N3HW float32 in [-1, 1], channels last."""
    return pictures.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
