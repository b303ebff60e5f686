"""Find scene cuts in a stream of small grey pictures, without looking ahead.

A cut is a picture that no shift, no change of exposure and no fast but steady motion makes out of the ones before.
Slow transitions (fades, dissolves) are no cuts: nothing jumps in them.
"""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Thumbnail = npt.NDArray[np.uint8]
_Picture = npt.NDArray[np.float32]

_SHORT_SIDE_PX = 36
"""Pictures are compared at this size: large enough for where things are, small enough for noise to vanish."""
_MEMORY_FRAMES = 4
"""How many pictures back a picture may resemble: what a flash of so many frames hides is no new scene."""
_MIN_RESPONSE = 0.25
"""Peak of the phase correlation (0 to 1) above which two pictures are taken as shifted against each other."""
_MIN_DEVIATION = 4.0
"""Black, white and other even pictures have less: they resemble nothing and everything."""
_ACTIVITY_FRAMES = 8
"""Over how many frames the usual change is taken."""


class CutDetector:
    """Tells for each picture of a stream whether it starts a new scene."""

    def __init__(self, *, min_change: float = 0.35, min_mean_difference: float = 8.0, min_ratio: float = 2.5) -> None:
        """Start before the first picture.

        Args:
            min_change: 1 - correlation with the most similar picture before that a cut has at least, 0 to 2.
            min_mean_difference: mean grey difference (0 to 255) a cut has at least.
            min_ratio: how many times the usual change of the frames before a cut has at least.
        """
        self._min_change = min_change
        self._min_mean_difference = min_mean_difference
        self._min_ratio = min_ratio
        self._before: deque[_Seen] = deque(maxlen=_MEMORY_FRAMES)
        self._activity: deque[float] = deque(maxlen=_ACTIVITY_FRAMES)

    def update(self, thumbnail: Thumbnail) -> bool:
        """Take the next picture.

        Args:
            thumbnail: HxW uint8 grey; 64 px on the short side is plenty.

        Returns:
            True where this picture starts a new scene; False for the first of all. Another size is a new scene.
        """
        picture = _Seen.of(_prepare(thumbnail))
        if picture.deviation <= _MIN_DEVIATION:
            return False
        if not self._before or self._before[-1].pixels.shape != picture.pixels.shape:
            return self._start_anew(picture)
        change = min(_change(before, picture) for before in self._before)
        if self._is_cut(change, picture):
            return self._start_anew(picture)
        self._activity.append(change)
        self._before.append(picture)
        return False

    def _start_anew(self, picture: _Seen) -> bool:
        is_first = not self._before
        self._before.clear()
        self._activity.clear()
        self._before.append(picture)
        return not is_first

    def _is_cut(self, change: float, picture: _Seen) -> bool:
        if change < self._min_change:
            return False
        usual = float(np.median(self._activity)) if self._activity else 0.0
        difference = min(float(np.abs(before.pixels - picture.pixels).mean()) for before in self._before)
        return difference >= self._min_mean_difference and change >= self._min_ratio * usual


class _Seen(NamedTuple):
    """A picture and what every comparison with it needs."""

    pixels: _Picture
    deviations: _Picture
    """From the mean."""
    deviation: float
    """Their root mean square."""

    @classmethod
    def of(cls, pixels: _Picture) -> _Seen:
        """Take the figures of a picture."""
        deviations = pixels - pixels.mean()
        return cls(pixels, deviations, math.sqrt(float(np.vdot(deviations, deviations)) / pixels.size))


def _prepare(thumbnail: Thumbnail) -> _Picture:
    height, width = thumbnail.shape[:2]
    scale = _SHORT_SIDE_PX / min(height, width)
    size_wh = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(np.asarray(thumbnail, np.float32), size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 0.8), np.float32)


def _change(before: _Seen, picture: _Seen) -> float:
    """1 - correlation of two pictures, the second moved back by the shift that aligns them best."""
    still = _decorrelation(before, picture)
    if still < 0.1:
        return still
    window = _window(picture.pixels.shape)
    # On products, not on the pictures: given the window as an argument, OpenCV 5 writes into its inputs.
    (shift_x, shift_y), response = cv2.phaseCorrelate(before.pixels * window, picture.pixels * window)
    if response < _MIN_RESPONSE:
        return still
    return min(still, _change_after_shift(before.pixels, picture.pixels, round(shift_x), round(shift_y)))


@lru_cache(maxsize=8)
def _window(shape_hw: tuple[int, ...]) -> _Picture:
    return np.asarray(cv2.createHanningWindow(shape_hw[::-1], cv2.CV_32F), np.float32)


def _change_after_shift(before: _Picture, picture: _Picture, dx: int, dy: int) -> float:
    """The change, if the picture is the one before moved by (dx, dy) pixels; what came into view counts as change."""
    height, width = picture.shape
    x0, x1, y0, y1 = max(dx, 0), width + min(dx, 0), max(dy, 0), height + min(dy, 0)
    share = max(x1 - x0, 0) * max(y1 - y0, 0) / (height * width)
    if share < 0.3:
        return 1.0
    both = before[y0 - dy : y1 - dy, x0 - dx : x1 - dx], picture[y0:y1, x0:x1]
    return float(1.0 - share * (1.0 - _decorrelation(*map(_Seen.of, both))))


def _decorrelation(a: _Seen, b: _Seen) -> float:
    covariance = float(np.vdot(a.deviations, b.deviations)) / a.pixels.size
    return 1.0 - covariance / max(a.deviation * b.deviation, 1.0)
