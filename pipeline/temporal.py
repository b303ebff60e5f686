"""Steady a restyled face over time, in crop space: average each crop with its neighbours where nothing really moved.

A generator answers sensor noise with flicker. Each crop is averaged with those of the frames around it, brought over by
the optical flow of the *source* crops and weighted down wherever the sources disagree after that, so that motion does
not ghost. The window is finite and symmetric: no lag, and a result that does not depend on where a chunk begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from .flow import Flow, FlowEstimator, enlarged_map, warp_by_flow

Crop = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

RADIUS_FRAMES = 2
"""Frames on each side that are looked at."""

_FLOW_SIDE_PX = 128
_SPREAD_FRAMES = 1.5
"""Standard deviation of the weights over time."""
_NOISE_LEVELS = 7.0
"""Grey levels by which two sources may differ before their crops are no longer averaged."""
_LEAST_SHARE = 0.01
"""A neighbour that nowhere gets this weight is left out."""
_STILL_PX = 1 / 32
"""Motion that is nowhere larger than this is none."""
_MARGIN_PX = 16
"""How far around everything that is shown crops are averaged: no further can a neighbour's mask be brought over."""
_MAX_KEPT = 8 * (2 * RADIUS_FRAMES + 1)
"""Crops of which the small grey pictures are kept until their neighbours have been there, too."""


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
        self._greys: dict[int, tuple[Crop, Grey]] = {}

    def blend(self, sources: Mapping[int, Crop], styled: Mapping[int, Crop], centre: int) -> Floats:
        """Return the steadied crop of frame `centre`.

        Args:
            sources: frame index -> source crop HxWx3 uint8, at least `centre`.
            styled: frame index -> restyled crop of the same size, HxWxC, C in {1, 3, 4}: a fourth channel is the mask,
                and far from where any of the masks is anything the crop stays as it is.
            centre: the frame wanted.

        Returns:
            HxWxC float32 in [0, 255].
        """
        total = styled[centre].astype(np.float32)
        neighbours = [i for i in styled if i != centre and i in sources and abs(i - centre) <= RADIUS_FRAMES]
        if self.strength == 0 or not neighbours:
            return total
        box = _shown_box([styled[i] for i in (centre, *neighbours)])
        mixed = np.ascontiguousarray(total[box])
        weight = np.ones(mixed.shape[:2], np.float32)
        for i in neighbours:
            share = self.strength * float(np.exp(-0.5 * ((i - centre) / _SPREAD_FRAMES) ** 2))
            flow, agreement = self._compared(self._grey(sources[centre]), self._grey(sources[i]))
            if share * float(agreement.max(initial=0)) < _LEAST_SHARE:
                continue
            size_wh = total.shape[1], total.shape[0]
            there = np.ascontiguousarray(cv2.resize(agreement * np.float32(share), size_wh)[box])
            mixed = np.asarray(cv2.blendLinear(mixed, _brought_over(styled[i], flow, box), weight, there), np.float32)
            weight += there
        total[box] = mixed
        return total

    def _compared(self, here: Grey, there: Grey) -> tuple[Flow, Floats]:
        """Motion between two small pictures, and how far they agree once it is taken out, 0..1."""
        flow = self._flow(here, there)
        residual = cv2.absdiff(here, warp_by_flow(there, flow)).astype(np.float32)
        difference = cv2.blur(residual, (5, 5)) * np.float32(1 / _NOISE_LEVELS)
        return flow, np.asarray(np.exp(-difference * difference), np.float32)

    def _grey(self, crop: Crop) -> Grey:
        """The small picture of a crop; kept, as every crop is looked at again for each of its neighbours."""
        kept = self._greys.get(id(crop))
        if kept is None or kept[0] is not crop:
            while len(self._greys) >= _MAX_KEPT:
                del self._greys[next(iter(self._greys))]
            kept = self._greys[id(crop)] = crop, _small_grey(crop, self._flow_side_px)
        return kept[1]


def _brought_over(crop: Crop, flow: Flow, box: tuple[slice, slice]) -> Floats:
    """The part `box` of a neighbour's crop after the motion between it and this frame, float32."""
    if float(np.abs(flow).max(initial=0)) <= _STILL_PX:
        return crop[box].astype(np.float32)
    places = enlarged_map(flow, crop.shape[0], crop.shape[1])[box]
    moved = cv2.remap(crop, np.ascontiguousarray(places), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(moved, np.float32)


def _shown_box(layers: Iterable[Crop]) -> tuple[slice, slice]:
    """Rows and columns outside of which all masks are 0, with a margin; everything where there are no masks."""
    layers = list(layers)
    height, width, channels = layers[0].shape
    if channels < 4:
        return slice(0, height), slice(0, width)
    boxes = [cv2.boundingRect(cv2.extractChannel(of, 3)) for of in layers]
    shown = [(x, y, x + w, y + h) for x, y, w, h in boxes if w > 0] or [(0, 0, 0, 0)]
    left, top = (max(min(of[i] for of in shown) - _MARGIN_PX, 0) for i in (0, 1))
    right, bottom = (min(max(of[i] for of in shown) + _MARGIN_PX, end) for i, end in ((2, width), (3, height)))
    return slice(top, bottom), slice(left, right)


def _small_grey(crop: Crop, side_px: int) -> Grey:
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = side_px / max(height, width)
    size_wh = max(16, round(width * scale)), max(16, round(height * scale))
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
