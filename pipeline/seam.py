"""How visible the border of a mask is in the result: the seam.

Seam excess = mean along the mask's border of |slope of brightness across the border| in the result, less the same in
the source, in grey levels per pixel of a head 256 px large. 0 means that the border shows as much as what was there
before.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]

MAX_SIDE_PX = 256
"""Regions are looked at no larger than this: the excess then means the same for small and large faces."""
_SIGMA_PX = 1.0


def seam_excess(source: Picture, result: Picture, mask: Mask) -> float:
    """Measure one region.

    Args:
        source: HxW or HxWx3 uint8 before pasting.
        result: the same after it.
        mask: HxW float32 in [0, 1] that was pasted with.

    Returns:
        Grey levels per pixel; 0.0 where the mask has no border.
    """
    excess, length = seam_sums(*(_measured(of) for of in (_grey(source), _grey(result), mask)))
    return excess / length if length > 0 else 0.0


def seam_sums(source: Picture | Floats, result: Picture | Floats, mask: Mask) -> tuple[float, float]:
    """Sum the excess along the border, and the border's weight; the pictures are HxW, at the measured size."""
    across_x, across_y = _slopes(mask)
    weight = np.hypot(across_x, across_y)
    norm = 1 / np.maximum(weight, np.float32(1e-6))
    normal_x, normal_y = across_x * norm, across_y * norm
    ours, theirs = (np.abs(x * normal_x + y * normal_y) for x, y in map(_slopes, (source, result)))
    return float(((theirs - ours) * weight).sum()), float(weight.sum())


def _slopes(picture: Picture | Floats) -> tuple[Floats, Floats]:
    """Slope in x and y per pixel of a slightly blurred picture."""
    blurred = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), _SIGMA_PX)
    x, y = (cv2.Sobel(blurred, cv2.CV_32F, dx, 1 - dx, ksize=1, scale=0.5) for dx in (1, 0))
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _grey(picture: Picture) -> Picture:
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _measured(picture: Picture | Mask) -> Floats:
    height, width = picture.shape
    scale = min(1.0, MAX_SIDE_PX / max(height, width))
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.float32)
