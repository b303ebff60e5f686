"""Part a head from its background before the generator, and fit it in again after it: no jump of tone at the edge."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Crop = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.float32]

_REACH = 0.055
"""How far the paste mask reaches beyond the head (to its half), as a share of the side: drawn outlines lie there."""
_SMALL_SIDE_PX = 64
"""Tones are compared on crops of this size: only slow changes matter."""
_TONE_SIGMA_PX = 4.0
"""Width of the comparison on them."""


_CALM = 0.9
"""Share of the background's colour that is hidden from the generator."""


def calm_backdrop(crop: Crop, head: Mask) -> Crop:
    """Take most of the colour out of a crop's background before the generator sees it.

    Its instance norms see the whole crop: before a strongly coloured wall they would shift the skin's colour. What the
    background becomes does not matter, `match_surroundings` brings the source's tones back.

    Args:
        crop: SxSx3 uint8 RGB.
        head: SxS float32 in [0, 1], what keeps its colour.
    """
    luma = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    keeps = 1.0 - _CALM * (1.0 - head[..., None])
    return np.asarray(np.rint(luma + (crop - luma) * keeps), np.uint8)


def fit_in(styled: Floats, source: Crop, head: Mask) -> tuple[Floats, Mask]:
    """Prepare a restyled crop for pasting.

    Args:
        styled: SxSx3 float32 RGB in [0, 255].
        source: SxSx3 uint8 RGB, the same crop before.
        head: SxS float32 in [0, 1], what shall change; zero along the border.

    Returns:
        The crop with the source's tones outside the head, and the mask to paste it with: the head and a soft rim
        around it. All float32.
    """
    return match_surroundings(styled, source, head), widen(head)


def widen(head: Mask) -> Mask:
    """Grow a soft mask by a soft rim; it stays zero along the crop's border."""
    side = head.shape[0]
    half = cv2.resize(head, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    grown = np.minimum(cv2.GaussianBlur(half, (0, 0), _REACH * side / 2) * 2.5, 1.0)
    grown = np.asarray(cv2.resize(grown, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(np.maximum(grown, head) * _inside(side), np.float32)


def match_surroundings(styled: Floats, source: Crop, head: Mask) -> Floats:
    """Give a restyled crop the source's slow changes of tone outside the head; its lines and flat areas stay.

    Only differences outside the head count, so that the style's skin and hair do not shine into the background
    (normalised convolution, Knutsson and Westin, "Normalized and differential convolution", CVPR 1993).
    """
    side = styled.shape[0]
    small = _SMALL_SIDE_PX, _SMALL_SIDE_PX
    outside = 1.0 - cv2.resize(head, small, interpolation=cv2.INTER_AREA)[..., None]
    difference = cv2.resize(source.astype(np.float32) - styled, small, interpolation=cv2.INTER_AREA) * outside
    blurred = cv2.GaussianBlur(np.concatenate([difference, outside], axis=2), (0, 0), _TONE_SIGMA_PX)
    shift = blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-3)
    slow = cv2.resize(shift, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(styled + slow * (1.0 - head[..., None]), np.float32)


@lru_cache(maxsize=8)
def _inside(side: int) -> Mask:
    """SxS float32: 1, falling to 0 towards the border."""
    ramp = np.minimum(np.arange(side), np.arange(side)[::-1]) / (0.08 * side)
    smooth = np.clip(ramp - 0.15, 0.0, 1.0)
    return np.asarray(np.minimum(smooth[:, None], smooth[None, :]), np.float32)
