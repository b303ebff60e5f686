"""Smaller views of a frame's planes, straight from their samples: the whole made small, or an aligned crop.

What is not seen is not converted: the cost goes by the size of the view, hardly by that of the frame. Knows no colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import Points
from alignment.warp import compose, invert, scale_of, transform_points, warp_crop

Plane = npt.NDArray[Any]

HALVE_BELOW = 0.375
"""Scale below which a plane is halved before it is warped: sampling it finely enough would cost more."""
_REACH_PX = 4
"""Samples around a crop that its edge may need."""


class CropWish(NamedTuple):
    """An aligned crop that is wanted of a frame's planes: the arguments of `crop_planes`."""

    planes: Sequence[Plane]
    """Those that hold colours."""
    source_to_crop: Points
    """2x3 similarity."""
    size_px: int
    """Side of the crop."""
    chroma_shifts: tuple[int, int]
    """Of all planes but the first."""


def shrink(plane: Plane, size_wh: tuple[int, int]) -> Plane:
    """Return a plane (HxW) made smaller: halved as often as it goes, then interpolated.

    That is several times faster than to take the mean of what every sample covers, and hardly less smooth.

    Args:
        plane: uint8 or uint16.
        size_wh: no larger than the plane.
    """
    while _is_twice(plane, size_wh) and all(side % 2 == 0 for side in plane.shape):
        plane = _halved(plane)
    if plane.shape[::-1] == size_wh:
        return plane
    method = cv2.INTER_AREA if _is_twice(plane, size_wh) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, size_wh, interpolation=method))


def _is_twice(plane: Plane, size_wh: tuple[int, int]) -> bool:
    return bool(plane.shape[1] >= 2 * size_wh[0] and plane.shape[0] >= 2 * size_wh[1])


def _halved(plane: Plane) -> Plane:
    return np.asarray(
        cv2.resize(plane, (plane.shape[1] // 2, plane.shape[0] // 2), interpolation=cv2.INTER_AREA), plane.dtype
    )


def crop_planes(
    planes: Sequence[Plane], source_to_crop: Points, size_px: int, chroma_shifts: tuple[int, int]
) -> list[Plane]:
    """Cut an aligned crop out of each plane.

    Args:
        planes: one full-size plane and two of chroma, or any number of full size where `chroma_shifts` is (0, 0).
        source_to_crop: 2x3 similarity from the first plane's pixels to the crop's; beyond the planes, edges repeat.
        size_px: side of the crop.
        chroma_shifts: log2 of the chroma's subsampling in x and y, sited as chroma.py says.

    Returns:
        size_px x size_px float32 samples of each; every pixel the mean over what it shows, not rounded.
    """
    chroma_to_crop = compose(source_to_crop, chroma_to_luma(chroma_shifts))
    return [_crop(planes[0], source_to_crop, size_px)] + [_crop(plane, chroma_to_crop, size_px) for plane in planes[1:]]


def chroma_to_luma(chroma_shifts: tuple[int, int]) -> Points:
    """Return the 2x3 from the pixels of chroma planes to those of the first one."""
    step_x, step_y = 1 << chroma_shifts[0], 1 << chroma_shifts[1]
    left = 0.0 if step_x == 2 else (step_x - 1) / 2  # subsampled by two, it sits on the left pixel of its pair
    return np.array([[step_x, 0, left], [0, step_y, (step_y - 1) / 2]], np.float32)


def _crop(plane: Plane, to_crop: Points, size_px: int) -> Plane:
    """Warp one plane; where the crop is much smaller than what it shows, what it shows is halved first."""
    while 0 < scale_of(to_crop) < HALVE_BELOW:
        x0, y0, x1, y1 = even_bounds(plane.shape, to_crop, size_px)
        if x1 - x0 < 2 or y1 - y0 < 2:
            break
        plane = _halved(plane[y0:y1, x0:x1])
        to_crop = compose(to_crop, np.array([[2, 0, x0 + 0.5], [0, 2, y0 + 0.5]]))
    return warp_crop(plane, to_crop, size_px, keeps_fractions=True)


def even_bounds(size_hw: tuple[int, ...], to_crop: Points, size_px: int) -> tuple[int, int, int, int]:
    """The part of a plane that a crop sees, with some room, an even number of rows and columns: x0, y0, x1, y1."""
    height, width = size_hw
    corners = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]], np.float32)
    seen = transform_points(invert(to_crop), corners)
    low = np.clip(np.floor(seen.min(0)) - _REACH_PX, 0, (max(width - 2, 0), max(height - 2, 0))).astype(int) // 2 * 2
    high = np.clip(np.ceil(seen.max(0)) + _REACH_PX, low + 2, (width, height)).astype(int)
    sides = (high - low) // 2 * 2
    return int(low[0]), int(low[1]), int(low[0] + sides[0]), int(low[1] + sides[1])
