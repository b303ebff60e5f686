"""Small image operations that masks are refined with: ramps, box filters, a guided filter. Knows no faces."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def smoothstep(values: Floats, low: float, high: float) -> Floats:
    """0 up to `low`, 1 from `high` on, and smooth in between; falling where `high` is below `low`."""
    ramp = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(ramp * ramp * (np.float32(3) - np.float32(2) * ramp), np.float32)


def resized(picture: npt.NDArray[np.float32] | npt.NDArray[np.uint8], side: int) -> Floats:
    """A square picture (SxS or SxSxC) at another size, float32; shrinking to half and less takes the mean."""
    while picture.shape[0] > side and picture.shape[0] % (2 * side) == 0:  # several times as fast as all at once
        picture = _halved(picture)
    if picture.shape[0] == side:
        return np.asarray(picture, np.float32)
    method = cv2.INTER_AREA if 2 * side <= picture.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side, side), interpolation=method), np.float32)


def _halved(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    half = picture.shape[0] // 2
    # Interpolation in the middle of four is their mean, too; of floats in three channels it is the faster one.
    is_slow = picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.float32
    method = cv2.INTER_LINEAR if is_slow else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, (half, half), interpolation=method))


def soft(mask: Floats, sigma_px: float) -> Floats:
    """Blur with a Gaussian; what lies beyond the border is taken to go on as it is there."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), np.float32)


def guided(guide: Floats, mask: Floats, radius_px: int, noise_levels: float) -> Floats:
    """Fit a soft mask to the edges of a picture.

    Around every pixel the mask is taken to be a line in the guide's three colours: where the picture has an edge the
    mask gets the same one, elsewhere it stays soft. He, Sun and Tang, "Guided Image Filtering", ECCV 2010, section 3.5;
    the lines are found at half the size, as in He and Sun, "Fast Guided Filter", 2015.

    Args:
        guide: SxSx3 float32 in [0, 255].
        mask: SxS float32 in [0, 1].
        radius_px: half a window's side.
        noise_levels: contrast of the guide below which there is no edge.

    Returns:
        SxS float32 in [0, 1].
    """
    side = guide.shape[0]
    half = max(side // 2, 1)
    lines = _lines(resized(guide, half), resized(mask, half), max(radius_px // 2, 1), noise_levels)
    *slopes, fitted = (resized(of, side) for of in lines)
    for channel, slope in zip(_channels(guide), slopes, strict=True):
        slope *= channel
        fitted += slope
    return np.clip(fitted, 0, 1, out=fitted)


def _channels(picture: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The channels of a picture, each by itself: a third of the time that OpenCV takes to split it."""
    return [np.asarray(cv2.extractChannel(picture, i)) for i in range(picture.shape[2])]


def _lines(guide: Floats, mask: Floats, radius_px: int, noise_levels: float) -> list[Floats]:
    """Three slopes and the offset (SxS each) of the plane in colour space that the mask is around each pixel."""
    r, g, b = _channels(guide)
    products = (r * r, g * g, b * b, r * g, r * b, g * b, r * mask, g * mask, b * mask)
    means = [_box(of, radius_px) for of in (r, g, b, mask, *products)]
    mean_r, mean_g, mean_b, mean_mask, *squares, to_r, to_g, to_b = means
    floor = np.float32(noise_levels**2)
    rr, gg, bb = (of - m * m + floor for of, m in zip(squares[:3], (mean_r, mean_g, mean_b), strict=True))
    rg, rb, gb = squares[3] - mean_r * mean_g, squares[4] - mean_r * mean_b, squares[5] - mean_g * mean_b
    to_r, to_g, to_b = to_r - mean_r * mean_mask, to_g - mean_g * mean_mask, to_b - mean_b * mean_mask
    # The symmetric 3x3 system, solved by Cramer's rule for all pixels at once.
    in_rr, in_gg, in_bb = gg * bb - gb * gb, rr * bb - rb * rb, rr * gg - rg * rg
    in_rg, in_rb, in_gb = rb * gb - rg * bb, rg * gb - gg * rb, rg * rb - rr * gb
    norm = 1 / (rr * in_rr + rg * in_rg + rb * in_rb)
    slope_r = (in_rr * to_r + in_rg * to_g + in_rb * to_b) * norm
    slope_g = (in_rg * to_r + in_gg * to_g + in_gb * to_b) * norm
    slope_b = (in_rb * to_r + in_gb * to_g + in_bb * to_b) * norm
    offset = mean_mask - slope_r * mean_r - slope_g * mean_g - slope_b * mean_b
    return [_box(of, radius_px) for of in (slope_r, slope_g, slope_b, offset)]


def _box(of: Floats, radius_px: int) -> Floats:
    side = 2 * radius_px + 1
    return np.asarray(cv2.blur(of, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)
