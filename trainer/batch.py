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

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, from which copies to a CUDA device do not wait."""
        return dataclasses.replace(self, a=_pinned(self.a), b=_pinned(self.b))


def _pinned(domain: DomainBatch) -> DomainBatch:
    return dataclasses.replace(domain, **{name: value.pin_memory() for name, value in _tensors(domain).items()})


def _tensors(domain: DomainBatch) -> dict[str, Tensor]:
    values = {f.name: getattr(domain, f.name) for f in dataclasses.fields(domain)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _moved(domain: DomainBatch, device: torch.device) -> DomainBatch:
    moved = {
        name: value.to(device, memory_format=torch.channels_last, non_blocking=True)
        for name, value in _tensors(domain).items()
    }
    return dataclasses.replace(domain, **moved)
