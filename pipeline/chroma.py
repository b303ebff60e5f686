"""Move chroma between its own grid and the luma grid, with the siting that the two have in a decoded frame.

Chroma subsampled by two is taken to sit on the left luma column of its pair (the default of MPEG-2, H.264, HEVC, VP9
and AV1), and vertically in the middle; by four, in the middle. Nothing here knows colours: planes are planes.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Shifts = tuple[int, int]
"""log2 of the chroma subsampling in x and y."""


def to_luma(plane: npt.NDArray[Any], box: tuple[int, int, int, int], shifts: Shifts) -> npt.NDArray[Any]:
    """Return a chroma plane, linearly interpolated, at the luma pixels of `box`.

    Args:
        plane: Whole chroma plane, hxw uint8 or uint16.
        box: x0, y0, x1, y1 in luma pixels, inside the frame.
        shifts: Subsampling of `plane`.

    Returns:
        (y1-y0)x(x1-x0) array of the plane's dtype.
    """
    x0, y0, x1, y1 = box
    if shifts == (0, 0):
        return plane[y0:y1, x0:x1]
    x_start, x_step, first_x, last_x = _axis(x0, x1, shifts[0], shifts[0] == 1, plane.shape[1])
    y_start, y_step, first_y, last_y = _axis(y0, y1, shifts[1], False, plane.shape[0])
    inverse = np.array([[x_step, 0, x_start - first_x], [0, y_step, y_start - first_y]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    part = np.ascontiguousarray(plane[first_y:last_y, first_x:last_x])
    return np.asarray(cv2.warpAffine(part, inverse, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _axis(start: int, stop: int, shift: int, is_left_sited: bool, size: int) -> tuple[float, float, int, int]:
    """Return (chroma position of `start`, step per luma pixel, first and last+1 chroma sample needed)."""
    step = 1.0 / (1 << shift)
    offset = 0.0 if is_left_sited else (step - 1) / 2
    first = max(0, int(np.floor(start * step + offset)))
    last = min(size, int(np.floor((stop - 1) * step + offset)) + 2)
    return start * step + offset, step, min(first, size - 1), max(last, min(first, size - 1) + 1)


def mean_pool(
    mask: Floats, origin: tuple[int, int], shifts: Shifts, frame_wh: tuple[int, int]
) -> tuple[Floats, tuple[int, int]]:
    """Return the mean of `mask` over the block of each chroma sample it touches.

    Args:
        mask: HxW float32 at luma pixels; outside of it the mask is 0.
        origin: Luma (x, y) of its first pixel.
        shifts: Subsampling of the chroma.
        frame_wh: Luma size of the frame: a block at the edge of an odd-sized one covers fewer pixels.

    Returns:
        The hxw float32 mean and the chroma (x, y) of its first sample.
    """
    blocks, corner = _blocks(mask, origin, shifts)
    rows, step_y, columns, step_x = blocks.shape
    num_x = np.minimum(step_x, frame_wh[0] - step_x * (corner[0] + np.arange(columns)))
    num_y = np.minimum(step_y, frame_wh[1] - step_y * (corner[1] + np.arange(rows)))
    return np.asarray(blocks.sum(axis=(1, 3)) / np.outer(num_y, num_x), np.float32), corner


def to_chroma(values: Floats, weights: Floats, origin: tuple[int, int], shifts: Shifts) -> Floats:
    """Return `values` at the chroma samples they touch: the weighted mean around each sample's place.

    Args:
        values: HxW float32 at luma pixels.
        weights: HxW float32, 0 where `values` mean nothing.
        origin: Luma (x, y) of the first pixel.
        shifts: Subsampling of the chroma.

    Returns:
        hxw float32 on the grid of `mean_pool`; 0 where the weights are.
    """
    if shifts == (0, 0):
        return values
    sums = _gather(_blocks(values * weights, origin, shifts)[0])
    norms = _gather(_blocks(weights, origin, shifts)[0])
    return np.asarray(np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0), np.float32)


def _gather(blocks: Floats) -> Floats:
    """Sum the pixels around each sample: its block, or 1-2-1 columns around a left-sited one."""
    columns = blocks.sum(axis=1)
    if columns.shape[2] != 2:
        return np.asarray(columns.sum(axis=2))
    sums = 2 * columns[:, :, 0] + columns[:, :, 1]
    sums[:, 1:] += columns[:, :-1, 1]
    return np.asarray(sums)


def _blocks(values: Floats, origin: tuple[int, int], shifts: Shifts) -> tuple[Floats, tuple[int, int]]:
    """Return `values` cut into chroma blocks, h x by x w x bx, zero-padded, and the chroma position of the first."""
    (x0, y0), (height, width) = origin, values.shape
    step_x, step_y = 1 << shifts[0], 1 << shifts[1]
    left, top = x0 % step_x, y0 % step_y
    right, bottom = -(x0 + width) % step_x, -(y0 + height) % step_y
    padded = np.pad(values, ((top, bottom), (left, right)))
    rows, columns = padded.shape[0] // step_y, padded.shape[1] // step_x
    return padded.reshape(rows, step_y, columns, step_x), (x0 // step_x, y0 // step_y)
