"""What is done to a picture before a network sees it: size, square cut, mirror, background; pure functions of arrays.

The chances are drawn here from a generator that the caller seeds. Knows no files and no partners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .picture_files import Picture

MAX_ENLARGEMENT = 1.125
"""How much larger than the cut a picture may be made before it is cut at a random place."""

Pixels = npt.NDArray[np.uint8]
"""HxW or HxWxC uint8: a picture or its masks."""


@dataclass(frozen=True)
class Geometry:
    """How a picture is cut to a square: the same on a picture, its masks and its partner of a pair."""

    scale: float = 1.0
    """Length of the short side in sides of the cut, at least 1."""
    left: float = 0.5
    """Where the cut lies, as a share of the width that is free; 0.5 is the middle."""
    top: float = 0.5
    is_mirrored: bool = False


CENTRED = Geometry()
"""The largest square in the middle."""


def draw_geometry(rng: np.random.Generator, *, flip: float, crop_chance: float) -> Geometry:
    """Draw how a picture is cut; takes the same number of random values whatever comes out."""
    is_mirrored, is_cut, scale, left, top = rng.random(5)
    if is_cut >= crop_chance:
        return Geometry(is_mirrored=bool(is_mirrored < flip))
    return Geometry(1 + (MAX_ENLARGEMENT - 1) * scale, left, top, bool(is_mirrored < flip))


def cut_square(pixels: Pixels, size_px: int, geometry: Geometry = CENTRED) -> Pixels:
    """Resize so that the short side fits, cut a square, and mirror it.

    A square of the size itself is untouched. Shrinking averages over areas, enlarging is bicubic.

    Args:
        pixels: HxW or HxWxC uint8.
        size_px: side of the square.
        geometry: where and how large.

    Returns:
        The same kind with H = W = `size_px`, contiguous.
    """
    resized = fit_short_side(pixels, max(size_px, round(size_px * geometry.scale)))
    top = round((resized.shape[0] - size_px) * geometry.top)
    left = round((resized.shape[1] - size_px) * geometry.left)
    cut = resized[top : top + size_px, left : left + size_px]
    return np.ascontiguousarray(cut[:, ::-1] if geometry.is_mirrored else cut)


def fit_short_side(pixels: Pixels, side_px: int) -> Pixels:
    """Resize HxW or HxWxC pixels so that the short side has the given length; the long one at least that."""
    height, width = pixels.shape[:2]
    scale = side_px / min(height, width)
    size_wh = (max(side_px, round(width * scale)), max(side_px, round(height * scale)))
    if size_wh == (width, height):
        return pixels
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized: Any = cv2.resize(pixels, size_wh, interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8)


def shrink(picture: Picture, side_px: int) -> Picture:
    """Resize a picture whose short side is longer than `side_px` to that; keep others as they are."""
    return fit_short_side(picture, side_px) if min(picture.shape[:2]) > side_px else picture


def replace_background(picture: Picture, face: Pixels, colour: npt.NDArray[np.uint8]) -> Picture:
    """Put one colour where no face is.

    Args:
        picture: HxWx3 uint8 RGB.
        face: HxW uint8, 255 where the picture is kept.
        colour: (3,) uint8 RGB.
    """
    share = face[..., None].astype(np.float32) / 255
    return np.rint(picture * share + colour * (1 - share)).astype(np.uint8)


def to_mask(masks: Pixels) -> Tensor:
    """Turn NxHxW uint8 masks into an N1HW float32 tensor in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(masks[:, None])).float().div_(255)
