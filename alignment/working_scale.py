"""The size a detector works at: shrink or enlarge a frame to a given short side, and bring coordinates back.

Does not find anything itself.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

MAX_ENLARGEMENT = 4.0
"""Frames are not enlarged by more than this: below it there is no face to find, only a big blur to search."""

MAX_WORKING_PIXELS = 4_000_000
"""Pixels of the working picture at most, so that a very long and narrow frame cannot fill the memory."""


def resize_short_side(frame: npt.NDArray[np.uint8], short_side_px: int) -> tuple[npt.NDArray[np.uint8], Any]:
    """Resize a frame so that its shorter side has `short_side_px` pixels.

    Args:
        frame: HxWx3 or HxW uint8.
        short_side_px: shorter side of the result, as far as MAX_ENLARGEMENT and MAX_WORKING_PIXELS allow.

    Returns:
        The resized picture and the (2,) float64 factors (x, y): working size / frame size.
    """
    height, width = frame.shape[:2]
    largest = min(MAX_ENLARGEMENT, (MAX_WORKING_PIXELS / (height * width)) ** 0.5)
    scale = min(short_side_px / min(height, width), largest)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    scale_xy = np.array([size_wh[0] / width, size_wh[1] / height])
    if size_wh == (width, height):
        return frame, scale_xy
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, size_wh, interpolation=method), np.uint8), scale_xy


def to_frame(points: npt.ArrayLike, scale_xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Bring points of the working picture back to the frame.

    Args:
        points: ...x2 (x, y) in working pixels, pixel centres at integer coordinates.
        scale_xy: the factors of `resize_short_side`.

    Returns:
        ...x2 float32 in frame pixels, pixel centres at integer coordinates.
    """
    return ((np.asarray(points, np.float64) + 0.5) / scale_xy - 0.5).astype(np.float32)
