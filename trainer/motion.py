"""Small camera motions as tensors: random shift, zoom and turn of pictures, and where the result is known.

Used by the losses that compare a picture with the same picture moved. Moves tensors; knows no networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class MotionRange:
    """How far pictures are moved at most; each motion is drawn evenly from -most to most."""

    shift: float = 0.04
    """Over the picture's side."""
    zoom: float = 0.06
    """Natural logarithm of the scale."""
    turn_deg: float = 5.0
    """Degrees."""


def draw_motions(count: int, motions: MotionRange, generator: torch.Generator | None = None) -> Tensor:
    """Draw one similarity per picture.

    Args:
        count: N.
        motions: how far at most.
        generator: on the CPU; None takes torch's own.

    Returns:
        Nx2x3 float32 on the CPU, target to source, in units of half a side from the middle (`affine_grid`'s, with
        `align_corners=False`).
    """
    draws = torch.rand(count, 4, generator=generator) * 2 - 1
    scale = torch.exp(draws[:, 0] * motions.zoom)
    angle = draws[:, 1] * math.radians(motions.turn_deg)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    x, y = (draws[:, 2:] * (2 * motions.shift)).unbind(1)
    return torch.stack([torch.stack([cos, -sin, x], 1), torch.stack([sin, cos, y], 1)], 1)


def move(images: Tensor, grid: Tensor) -> Tensor:
    """Resample pictures; beyond the border the border goes on.

    Args:
        images: NCHW, any float type.
        grid: NHW2 float32 of `sampling_grid`.

    Returns:
        NCHW float32, channels last.
    """
    moved = F.grid_sample(images.float(), grid, mode="bicubic", padding_mode="border", align_corners=False)
    return moved.contiguous(memory_format=torch.channels_last)


def sampling_grid(motions: Tensor, images: Tensor) -> Tensor:
    """Where each pixel of the moved pictures comes from: NHW2 float32 on the device of `images` (NCHW)."""
    motions = motions.to(images.device, non_blocking=True)
    return F.affine_grid(motions, list(images.shape), align_corners=False)


def known_pixels(grid: Tensor, margin: float) -> Tensor:
    """Which pixels are inside, here and where they come from: away from every border by a share of half a side.

    Args:
        grid: NHW2 of `sampling_grid`.
        margin: 0 is the border, 1 the middle.

    Returns:
        N1HW float32, 0 or 1.
    """
    height, width = grid.shape[1:3]
    inside = (grid.abs().amax(-1) < 1 - margin).unsqueeze(1)
    rows, columns = (_away_from_ends(size, margin, grid.device) for size in (height, width))
    return (inside & rows[:, None] & columns).float()


def _away_from_ends(size: int, margin: float, device: torch.device) -> Tensor:
    places = (torch.arange(size, device=device) * 2 + 1) / size - 1
    return places.abs() < 1 - margin
