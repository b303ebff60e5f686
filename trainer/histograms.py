"""Give a picture the histogram of another, channel by channel, in RGB, HSV or HSL.

Which pictures meet, and how often, is decided in data.py.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .picture_files import Picture

_CODES = {
    "rgb": None,
    "hsv": (cv2.COLOR_RGB2HSV_FULL, cv2.COLOR_HSV2RGB_FULL),
    "hsl": (cv2.COLOR_RGB2HLS_FULL, cv2.COLOR_HLS2RGB_FULL),
}


def match_histogram(picture: Picture, reference: Picture, *, space: str = "rgb", ratio: float = 1.0) -> Picture:
    """Give a picture the histogram of another.

    The target distribution is a blend of both pictures' cumulative distributions, not of their pixels, as in
    zheng-yuwei/enhanced-UGATIT; each level moves to the first that reaches its share in the target. Hue counts as
    linear. scikit-image's `match_histograms` interpolates between levels and truncates: with `ratio` 1 it gives the
    same but for one or two grey levels, and it knows no ratio.

    Args:
        picture: HxWx3 uint8 RGB, to be changed.
        reference: the same of any size.
        space: `rgb`, `hsv` or `hsl`: the channels that are matched.
        ratio: 0 keeps the picture's own distribution, 1 takes the reference's.

    Returns:
        HxWx3 uint8 RGB.
    """
    codes = _CODES[space]
    if codes is None:
        return match_channels(picture, reference, ratio)
    there, back = codes
    matched = match_channels(cv2.cvtColor(picture, there), cv2.cvtColor(reference, there), ratio)  # type: ignore[arg-type]
    return np.asarray(cv2.cvtColor(matched, back), dtype=np.uint8)


def match_channels(picture: Picture, reference: Picture, ratio: float = 1.0) -> Picture:
    """Match each channel by itself, whatever the channels mean."""
    channels = [_match(picture[..., c], reference[..., c], ratio) for c in range(picture.shape[2])]
    return np.stack(channels, axis=-1)


def _match(source: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8], ratio: float) -> npt.NDArray[np.uint8]:
    own, other = _distribution(source), _distribution(reference)
    table = np.searchsorted(own + ratio * (other - own), own).clip(0, 255).astype(np.uint8)
    matched: npt.NDArray[np.uint8] = table[source]
    return matched


def _distribution(channel: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Share of pixels up to each of the 256 levels."""
    counts = np.bincount(channel.ravel(), minlength=256)
    shares: npt.NDArray[np.float64] = np.cumsum(counts) / channel.size
    return shares
