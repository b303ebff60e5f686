"""Masks from part probabilities, and what one does to masks: grow, shrink, soften, harden, mix.

Batched tensor operations on N1HW float32 masks in [0, 1] of any device; each picture of a batch is treated by
itself. Knows no network and no landmarks.

`combine_parts` gives what `gen_mask` of zheng-yuwei/enhanced-UGATIT gives for one picture, and the same for
each picture of a batch (the original fails there).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from .parts import FacePart

MORPHOLOGY_RADIUS_PX = 2
"""Radius of the reference system's 5 x 5 elliptical kernel."""
SOFT_LOW = 0.3
"""Soft edge: values up to this are outside."""
SOFT_HIGH = 0.7
"""Soft edge: values from this on are inside."""


def part_mask(probabilities: Tensor, parts: Collection[FacePart]) -> Tensor:
    """Probability that a pixel belongs to any of some parts.

    Args:
        probabilities: N19HW float in [0, 1], summing to 1 over the parts.
        parts: the parts to add up; none gives an empty mask.

    Returns:
        N1HW float in [0, 1].
    """
    index = torch.tensor(sorted(parts), dtype=torch.long, device=probabilities.device)
    return probabilities.index_select(1, index).sum(dim=1, keepdim=True).clamp(0, 1)


def dilate(mask: Tensor, radius_px: int = MORPHOLOGY_RADIUS_PX) -> Tensor:
    """Take the largest value within a disc around each pixel (grey-scale dilation).

    What lies beyond the border never wins. The disc is OpenCV's MORPH_ELLIPSE of side 2 * radius_px + 1, as
    the union of the rectangles that fill it.
    """
    grown = [_rectangle_max(mask, half_height, half_width) for half_height, half_width in _disc(radius_px)]
    return torch.stack(grown).amax(dim=0)


def erode(mask: Tensor, radius_px: int = MORPHOLOGY_RADIUS_PX) -> Tensor:
    """Take the smallest value within the disc around each pixel (grey-scale erosion)."""
    return -dilate(-mask, radius_px)


def close_gaps(mask: Tensor, radius_px: int = MORPHOLOGY_RADIUS_PX) -> Tensor:
    """Dilate, then erode: fill dark spots smaller than the disc (grey-scale closing)."""
    return erode(dilate(mask, radius_px), radius_px)


def soft_edge(mask: Tensor, low: float = SOFT_LOW, high: float = SOFT_HIGH) -> Tensor:
    """Keep what lies between two values, raise what is above to 1, lower what is below to 0."""
    inside = torch.where(mask >= high, torch.ones_like(mask), mask)
    return torch.where(mask <= low, torch.zeros_like(mask), inside)


def harden(mask: Tensor, threshold: float = 0.5) -> Tensor:
    """Return 1 where the mask is at least `threshold`, else 0."""
    return (mask >= threshold).to(mask.dtype)


def mix(masks: Iterable[Tensor]) -> Tensor:
    """Union of masks of one shape: the largest value at each pixel."""
    return torch.stack(list(masks)).amax(dim=0)


def combine_parts(
    probabilities: Tensor,
    *,
    normal: Collection[FacePart] = (),
    dilated: Collection[FacePart] = (),
    eroded: Collection[FacePart] = (),
    is_soft: bool = True,
) -> Tensor:
    """Mask of parts some of which are taken larger or smaller than they are.

    Args:
        probabilities: N19HW float in [0, 1].
        normal: parts taken as they are.
        dilated: parts closed and then dilated.
        eroded: parts closed and then eroded.
        is_soft: soft edge; otherwise the mask is hard.

    Returns:
        N1HW float in [0, 1]: the union of the three.
    """
    union = mix(
        [
            part_mask(probabilities, normal),
            dilate(close_gaps(part_mask(probabilities, dilated))),
            erode(close_gaps(part_mask(probabilities, eroded))),
        ]
    )
    return soft_edge(union) if is_soft else harden(union)


def feather(mask: Tensor, sigma_px: float) -> Tensor:
    """Blur a mask with a Gaussian of the given standard deviation; the border's values continue outwards.

    Args:
        mask: N1HW float in [0, 1].
        sigma_px: 0 returns the mask itself.
    """
    if sigma_px <= 0:
        return mask
    radius = max(1, math.ceil(3 * sigma_px))
    offsets = torch.arange(-radius, radius + 1, dtype=mask.dtype, device=mask.device)
    kernel = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(mask, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).clamp(0, 1)


def _disc(radius_px: int) -> list[tuple[int, int]]:
    """Half height and half width of the rectangles whose union is the disc."""
    half_widths = [round(math.sqrt(radius_px**2 - dy**2)) for dy in range(radius_px + 1)]
    return [(dy, w) for dy, w in enumerate(half_widths) if dy == radius_px or half_widths[dy + 1] < w]


def _rectangle_max(mask: Tensor, half_height: int, half_width: int) -> Tensor:
    kernel_size = (2 * half_height + 1, 2 * half_width + 1)
    return F.max_pool2d(mask, kernel_size, stride=1, padding=(half_height, half_width))
