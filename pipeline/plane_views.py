"""Smaller views of a frame's planes, straight from their samples: the whole made small, or an aligned crop.

What is not seen is not converted: the cost goes by the size of the view, hardly by that of the frame. Knows no colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import Points
from alignment.warp import compose, scale_of, seen_by

Plane = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

SMOOTHED_BELOW, HALVE_BELOW = 0.75, 0.375
"""Scales of a crop below which a plane is smoothed before it is warped, and below which it is halved before that."""
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
        size_px x size_px samples of each, every pixel the mean over about what it shows: in the planes' own dtype, or
        float32 that is not rounded where a plane that is alone in its geometry was smoothed.
    """
    chroma_to_crop = compose(source_to_crop, chroma_to_luma(chroma_shifts))
    return _crop(planes[:1], source_to_crop, size_px) + _crop(planes[1:], chroma_to_crop, size_px)


def chroma_to_luma(chroma_shifts: tuple[int, int]) -> Points:
    """Return the 2x3 from the pixels of chroma planes to those of the first one."""
    step_x, step_y = 1 << chroma_shifts[0], 1 << chroma_shifts[1]
    left = 0.0 if step_x == 2 else (step_x - 1) / 2  # subsampled by two, it sits on the left pixel of its pair
    return np.array([[step_x, 0, left], [0, step_y, (step_y - 1) / 2]], np.float32)


def _crop(planes: Sequence[Plane], to_crop: Points, size_px: int) -> list[Plane]:
    """Warp planes of one geometry; what the crop shows in less detail is averaged first."""
    parts = list(planes)
    while parts and 0 < scale_of(to_crop) < HALVE_BELOW:
        x0, y0, x1, y1 = even_bounds(parts[0].shape, to_crop, size_px)
        if x1 - x0 < 2 or y1 - y0 < 2:
            break
        parts = [_halved(part[y0:y1, x0:x1]) for part in parts]
        to_crop = compose(to_crop, np.array([[2, 0, x0 + 0.5], [0, 2, y0 + 0.5]]))
    if not parts:
        return []
    x0, y0, x1, y1 = bounds(parts[0].shape, to_crop, size_px)
    seen = [np.ascontiguousarray(part[y0:y1, x0:x1]) for part in parts]  # OpenCV merges others at a tenth of the speed
    kernels = smoothing_kernels(to_crop)
    if kernels is not None:
        seen = [_smoothed(part, kernels, keeps_fractions=len(seen) == 1) for part in seen]
    return _warped(seen, compose(to_crop, np.array([[1, 0, x0], [0, 1, y0]])), size_px)


def smoothing_kernels(to_crop: Points) -> tuple[Floats, Floats] | None:
    """Three weights in x and in y that make a plane as smooth as a crop shows it; None where it shows all there is.

    They have the variance of a pixel of the crop, a square. Sampled after that, planes are as sharp as means over those
    squares, within 2 %.
    """
    (a, b, _), (c, d, _) = to_crop.tolist()
    scale_x, scale_y = math.hypot(a, c), math.hypot(b, d)  # chroma is not always square
    if not 0 < min(scale_x, scale_y) < SMOOTHED_BELOW:
        return None
    return _kernel(scale_x), _kernel(scale_y)


def _kernel(scale: float) -> Floats:
    side = min(1 / (24 * max(scale, 0.1) ** 2), 1 / 3) if scale < SMOOTHED_BELOW else 0.0
    return np.array([side, 1 - 2 * side, side], np.float32)


def _smoothed(plane: Plane, kernels: tuple[Floats, Floats], *, keeps_fractions: bool) -> Plane:
    depth = cv2.CV_32F if keeps_fractions else -1
    return np.asarray(cv2.sepFilter2D(plane, depth, *kernels, borderType=cv2.BORDER_REPLICATE))


def _warped(parts: Sequence[Plane], to_crop: Points, size_px: int) -> list[Plane]:
    """Sample planes of one geometry, once per pixel of the crop; OpenCV warps four channels of bytes as fast as one."""
    joined = parts[0] if len(parts) == 1 else cv2.merge([*parts, *parts][:4])
    warped = cv2.warpAffine(
        joined,
        to_crop.astype(np.float64),
        (size_px, size_px),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return [np.asarray(warped)] if len(parts) == 1 else [cv2.extractChannel(warped, i) for i in range(len(parts))]


def even_bounds(size_hw: tuple[int, ...], to_crop: Points, size_px: int) -> tuple[int, int, int, int]:
    """The part of a plane that a crop sees, with some room, an even number of rows and columns: x0, y0, x1, y1."""
    x0, y0, x1, y1 = bounds(size_hw, to_crop, size_px)
    return x0, y0, x0 + (x1 - x0) // 2 * 2, y0 + (y1 - y0) // 2 * 2


def bounds(size_hw: tuple[int, ...], to_crop: Points, size_px: int) -> tuple[int, int, int, int]:
    """The part of a plane that a crop sees, with some room, from an even row and column on: x0, y0, x1, y1."""
    height, width = size_hw
    left, top, right, bottom = seen_by(to_crop, size_px)
    x0 = min(max(math.floor(left) - _REACH_PX, 0), max(width - 2, 0)) // 2 * 2
    y0 = min(max(math.floor(top) - _REACH_PX, 0), max(height - 2, 0)) // 2 * 2
    x1 = min(max(math.ceil(right) + _REACH_PX, x0 + 2), width)
    y1 = min(max(math.ceil(bottom) + _REACH_PX, y0 + 2), height)
    return x0, y0, x1, y1
