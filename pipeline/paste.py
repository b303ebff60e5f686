"""Set a restyled crop back into its frame. Only pixels under the mask change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import Points
from alignment.warp import compose, invert, transform_points

from .frames import Frame
from .plane_paste import paste_planes

Mask = npt.NDArray[np.float32]


class Canvas(Protocol):
    """A picture that takes regions of RGB under a mask."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def paste_rgb(self, x0: int, y0: int, rgb: npt.NDArray[np.float32], mask: Mask) -> None:
        """Blend HxWx3 float32 in [0, 255] into the region that starts at (x0, y0), in place."""
        ...


@dataclass(frozen=True)
class Region:
    """The rectangle of a frame that a face was pasted into."""

    x0: int
    """Left edge, pixels of the displayed frame."""
    y0: int
    """Top edge."""
    mask: Mask
    """HxW float32 in [0, 1], what was pasted how strongly."""


def paste_face(canvas: Canvas, crop: npt.NDArray[np.float32], mask: Mask, source_to_crop: Points) -> Region | None:
    """Warp a crop back and blend it in.

    Args:
        canvas: the frame, changed in place.
        crop: SxSx3 float32 RGB in [0, 255].
        mask: SxS float32 in [0, 1] in crop space, opacity included.
        source_to_crop: 2x3 similarity from frame to crop pixels.

    Returns:
        Where it was pasted, or None when nothing of the mask lies inside the frame.
    """
    if isinstance(canvas, Frame):
        touched = paste_planes(canvas, crop, mask, source_to_crop)
        return None if touched is None else Region(*touched)
    bounds = _bounds(mask, source_to_crop, canvas.size_wh)
    if bounds is None:
        return None
    x0, y0, x1, y1 = bounds
    to_crop = compose(source_to_crop, np.array([[1, 0, x0], [0, 1, y0]], np.float32))
    # A face smaller than its crop is shrunk first: sampling alone would skip pixels and shimmer in motion.
    shrink = int(np.hypot(to_crop[0, 0], to_crop[1, 0]))
    if shrink >= 2:
        size = crop.shape[0]
        side = size // shrink
        crop, mask = (
            np.asarray(cv2.resize(a, (side, side), interpolation=cv2.INTER_AREA), np.float32) for a in (crop, mask)
        )
        ratio = side / size  # not 1 / shrink where that does not divide the side
        to_crop = compose(np.array([[ratio, 0, ratio / 2 - 0.5], [0, ratio, ratio / 2 - 0.5]], np.float32), to_crop)
    size_wh = x1 - x0, y1 - y0
    cubic, linear = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    rgb = cv2.warpAffine(crop, to_crop, size_wh, flags=cubic, borderMode=cv2.BORDER_REPLICATE)
    alpha = np.asarray(cv2.warpAffine(mask, to_crop, size_wh, flags=linear, borderMode=cv2.BORDER_CONSTANT), np.float32)
    canvas.paste_rgb(x0, y0, np.clip(rgb, 0, 255).astype(np.float32, copy=False), alpha)
    return Region(x0, y0, alpha)


def _bounds(mask: Mask, source_to_crop: Points, size_wh: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The rectangle of the frame that the non-zero part of the mask can reach."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    left, right, top, bottom = columns[0] - 1, columns[-1] + 1, rows[0] - 1, rows[-1] + 1
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float32)
    seen = transform_points(invert(source_to_crop), corners)
    low = np.maximum(np.floor(seen.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(seen.max(0)).astype(int) + 1, size_wh)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
