"""Steady a restyled face over time, in crop space: average each crop with its neighbours where nothing really moved.

A generator answers sensor noise with flicker. Each crop is averaged with those of the frames around it, brought over by
the optical flow of the *source* crops and weighted down wherever the sources disagree after that, so that motion does
not ghost. The window is finite and symmetric: no lag, and a result that does not depend on where a chunk begins.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from .flow import FlowEstimator, warp_by_flow

Crop = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.uint8]

RADIUS_FRAMES = 2
"""Frames on each side that are looked at."""

_FLOW_SIDE_PX = 128
_SPREAD_FRAMES = 1.5
"""Standard deviation of the weights over time."""
_NOISE_LEVELS = 7.0
"""Grey levels by which two sources may differ before their crops are no longer averaged."""


class TemporalBlend:
    """The average over a window of crops of one face, or of whole pictures."""

    def __init__(self, strength: float = 1.0, *, flow_side_px: int = _FLOW_SIDE_PX) -> None:
        """Set the weights up.

        Args:
            strength: 0 leaves every crop alone, 1 weighs the neighbours fully.
            flow_side_px: longer side of the pictures in which motion is looked for.
        """
        self.strength = strength
        self._flow = FlowEstimator()
        self._flow_side_px = flow_side_px

    def blend(self, sources: Mapping[int, Crop], styled: Mapping[int, Crop], centre: int) -> npt.NDArray[np.float32]:
        """Return the steadied crop of frame `centre`.

        Args:
            sources: frame index -> source crop HxWx3 uint8, at least `centre`.
            styled: frame index -> restyled crop of the same size, HxWxC (C to 4: a mask may be the fourth channel).
            centre: the frame wanted.

        Returns:
            HxWxC float32 in [0, 255].
        """
        total = styled[centre].astype(np.float32)
        neighbours = [i for i in styled if i != centre and i in sources and abs(i - centre) <= RADIUS_FRAMES]
        if self.strength == 0 or not neighbours:
            return total
        weight = np.ones((*total.shape[:2], 1), np.float32)
        here = _small_grey(sources[centre], self._flow_side_px)
        for i in neighbours:
            there = _small_grey(sources[i], self._flow_side_px)
            share = self.strength * float(np.exp(-0.5 * ((i - centre) / _SPREAD_FRAMES) ** 2))
            moved, agreement = self._bring_over(here, there, styled[i])
            total += moved * (agreement * share)
            weight += agreement * share
        return np.asarray(total / weight, np.float32)

    def _bring_over(
        self, here: Grey, there: Grey, crop: Crop
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The neighbour's crop moved onto this frame (HxWxC), and how far its source agrees, 0..1 (HxWx1)."""
        flow = self._flow(here, there)
        residual = cv2.absdiff(here, warp_by_flow(there, flow)).astype(np.float32)
        agreement = np.exp(-((cv2.blur(residual, (5, 5)) / _NOISE_LEVELS) ** 2))
        size_wh = crop.shape[1], crop.shape[0]
        scale_xy = np.array([crop.shape[1] / here.shape[1], crop.shape[0] / here.shape[0]], np.float32)
        flow = np.asarray(cv2.resize(flow, size_wh, interpolation=cv2.INTER_LINEAR) * scale_xy, np.float32)
        agreement = cv2.resize(agreement, size_wh, interpolation=cv2.INTER_LINEAR)
        return warp_by_flow(crop, flow).astype(np.float32), agreement[..., None]


def _small_grey(crop: Crop, side_px: int) -> Grey:
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = side_px / max(height, width)
    size_wh = max(16, round(width * scale)), max(16, round(height * scale))
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
