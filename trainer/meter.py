"""Means of losses between two ticks, gathered on the device: reading them is the one moment that waits for it."""

from __future__ import annotations

import torch

from .distributed import Team
from .steps import StepResult


class LossMeter:
    """Sums losses up; steps that were skipped do not count."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._names: list[str] = []
        self._sums = torch.zeros(0, device=device)
        self._count = torch.zeros((), device=device)

    def add(self, result: StepResult) -> None:
        """Take the losses of a step in."""
        values = torch.stack([loss.float() for loss in result.losses.values()])
        names = list(result.losses)
        if names != self._names:  # a term may come or go in the middle of a run
            self._names, self._sums = names, torch.zeros_like(values)
            self._count.zero_()
        self._sums += torch.where(result.is_finite, values, 0.0)
        self._count += result.is_finite

    def take(self, team: Team) -> dict[str, float]:
        """Return the means by name and begin anew; every process must ask.

        Without any step that counts they are NaN.
        """
        *sums, count = torch.cat([self._sums, self._count[None]]).tolist()
        self._sums.zero_()
        self._count.zero_()
        together = team.gather((sums, count))
        total = sum(count for _, count in together)
        means = [
            sum(values) / total if total else float("nan") for values in zip(*(s for s, _ in together), strict=True)
        ]
        return dict(zip(self._names, means, strict=True))
