"""Similarity transforms and the warp that cuts a crop with them, without aliasing and without shift.

A transform is 2x3 float32 and named by direction (`source_to_crop`); pixel centres lie at integer coordinates.
Where a face's transform comes from is templates.py's business; blending a crop back is the pipeline's.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .points import Points

BORDERS = {
    "replicate": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "constant": cv2.BORDER_CONSTANT,
}
"""What stands outside the frame: its edge pixels drawn out (default), its mirror picture, or one value."""

_SAMPLES_PER_PIXEL = 0.75
"""Samples per source pixel (along a side) below which the grid is made finer: a bilinear sample spans two pixels."""
_MAX_FACTOR = 16
"""Finest grid, in samples per crop pixel along a side: bounds time and memory."""


class SimilarityParams(NamedTuple):
    """A similarity transform as four numbers that may be averaged and filtered."""

    log_scale: float
    """Natural logarithm of the scale."""
    angle: float
    """Rotation in radians, positive from x to y (clockwise on screen)."""
    tx: float
    """Shift in x, target pixels."""
    ty: float
    """Shift in y, target pixels."""


def warp_crop(
    image: npt.NDArray[Any],
    source_to_crop: Points,
    size_px: int,
    *,
    border: str = "replicate",
    border_value: float = 0.0,
    keeps_fractions: bool = False,
) -> npt.NDArray[Any]:
    """Cut a square crop out of a picture.

    Where the crop is smaller than what it shows, each of its pixels is the mean over its footprint: the crop
    is sampled on a grid k times as fine and averaged, with k such that hardly a source pixel is skipped.

    Args:
        image: HxW or HxWxC (C to 4), uint8, uint16, float32 or float64.
        source_to_crop: 2x3 similarity transform from the picture's pixels to the crop's.
        size_px: side of the crop.
        border: a key of BORDERS.
        border_value: the value outside the picture for border="constant".
        keeps_fractions: do not round the means.

    Returns:
        size_px x size_px (x C) of the picture's dtype, or float32 where fractions are kept.
    """
    factor = min(max(1, math.ceil(_SAMPLES_PER_PIXEL / max(scale_of(source_to_crop), 1e-6))), _MAX_FACTOR)
    # Pixel centre x of the crop is at (x + 0.5) * factor - 0.5 of the finer grid.
    to_fine = np.array([[factor, 0.0, (factor - 1) / 2], [0.0, factor, (factor - 1) / 2]])
    fine = cv2.warpAffine(
        image,
        compose(to_fine, source_to_crop).astype(np.float64),
        (size_px * factor, size_px * factor),
        flags=cv2.INTER_LINEAR,
        borderMode=BORDERS[border],
        borderValue=(border_value,) * 4,
    )
    if keeps_fractions:
        fine = np.asarray(fine, np.float32)
    if factor == 1:
        return np.asarray(fine)
    return np.asarray(cv2.resize(fine, (size_px, size_px), interpolation=cv2.INTER_AREA))


def scale_of(transform: Points) -> float:
    """Return by how much a 2x3 affine transform enlarges, along a side: the root of its area's factor."""
    (a, b, _), (c, d, _) = transform.tolist()
    return math.sqrt(abs(a * d - b * c))


def invert(transform: Points) -> Points:
    """Return the 2x3 float32 transform that undoes a 2x3 affine `transform`.

    Raises:
        ValueError: the transform flattens the plane and cannot be undone.
    """
    (a, b, x), (c, d, y) = np.asarray(transform, np.float64).tolist()  # plain numbers, see `compose`
    determinant = a * d - b * c
    if determinant == 0 or not math.isfinite(determinant):
        raise ValueError(f"the transform {[[a, b, x], [c, d, y]]} has no inverse.")
    rows = (d, -b, b * y - d * x), (-c, a, c * x - a * y)
    return np.array([[value / determinant for value in row] for row in rows], np.float32)


def seen_by(transform: Points, size_px: int) -> tuple[float, float, float, float]:
    """Return the left, top, right and bottom, in source pixels, of what a square crop of a side of `size_px` shows.

    Args:
        transform: 2x3 `source_to_crop`.
        size_px: side of the crop.

    Raises:
        ValueError: the transform has no inverse.
    """
    (a, b, x), (c, d, y) = invert(transform).tolist()
    left, right = sorted((0.0, a * size_px))
    above, below = sorted((0.0, b * size_px))
    first, last = sorted((0.0, c * size_px))
    top, bottom = sorted((0.0, d * size_px))
    return x + left + above, y + first + top, x + right + below, y + last + bottom


def compose(outer: npt.ArrayLike, inner: npt.ArrayLike) -> Points:
    """Return the 2x3 float32 transform that applies `inner` first, then `outer` (both 2x3)."""
    # Plain numbers: for six of them NumPy takes several times as long, and this is done for every plane of every face.
    (a, b, tx), (c, d, ty) = np.asarray(outer, np.float64).tolist()
    (e, f, ux), (g, h, uy) = np.asarray(inner, np.float64).tolist()
    first = a * e + b * g, a * f + b * h, a * ux + b * uy + tx
    second = c * e + d * g, c * f + d * h, c * ux + d * uy + ty
    return np.array([first, second], np.float32)


def transform_points(transform: Points, points: Points) -> Points:
    """Apply a 2x3 transform to points.

    Args:
        transform: 2x3.
        points: ...x2 (x, y) in the transform's source frame.

    Returns:
        ...x2 float32 in its target frame.
    """
    matrix = np.asarray(transform, np.float64)
    return (np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def params(transform: Points) -> SimilarityParams:
    """Take a 2x3 similarity transform apart."""
    (a, _, tx), (b, _, ty) = np.asarray(transform, np.float64)
    return SimilarityParams(0.5 * math.log(a * a + b * b), math.atan2(b, a), float(tx), float(ty))


def from_params(values: SimilarityParams) -> Points:
    """Build the 2x3 float32 similarity transform of `params`."""
    a = math.exp(values.log_scale) * math.cos(values.angle)
    b = math.exp(values.log_scale) * math.sin(values.angle)
    return np.array([[a, -b, values.tx], [b, a, values.ty]], np.float32)
