"""Light and tone of a restyled crop against its source: what must change so that the crop sits in its picture.

Both are measured on small pictures once per frame, and averaged over time before they are applied (render.py): the
flat areas of a style would show every jump. The light is one gain for the whole face; the tone is a slowly changing
shift that matters only where the mask lets the source through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .matting import resized
from .views import GROUND_SIDE_PX, Crop, Floats, Mask

_TONE_SIGMA_PX = 4.0
"""Reach of the comparison of tones, pixels of the small picture."""
_INNER_SHARE = 0.02
"""Weight of what lies under the mask, so that a material seen nowhere else has a tone at all."""
_LIGHT_FREE, _TINT_FREE = 0.18, 0.05
"""A style may lift a face's light and change its tint by so much (natural logarithms) without being corrected ..."""
_LIGHT_SHARE, _TINT_SHARE = 0.6, 0.6
"""... and of what goes beyond this share comes back."""
_MAX_LIGHT, _MAX_TINT = 0.4, 0.15
"""No correction is larger."""
_DARK_LEVELS = 8.0
"""Added to levels before they are divided: ratios of near-black mean little."""


@dataclass(frozen=True)
class Tones:
    """What brings a restyled crop into its picture."""

    gain: Floats
    """(3,) factors for red, green and blue."""
    shift: Floats | None
    """64x64x3 grey levels to add where the source shows; None where no one will ask for it."""


def measure_tones(
    styled: Crop | Floats,
    source: Crop,
    mask: Mask,
    ground: Floats,
    *,
    follows_light: bool = True,
    has_shift: bool = True,
) -> Tones:
    """Compare a restyled crop with its source.

    Args:
        styled: SxSx3 RGB in [0, 255].
        source: SxSx3 uint8 RGB.
        mask: SxS in [0, 1], how much of the restyled crop is shown.
        ground: 64x64xM in [0, 1], how much of each pixel is of which material; skin first where M > 1.
        follows_light: the style draws things in their own colours, so that the light on a face can be carried over.
        has_shift: find the shift, too; not every blend looks at it.
    """
    small_styled, small_source = (resized(of[..., :3], GROUND_SIDE_PX) for of in (styled, source))
    small_mask = resized(mask, GROUND_SIDE_PX)
    gain = np.ones(3, np.float32)
    if follows_light:
        skin = small_mask * (ground[..., 0] if ground.shape[2] > 1 else small_mask)
        gain = _light(small_styled, small_source, skin)
    if not has_shift:
        return Tones(gain, None)
    shift = _slow_shift(small_source - small_styled * gain, 1 - small_mask + np.float32(_INNER_SHARE), ground)
    return Tones(gain, shift)


def mean_tones(tones: Sequence[Tones]) -> Tones:
    """Average over the frames around one."""
    gain = np.asarray(np.mean([t.gain for t in tones], axis=0), np.float32)
    shifts = [t.shift for t in tones if t.shift is not None]
    return Tones(gain, np.asarray(np.mean(shifts, axis=0), np.float32) if shifts else None)


def _light(styled: Floats, source: Floats, weight: Floats) -> Floats:
    """Gains that carry a part of the scene's light over: what the style changes within its freedom stays."""
    total = float(weight.sum())
    if total < 1:
        return np.ones(3, np.float32)
    ours, theirs = ((of * weight[..., None]).sum((0, 1)) / total + _DARK_LEVELS for of in (source, styled))
    ratio = np.log(ours / theirs)
    light = float(ratio.mean())
    tint = ratio - light
    free_light = np.copysign(max(abs(light) - _LIGHT_FREE, 0), light)
    free_tint = tint * max(1 - _TINT_FREE / max(float(np.abs(tint).max()), 1e-6), 0)
    wanted_light = np.clip(_LIGHT_SHARE * free_light, -_MAX_LIGHT, _MAX_LIGHT)
    wanted_tint = np.clip(_TINT_SHARE * free_tint, -_MAX_TINT, _MAX_TINT)
    return np.asarray(np.exp(wanted_light + wanted_tint), np.float32)


def _slow_shift(difference: Floats, weight: Floats, ground: Floats) -> Floats:
    """Slow changes of a difference, each material by itself: skin does not shine into a wall, nor a shirt into a neck.

    Normalised convolution: Knutsson and Westin, "Normalized and differential convolution", CVPR 1993.
    """
    total = np.zeros_like(difference)
    share = np.full(difference.shape[:2], 1e-3, np.float32)
    for index in range(ground.shape[2]):
        material = ground[..., index]
        own = material * weight
        blurred = cv2.GaussianBlur(np.dstack([difference * own[..., None], own]), (0, 0), _TONE_SIGMA_PX)
        total += blurred[..., :3] * (material / (blurred[..., 3] + np.float32(1e-3)))[..., None]
        share += material
    return np.asarray(total / share[..., None], np.float32)
