"""Optical flow between two grey pictures, and fetching pixels along it. One method for steadying and for measuring."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
_T = TypeVar("_T", np.uint8, np.float32)
_GRID_STEP_PX = 64
"""Grids are kept in multiples of this size."""


class FlowEstimator:
    """Dense inverse search in its fastest preset.

    Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016.
    """

    def __init__(self) -> None:
        self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def __call__(self, here: Grey, there: Grey) -> Flow:
        """Return HxWx2 float32: where each pixel of `here` (HxW uint8) lies in `there`, relative, in pixels (x, y)."""
        return np.asarray(self._method.calc(here, there, None), np.float32)  # type: ignore[call-overload]


def warp_by_flow(picture: npt.NDArray[_T], flow: Flow) -> npt.NDArray[_T]:
    """Fetch each pixel from where the flow (HxWx2, pixels, this frame to the other) says that it is in `picture`."""
    return np.asarray(_fetch(picture, flow), picture.dtype)


def round_trip(back: Flow, forth: Flow) -> npt.NDArray[np.float32]:
    """Length in pixels (HxW) of going along one flow and home along the other: large where a pixel is occluded."""
    error = back + np.asarray(_fetch(forth, back), np.float32)
    return np.asarray(np.hypot(error[..., 0], error[..., 1]), np.float32)


def _fetch(picture: npt.NDArray[np.uint8] | Flow, flow: Flow) -> cv2.typing.MatLike:
    height, width = flow.shape[:2]
    places = flow + grid(0, 0, width, height)
    moved: cv2.typing.MatLike = cv2.remap(  # type: ignore[call-overload]
        picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved


def grid(left: int, top: int, right: int, bottom: int) -> Flow:
    """Column and row (x, y) of every pixel of a box, HxWx2; shared, not to be written to."""
    return _grid(_GRID_STEP_PX * -(-bottom // _GRID_STEP_PX), _GRID_STEP_PX * -(-right // _GRID_STEP_PX))[
        top:bottom, left:right
    ]


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> Flow:
    """Column and row of every pixel; the same for every pair of crops."""
    places = np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))
    places.setflags(write=False)
    return places
