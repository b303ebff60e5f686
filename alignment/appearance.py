"""What a face looks like, in a few numbers: enough to tell the people of one scene apart while they pass each other.

It compares faces over seconds, under the same light. Whether two pictures show one person is identity.py's question.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from .points import Points
from .templates import CropTemplate, scaled_template, source_to_crop
from .warp import warp_crop

Signature = npt.NDArray[np.float16]

_TEMPLATE: CropTemplate = scaled_template("signature", 0.85)
"""Brow to chin with some hair above and beside it."""

_CROP_PX = 24
_PATTERN_PX = 12
_COLOUR_PX = 3
_COLOUR_WEIGHT = 6.0
_LIGHT_WEIGHT = 1.0

SAME_FACE = 0.9
"""Distance below which two faces of a scene look alike: 99 % of the pairs half a second apart in four clips of talking
people are below it (95 %: 0.9, 0.3, 0.3, 0.3), and 2 % of the pairs of different people from 60 portraits."""

OTHER_FACE = 1.2
"""Distance above which they look like different people: so are 80 % of the pairs of portraits (median 1.45)."""


def signature(picture: npt.NDArray[np.uint8], landmarks: Points) -> Signature:
    """Describe a face by its light and dark pattern, its colours and its brightness.

    Args:
        picture: HxWx3 uint8 RGB that holds the face.
        landmarks: Kx2 (x, y) in its pixels, K in {5, 68, 152}.

    Returns:
        (163,) float16; compare with `distance`, average with `mean_signature`.
    """
    transform = source_to_crop(landmarks, _TEMPLATE, _CROP_PX)
    four = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)  # which OpenCV warps several times as fast as three
    crop = np.asarray(warp_crop(four, transform, _CROP_PX)[..., :3], np.float32) / 255
    light = crop @ np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601 luma
    pattern = _shrunk(np.asarray(light, np.float32), _PATTERN_PX)
    pattern = pattern - pattern.mean()
    pattern /= max(float(np.linalg.norm(pattern)), 0.2)
    colours = _shrunk(np.stack([crop[..., 0] - light, crop[..., 2] - light], axis=-1), _COLOUR_PX)
    weighted = [pattern.ravel(), _COLOUR_WEIGHT / _COLOUR_PX * colours.ravel(), [_LIGHT_WEIGHT * light.mean()]]
    return np.concatenate(weighted).astype(np.float16)


def _shrunk(picture: npt.NDArray[np.float32], size_px: int) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA), np.float32)


def distance(a: Signature, b: Signature) -> float:
    """Tell how different two faces look: 0 for the same picture, about 1.4 for patterns that have nothing in common."""
    return float(np.linalg.norm(a.astype(np.float32) - b.astype(np.float32)))


def mean_signature(signatures: Sequence[Signature]) -> Signature:
    """Average some signatures of one face, N >= 1 of (163,) float16, element by element; outliers count little."""
    return np.asarray(np.median(np.stack(signatures).astype(np.float32), axis=0), np.float16)
