"""What the makers of masks hand on: a head as it is seen before the generator, and masks that are drawn, not parsed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import Points

from .geometry import FaceGeometry, face_geometry
from .matting import soft

Crop = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]

GROUND_SIDE_PX = 64
"""Side of the small pictures in which materials and tones are compared: only slow changes matter."""
_RIM = 0.055
"""How far a drawn mask reaches beyond the head (to its half), as a share of the side: drawn outlines lie there."""


@dataclass(frozen=True)
class HeadView:
    """A crop as the maker of its mask sees it before the generator has drawn anything."""

    keeps: Mask
    """SxS in [0, 1]: what keeps its colour when the generator is shown the crop; the rest is background."""
    shown: Mask
    """SxS or half of that, in [0, 1]: the head to be restyled, as filmed."""
    fade: Mask
    """Of the size of `shown`, in [0, 1]: how strongly the style shows; less down the neck and at the crop's border."""
    ground: Floats
    """64x64xM in [0, 1]: how much of each pixel is of which material (skin, hair, cloth, background), or M = 1."""
    area: Floats
    """64x64 in [0, 1]: inside the face's outline."""
    face: FaceGeometry
    """The face's axes and size."""
    trust: float = 1.0
    """0..1: how far `shown` is what a parser saw; the rest is drawn from the landmarks."""


class MaskMaker(Protocol):
    """Makes masks in two steps, before and after the generator, for several crops at once."""

    @property
    def name(self) -> str:
        """How masks are made, for reports."""
        ...

    def before(self, crops: Sequence[Crop], landmarks: Sequence[Points]) -> list[HeadView]:
        """Look at crops.

        Args:
            crops: N of SxSx3 uint8 RGB.
            landmarks: N of Kx2 float32, pixels of the crops.
        """
        ...

    def after(self, views: Sequence[HeadView], crops: Sequence[Crop], styled: Sequence[Crop]) -> list[Mask]:
        """Make the masks to paste with.

        Args:
            views: what `before` gave.
            crops: N of SxSx3 uint8 RGB, the same crops.
            styled: N of SxSx3 uint8 RGB, what the generator made of them.

        Returns:
            N of SxS float32 in [0, 1]; zero along the border.
        """
        ...


class DrawnMasks:
    """Masks that some function draws from crop and landmarks: a head and a soft rim around it, or a part of it."""

    def __init__(
        self,
        draw: Callable[[Crop, Points], Mask],
        name: str = "drawn",
        *,
        draw_part: Callable[[Crop, Points], Mask] | None = None,
    ) -> None:
        """Take the functions: (crop SxSx3 uint8, landmarks Kx2) -> SxS float32 in [0, 1].

        Args:
            draw: draws the head.
            name: for reports.
            draw_part: draws the part of the head that is shown, without a rim; None shows all of it.
        """
        self.name = name
        self._draw = draw
        self._draw_part = draw_part

    def before(self, crops: Sequence[Crop], landmarks: Sequence[Points]) -> list[HeadView]:
        """Draw the heads: see `MaskMaker`."""
        return [self._view(crop, points) for crop, points in zip(crops, landmarks, strict=True)]

    def after(self, views: Sequence[HeadView], crops: Sequence[Crop], styled: Sequence[Crop]) -> list[Mask]:
        """Give every head a rim: see `MaskMaker`."""
        return [widen(view.shown) if self._draw_part is None else view.shown for view in views]

    def _view(self, crop: Crop, landmarks: Points) -> HeadView:
        head, face = self._draw(crop, landmarks), face_geometry(landmarks)
        shown = head if self._draw_part is None else self._draw_part(crop, landmarks)
        area = soft(face.area(GROUND_SIDE_PX, crop.shape[0]), 1.5)
        return HeadView(
            head, shown, inside(crop.shape[0]), np.ones((GROUND_SIDE_PX, GROUND_SIDE_PX, 1), np.float32), area, face
        )


def widen(head: Mask) -> Mask:
    """Grow a soft mask (SxS in [0, 1]) by a soft rim; it is zero along the crop's border."""
    side = head.shape[0]
    half = cv2.resize(head, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    grown = np.minimum(cv2.GaussianBlur(half, (0, 0), _RIM * side / 2) * 2.5, 1.0)
    grown = np.asarray(cv2.resize(grown, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(np.maximum(grown, head) * inside(side), np.float32)


@lru_cache(maxsize=8)
def inside(side: int) -> Mask:
    """SxS float32: 1, falling to 0 towards the border: a head that is larger than its crop fades out there."""
    ramp = np.minimum(np.arange(side), np.arange(side)[::-1]) / (0.08 * side)
    smooth = np.clip(ramp - 0.15, 0.0, 1.0)
    return np.asarray(np.minimum(smooth[:, None], smooth[None, :]), np.float32)
