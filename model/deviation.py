"""How far an engine is from the style's own network in float32, measured on one fixed picture."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

MIN_PSNR_DB = 42.0
"""`auto` takes no engine that is further than this from fp32 on the test crop; video encoders stay below it."""
MAX_ERROR_LEVELS = 16.0
"""Nor one that is off by more than this many of 255 grey levels anywhere."""
MIN_INT8_PSNR_DB = 40.0
"""A quantised generator that is further than this from fp32 on real crops is not kept."""
PSNR_CEILING_DB = 150.0
"""Reported where there is no difference at all."""


class Deviation(NamedTuple):
    """The difference of two pictures."""

    max_error: float
    """Largest difference in 1/255 grey levels."""
    psnr_db: float
    """Similarity in dB of the full range."""
    mean_error: float
    """Mean absolute difference in 1/255 grey levels."""

    @property
    def is_small(self) -> bool:
        """Whether `auto` may take what differs so much."""
        return self.psnr_db >= MIN_PSNR_DB and self.max_error <= MAX_ERROR_LEVELS


def deviation(image: Tensor, wanted: Tensor) -> Deviation:
    """Compare two tensors in [-1, 1]; what is not finite counts as the full range."""
    difference = (image.double() - wanted.double()).abs().nan_to_num(nan=2, posinf=2)
    mean_square = difference.square().mean().item()
    psnr_db = 10 * math.log10(4 / mean_square) if mean_square else PSNR_CEILING_DB
    return Deviation(difference.max().item() * 127.5, min(psnr_db, PSNR_CEILING_DB), difference.mean().item() * 127.5)


def compare(image: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Largest difference in 1/255 grey levels, and PSNR in dB, of two tensors in [-1, 1] (see `deviation`)."""
    found = deviation(image, wanted)
    return found.max_error, found.psnr_db


def sample_crop(size_px: int) -> Tensor:
    """A fixed test crop, 1x3xSxS float32 in [-1, 1]: a bright oval before a dark gradient, with fine texture."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size_px)] * 2, indexing="ij")
    oval = torch.sigmoid(24 * (0.6 - torch.hypot(x / 0.8, y)))
    texture = 0.06 * torch.sin(97 * x * y + 31 * x) + 0.04 * torch.sin(151 * y)
    colours = torch.stack([0.7 * oval - 0.3, 0.5 * oval - 0.3 + 0.2 * x, 0.3 * oval - 0.4 + 0.3 * y])
    return (colours + texture).clamp(-1, 1).unsqueeze(0)
