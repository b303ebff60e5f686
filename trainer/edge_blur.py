"""Blur a picture along its edges: what a discriminator shall learn to call no drawing (CartoonGAN, section 3.2.1).

Decides nothing about when such pictures are shown.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .picture_files import Picture

_CANNY_LOW = 100
_CANNY_HIGH = 200
_SIDE_PX = 5


def edge_blur(picture: Picture, grey: npt.NDArray[np.uint8] | None = None) -> Picture:
    """Blur a picture near its edges and nowhere else.

    As `generate_blur_images` of zheng-yuwei/enhanced-UGATIT, but rounded where that truncates (half a level darker).

    Args:
        picture: HxWx3 uint8 RGB (or BGR, with `grey`).
        grey: HxW uint8 in which edges are sought; default: the picture's luma.
    """
    if grey is None:
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    edges = cv2.dilate(cv2.Canny(grey, _CANNY_LOW, _CANNY_HIGH), np.ones((_SIDE_PX, _SIDE_PX), np.uint8))
    blurred = cv2.GaussianBlur(picture, (_SIDE_PX, _SIDE_PX), 0)
    return np.where(edges[..., None] > 0, blurred, picture).astype(np.uint8)
