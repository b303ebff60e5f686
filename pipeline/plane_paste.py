"""Set a crop into the planes of a frame: colours are converted at the crop's size, and each plane is warped by itself.

A crop has fewer pixels than the place it comes from in a large frame, and its chroma fewer still, so this costs a
fraction of warping RGB and converting it there. Samples under no mask stay bit-equal.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import Points
from alignment.warp import compose, invert, transform_points

from .frames import Frame, Plane
from .orientation import Orientation
from .plane_views import chroma_to_luma

Floats = npt.NDArray[np.float32]
Shifts = tuple[int, int]

_ENLARGED_BELOW = 0.8
"""A crop is enlarged smoothly before it is sampled where its pixels are larger than this many of the frame's."""
_SHRUNK_ABOVE = 1.25
"""Chroma is averaged before it is sampled where that makes it smaller by more than this factor."""
_FINER = 1.4
"""Samples of averaged chroma per sample that is taken, along a side."""
_COARSE_MASK_BELOW = 0.75
"""Crop pixels per frame pixel below which a mask, which is soft, is sampled once per 2x2 pixels."""
_MARGIN_PX = 4
"""Pixels of the crop around the mask that the filters look at."""


class _Box(NamedTuple):
    """A part of a frame in coded pixels, the last column and row not included."""

    x0: int
    y0: int
    x1: int
    y1: int


def paste_planes(frame: Frame, crop: Floats, mask: Floats, source_to_crop: Points) -> tuple[int, int, Floats] | None:
    """Blend a crop into a frame, in place.

    Args:
        frame: of any layout and orientation.
        crop: SxSx3 float32 RGB in [0, 255].
        mask: SxS float32 in [0, 1] in crop space, opacity included.
        source_to_crop: 2x3 similarity from displayed to crop pixels.

    Returns:
        Left and top of what was touched, displayed pixels, and its HxW mask; None where nothing of it lies inside.
    """
    to_crop = _from_coded(frame.orientation, source_to_crop, frame.coded_wh)
    layout = frame.layout
    shifts = (layout.chroma_shift_x, layout.chroma_shift_y) if layout.kind == "yuv" else (0, 0)
    seen = cv2.boundingRect((mask > 0).view(np.uint8))
    box = _touched(seen, to_crop, frame.coded_wh, shifts)
    if box is None:
        return None
    part, to_part = _cut_out(seen, len(mask))
    samples = frame.samples_of_rgb(np.clip(crop[part], 0, 255))
    to_crop = compose(to_part, to_crop)
    alpha, chroma_alpha = _masks(mask[part], to_crop, box, shifts)
    top = (1 << layout.bit_depth) - 1
    for index, plane in enumerate(samples):
        is_chroma = layout.kind == "yuv" and index > 0
        here = _subsampled(box, shifts) if is_chroma else box
        place = compose(to_crop, chroma_to_luma(shifts)) if is_chroma else to_crop
        warped = _chroma_warp(plane, place, here) if is_chroma else _warp(plane, place, here)
        _mix(
            frame.planes[index][here.y0 : here.y1, here.x0 : here.x1], warped, chroma_alpha if is_chroma else alpha, top
        )
    return _displayed(frame, box, alpha)


def _from_coded(orientation: Orientation, display_to_crop: Points, coded_wh: tuple[int, int]) -> Points:
    """The 2x3 from coded pixels to crop pixels where `display_to_crop` begins at displayed ones."""
    origin, right, down = (
        np.array(orientation.coded_box(x, y, x + 1, y + 1, *coded_wh)[:2]) for x, y in ((0, 0), (1, 0), (0, 1))
    )
    display_to_coded = np.column_stack([right - origin, down - origin, origin]).astype(np.float32)
    return compose(display_to_crop, invert(display_to_coded))


def _touched(seen: cv2.typing.Rect, to_crop: Points, coded_wh: tuple[int, int], shifts: Shifts) -> _Box | None:
    """The part of the frame that the mask can reach, in whole chroma samples."""
    x, y, columns, rows = seen
    if columns == 0:
        return None
    left, top, right, bottom = x - 1, y - 1, x + columns, y + rows
    corners = transform_points(
        invert(to_crop), np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float32)
    )
    low = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, coded_wh)
    if (high <= low).any():
        return None
    low = low >> shifts << shifts
    high = np.minimum(-(-high >> shifts) << shifts, coded_wh)
    return _Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def _cut_out(seen: cv2.typing.Rect, size: int) -> tuple[tuple[slice, slice], Points]:
    """Rows and columns of the crop that are needed, and the 2x3 from the crop to them."""
    x, y, columns, rows = seen
    left, top = max(x - _MARGIN_PX, 0), max(y - _MARGIN_PX, 0)
    part = np.s_[top : min(y + rows + _MARGIN_PX, size), left : min(x + columns + _MARGIN_PX, size)]
    return part, np.array([[1, 0, -left], [0, 1, -top]], np.float32)


def _subsampled(box: _Box, shifts: Shifts) -> _Box:
    """The same part on the chroma's grid."""
    (x, y), (x0, y0, x1, y1) = shifts, box
    return _Box(x0 >> x, y0 >> y, -(-x1 >> x), -(-y1 >> y))


def _masks(mask: Floats, to_crop: Points, box: _Box, shifts: Shifts) -> tuple[Floats, Floats]:
    """The mask at the pixels of a part of the frame, and its mean at the chroma samples there."""
    width, height = box.x1 - box.x0, box.y1 - box.y0
    if shifts != (1, 1) or _scale(to_crop) > _COARSE_MASK_BELOW or width % 2 or height % 2:
        alpha = _sampled(*_shrunk(mask, to_crop, _scale(to_crop), 2), box, cv2.BORDER_CONSTANT)
        return alpha, _block_means(alpha, shifts)
    middles = np.array([[2, 0, 0.5], [0, 2, 0.5]], np.float32)
    coarse = _sampled(mask, compose(to_crop, middles), _subsampled(box, shifts), cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.float32), coarse


def _block_means(alpha: Floats, shifts: Shifts) -> Floats:
    if shifts == (0, 0):
        return alpha
    height, width = alpha.shape
    step_x, step_y = 1 << shifts[0], 1 << shifts[1]
    columns, rows = -(-width // step_x), -(-height // step_y)
    # Where the frame ends within a block, the rest of it is taken to go on as it is.
    padded = np.pad(alpha, ((0, rows * step_y - height), (0, columns * step_x - width)), "edge")
    return np.asarray(cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def _scale(to_crop: Points) -> float:
    """Crop pixels per frame pixel, along a side."""
    return float(np.hypot(to_crop[0, 0], to_crop[1, 0]))


def _warp(plane: Floats, to_crop: Points, box: _Box) -> Floats:
    """Sample a full plane of the crop smoothly at the pixels of `box`."""
    scale = _scale(to_crop)
    if scale < _ENLARGED_BELOW:
        factor = 2 if scale > 0.3 else 4
        height, width = plane.shape
        plane = np.asarray(
            cv2.resize(plane, (factor * width, factor * height), interpolation=cv2.INTER_CUBIC), np.float32
        )
        return _sampled(plane, _scaled(to_crop, factor, factor), box, cv2.BORDER_REPLICATE)
    plane, to_crop = _shrunk(plane, to_crop, scale, 2)
    return _sampled(plane, to_crop, box, cv2.BORDER_REPLICATE, cv2.INTER_CUBIC)


def _chroma_warp(plane: Floats, to_crop: Points, box: _Box) -> Floats:
    """Sample a chroma plane of the crop at the samples of `box`, without aliasing."""
    # A little finer than the samples, as interpolating softens once more.
    return _sampled(*_shrunk(plane, to_crop, _scale(to_crop) / _FINER, _SHRUNK_ABOVE), box, cv2.BORDER_REPLICATE)


def _shrunk(plane: Floats, to_crop: Points, scale: float, limit: float) -> tuple[Floats, Points]:
    """A plane averaged where it is sampled sparsely: sampling alone would skip pixels and shimmer in motion."""
    if scale < limit:
        return plane, to_crop
    height, width = plane.shape
    size_wh = max(round(width / scale), 1), max(round(height / scale), 1)
    small = np.asarray(cv2.resize(plane, size_wh, interpolation=cv2.INTER_AREA), np.float32)
    return small, _scaled(to_crop, size_wh[0] / width, size_wh[1] / height)


def _scaled(to_crop: Points, x: float, y: float) -> Points:
    """The same transform to a crop that was resized."""
    return compose(np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5]], np.float32), to_crop)


def _sampled(plane: Floats, to_crop: Points, box: _Box, border: int, method: int = cv2.INTER_LINEAR) -> Floats:
    here = compose(to_crop, np.array([[1, 0, box.x0], [0, 1, box.y0]], np.float32))
    size_wh = box.x1 - box.x0, box.y1 - box.y0
    return np.asarray(
        cv2.warpAffine(plane, here, size_wh, flags=method | cv2.WARP_INVERSE_MAP, borderMode=border), np.float32
    )


def _mix(target: Plane, new: Floats, alpha: Floats, top: int) -> None:
    """Set target = target * (1 - alpha) + new * alpha, rounded and kept in [0, top], in place."""
    new -= target
    new *= alpha
    if target.dtype == np.uint8:
        cv2.add(target, new, dst=target, dtype=cv2.CV_8U)
        return
    new += target
    np.clip(np.rint(new, out=new), 0, top, out=new)
    np.copyto(target, new.astype(target.dtype), where=alpha > 0)


def _displayed(frame: Frame, box: _Box, alpha: Floats) -> tuple[int, int, Floats]:
    """Where a coded part is in the displayed frame, and its mask as displayed."""
    width, height = frame.coded_wh
    orientation = frame.orientation
    # The displayed corner is the one displayed pixel whose coded place is the matching corner of the box.
    origin, right, down = (
        np.array(orientation.coded_box(x, y, x + 1, y + 1, width, height)[:2]) for x, y in ((0, 0), (1, 0), (0, 1))
    )
    turn = np.column_stack([right - origin, down - origin])
    ends = np.array([[box.x0, box.y0], [box.x1 - 1, box.y1 - 1]]) - origin
    corner = (ends @ turn).min(axis=0)  # the inverse of a quarter turn is its transpose
    shown = np.ascontiguousarray(orientation.to_display(alpha), np.float32)
    return int(corner[0]), int(corner[1]), shown
