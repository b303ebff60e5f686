"""Keep broken crops off the screen: a generator's NaN, blank or outlying output is noticed before it is pasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

Crop = npt.NDArray[np.uint8]

MIN_SPREAD_LEVELS = 4.0
"""A crop whose standard deviation is below this is blank (a face never is)."""
MAX_TONE_JUMP_LEVELS = 48.0
"""How far a crop's mean colour may lie from its neighbours' when the source did not change."""
_STILL_SOURCE_LEVELS = 12.0


def is_blank(crop: Crop, source: Crop) -> bool:
    """Tell whether a restyled crop (HxWx3 uint8) shows next to nothing although its source shows something."""
    return _spread(crop) < MIN_SPREAD_LEVELS and _spread(source) >= MIN_SPREAD_LEVELS


def is_outlier(sources: Mapping[int, Crop], styled: Mapping[int, Crop], centre: int) -> bool:
    """Tell whether one crop's tone is far from those around it in its track, without a reason in the source.

    Args:
        sources: frame index -> source crop HxWx3 uint8.
        styled: frame index -> restyled crop, HxWx3 or with a mask behind it; at least three are needed for a verdict.
        centre: the frame in question.
    """
    others = [i for i in styled if i != centre]
    if len(others) < 2:
        return False
    return (
        _jump(styled, centre, others) > MAX_TONE_JUMP_LEVELS and _jump(sources, centre, others) < _STILL_SOURCE_LEVELS
    )


def _jump(crops: Mapping[int, Crop], centre: int, others: Sequence[int]) -> float:
    """How far one crop's mean colour lies from the usual one."""
    usual = np.median([_tone(crops[i]) for i in others], axis=0)
    return float(np.abs(_tone(crops[centre]) - usual).max())


def _tone(crop: Crop) -> npt.NDArray[np.float64]:
    """Mean colour of every fourth pixel of every fourth row."""
    size_wh = -(-crop.shape[1] // 4), -(-crop.shape[0] // 4)
    return np.array(cv2.mean(cv2.resize(crop, size_wh, interpolation=cv2.INTER_NEAREST))[:3])


def _spread(crop: Crop) -> float:
    """Standard deviation of all values."""
    return float(cv2.meanStdDev(crop.reshape(-1, 1))[1][0, 0])
