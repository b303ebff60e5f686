"""Faces that are hidden or on their way out: what stands before them, and the frame's edge that cuts them.

How much is hidden is counted in landmarks, so that a caller can say which share of a face is left.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import Points

from .landmark_data import Picture

_Floats = npt.NDArray[np.float64]


def cover(region: Picture, landmarks: Points, share: float, filling: Picture, rng: np.random.Generator) -> Picture:
    """Hide `share` of a face's landmarks behind half a plane, an ellipse or a rectangle.

    Args:
        region: SxSx3 uint8 RGB.
        landmarks: Kx2 pixels of the region.
        share: of the landmarks to hide, 0 to 1; above 1 hides their surroundings too.
        filling: SxSx3 what stands before the face.
        rng: dice.
    """
    depth, heights = _cover_depth(len(region), landmarks, rng)
    low = np.quantile(heights, max(1.0 - share, 0.0))
    low -= max(share - 1.0, 0.0) * float(np.ptp(heights))
    is_hidden = (depth >= low).astype(np.float32)
    if rng.random() < 0.7:
        is_hidden = np.asarray(cv2.GaussianBlur(is_hidden, (0, 0), rng.uniform(0.5, 2.0)), np.float32)
    mixed = region + (filling.astype(np.float32) - region) * is_hidden[..., None]
    return np.asarray(mixed + 0.5, np.uint8)


def _cover_depth(size: int, landmarks: Points, rng: np.random.Generator) -> tuple[_Floats, _Floats]:
    """A height over the region, and at the landmarks, whose level lines are edges of covers."""
    grid = np.arange(size, dtype=np.float64)
    turn, kind = rng.uniform(0, 2 * np.pi), rng.integers(3)
    middle = landmarks.mean(0) + rng.normal(0, 0.15, 2) * np.ptp(landmarks, axis=0)
    stretch = np.exp(rng.normal(0, 0.35))
    cos, sin = np.cos(turn), np.sin(turn)

    def height(x: _Floats, y: _Floats) -> _Floats:
        along, across = (x * cos + y * sin) * stretch, (y * cos - x * sin) / stretch
        if kind == 0:
            return np.asarray(x * cos + y * sin)
        far = np.hypot(along, across) if kind == 1 else np.maximum(np.abs(along), np.abs(across))
        return np.asarray(-far)

    offsets = landmarks - middle
    field = height(grid[None, :] - middle[0] + np.zeros((size, 1)), grid[:, None] - middle[1] + np.zeros((1, size)))
    return field, height(offsets[:, 0].astype(np.float64), offsets[:, 1].astype(np.float64))


def cut_off(
    picture: Picture, landmarks: Points, share: float, rng: np.random.Generator
) -> tuple[Picture, tuple[int, int]]:
    """Let the frame end so that `share` of the face's landmarks lie outside.

    Returns:
        What is left of the picture (at least 8 px), and the x, y of its first pixel.
    """
    axis, is_low = int(rng.integers(2)), bool(rng.random() < 0.5)
    length = picture.shape[1 - axis]
    line = float(np.quantile(landmarks[:, axis], share if is_low else 1.0 - share))
    if share > 1.0 - 1e-6:
        line += rng.uniform(0, 0.15) * float(np.ptp(landmarks[:, axis])) * (1 if is_low else -1)
    cut = int(np.clip(round(line), 8, max(length - 8, 8)))
    first, last = (cut, length) if is_low else (0, cut)
    left = picture[:, first:last] if axis == 0 else picture[first:last]
    return np.ascontiguousarray(left), ((first, 0) if axis == 0 else (0, first))
