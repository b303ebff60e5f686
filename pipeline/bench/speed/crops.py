"""Crops of the demo's face, as a conversion would cut them: what generators are measured on."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from model import to_tensor

from ..clips import FACE_XY, draw, true_transform

_FACE_HALF_HEIGHT = 56.0  # in pixels of the portrait
_REACH = 1.35  # half a crop's side in half heights of a face
_KINDS = ("plain", "noisy", "dark")


def face_crops(size_px: int, count: int = 4) -> Tensor:
    """Cut the demo's face out of its clip, in turn as a good camera sees it, with noise, and in low light.

    Args:
        size_px: side of the crops.
        count: how many; the first is always the same.

    Returns:
        N3SS float32 in [-1, 1].
    """
    crops = []
    for number in range(count):
        kind, index = _KINDS[number % len(_KINDS)], 7 * number
        move = true_transform("plain", index)
        middle, zoom = move[:, :2] @ np.array(FACE_XY) + move[:, 2], float(np.hypot(*move[:, 0]))
        scale = size_px / (2 * _REACH * _FACE_HALF_HEIGHT * zoom)
        place = np.array([[scale, 0, size_px / 2 - scale * middle[0]], [0, scale, size_px / 2 - scale * middle[1]]])
        crops.append(cv2.warpAffine(draw(kind, index), place, (size_px, size_px), flags=cv2.INTER_AREA))
    return to_tensor(np.stack(crops).astype(np.uint8))
