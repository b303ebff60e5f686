"""One batch: the pictures of a step, as tensors. Made by data.py, used by the steps; knows no files and no losses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DomainBatch:
    """The pictures of one domain."""

    real: Tensor
    """N3HW float32 in [-1, 1]."""
    blurred: Tensor | None = None
    """N3HW: `real` with its edges blurred, shown to the discriminators as fakes; with blur_negatives only."""
    face: Tensor | None = None
    """N1HW float32 in [0, 1]: share of each pixel of `real` that is face; with masks only."""
    core: Tensor | None = None
    """N1HW: the same, eroded, and without glasses and mouth if those are kept; the background loss holds outside it."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The pictures of one step. A and B belong together only where `is_paired`."""

    a: DomainBatch
    b: DomainBatch
    is_paired: bool = False
    """Picture i of A and of B show the same, moved alike: the supervised warm start."""

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device, channels last; from pinned memory the copies do not wait."""
        return dataclasses.replace(self, a=_moved(self.a, device), b=_moved(self.b, device))


def _moved(domain: DomainBatch, device: torch.device) -> DomainBatch:
    moved = {
        f.name: value.to(device, memory_format=torch.channels_last, non_blocking=True)
        for f in dataclasses.fields(domain)
        if isinstance(value := getattr(domain, f.name), Tensor)
    }
    return dataclasses.replace(domain, **moved)
