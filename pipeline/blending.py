"""Part a head from its background before the generator, and fit it in again after it: no jump of tone at the edge."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .matting import resized, smoothstep, soft
from .tones import Tones
from .views import GROUND_SIDE_PX

Crop = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.float32]

BLENDS = ("feather", "poisson", "multiband")
"""Ways to fit a crop in, as `--blend` takes them."""

_CALM = 0.9
"""Share of the background's colour that is hidden from the generator."""
_OWN_FROM, _OWN_TO = 0.0, 1.0
"""Mask values between which the style's own tone takes over from the source's."""
_INNER_FROM, _INNER_TO = 0.5, 1.0
"""The same in `multiband`, of the mask at an octave's own size: the slower the tone, the further inside that is."""
_NUM_BANDS = 5
"""Octaves of detail that `multiband` treats apart."""
_TINY = np.float32(1e-6)


def calm_backdrop(crop: Crop, keeps: Mask) -> Crop:
    """Take most of the colour out of a crop's background before the generator sees it.

    Its instance norms see the whole crop: before a strongly coloured wall they would shift the skin's colour. What the
    background becomes does not matter, `fit_in` brings the source's tones back.

    Args:
        crop: SxSx3 uint8 RGB.
        keeps: SxS float32 in [0, 1], what keeps its colour.
    """
    luma = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    hidden = np.float32(_CALM) - keeps * np.float32(_CALM)
    return np.asarray(cv2.blendLinear(crop, luma, 1 - hidden, hidden), np.uint8)


def fit_in(styled: Floats, source: Crop, mask: Mask, tones: Tones, blend: str = "multiband") -> Floats:
    """Give a restyled crop the light of its picture, and the source's tone where the mask fades out.

    Args:
        styled: SxSx3 float32 RGB in [0, 255].
        source: SxSx3 uint8 RGB, the same crop before.
        mask: SxS float32 in [0, 1] to paste with.
        tones: what `measure_tones` found, averaged over time.
        blend: one of BLENDS. `multiband` lets the source's tones reach the further into the head the slower they are;
            `feather` shifts slow tones in the mask's soft edge only; `poisson` carries the shift along the edge into
            the whole head, as a membrane.

    Returns:
        SxSx3 float32 RGB to paste under the mask.
    """
    lit = np.asarray(cv2.transform(styled, np.diag(tones.gain)), np.float32)
    if blend == "multiband":
        return _multiband(lit, source, mask)
    if tones.shift is None:
        raise ValueError(f"the blend {blend!r} needs the shift of the tones.")
    if blend == "poisson":
        lit += resized(_membrane(tones.shift, resized(mask, GROUND_SIDE_PX)), styled.shape[0])
        return lit
    lets_through = 1 - smoothstep(mask, _OWN_FROM, _OWN_TO)
    lit += resized(tones.shift, styled.shape[0]) * cv2.merge([lets_through] * 3)
    return lit


def _membrane(shift: Floats, mask: Mask) -> Floats:
    """Continue the shift from outside the mask into it as smoothly as can be: a coarse solution of Laplace's equation.

    Known values are pulled down a pyramid and pushed up into the gaps: Gortler et al., "The Lumigraph", SIGGRAPH 1996,
    section 3.4. That a smooth shift of the edge's differences is what gradient-domain blending adds: Perez et al.,
    "Poisson Image Editing", SIGGRAPH 2003, section 2.
    """
    known = smoothstep(mask, _OWN_TO, _OWN_FROM)
    levels = [(shift * known[..., None], known)]
    while levels[-1][1].shape[0] > 2:
        values, weight = (resized(of, of.shape[0] // 2) for of in levels[-1])
        full = np.minimum(4 * weight, 1)
        levels.append((values * (full / np.maximum(weight, _TINY))[..., None], full))
    filled = np.asarray(levels[-1][0] / np.maximum(levels[-1][1], _TINY)[..., None], np.float32)
    for values, weight in reversed(levels[:-1]):
        filled = np.asarray(values + resized(filled, len(weight)) * (1 - weight)[..., None], np.float32)
    return soft(filled, 1.0)


def _multiband(styled: Floats, source: Crop, mask: Mask) -> Floats:
    """Take every octave of detail from the restyled crop, the slower ones from further inside the mask only.

    Burt and Adelson, "A Multiresolution Spline With Application to Image Mosaics", 1983, with masks that shrink towards
    the inside, so that nothing beyond the mask changes. The finest detail is the style's up to the mask's edge, so that
    only what is taken away from the slower octaves is put together, at half the crop's size, and added.
    """
    size = styled.shape[0]
    sides = [max(size >> octave, 2) for octave in range(1, _NUM_BANDS + 1)]
    rests, masks = [resized(styled, sides[0]) - resized(source, sides[0])], [resized(mask, sides[0])]
    for side in sides[1:]:
        rests.append(resized(rests[-1], side))
        masks.append(resized(masks[-1], side))
    inner = [np.asarray(cv2.merge([smoothstep(of, _INNER_FROM, _INNER_TO)] * 3), np.float32) for of in masks]
    shown = rests[-1] * inner[-1]
    for octave in reversed(range(_NUM_BANDS - 1)):
        band = rests[octave] - resized(rests[octave + 1], sides[octave])
        shown = resized(shown, sides[octave]) + band * resized(inner[octave + 1], sides[octave])
    return styled + resized(shown - rests[0], size)
