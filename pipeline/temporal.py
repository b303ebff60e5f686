"""Steady a restyled face over time, in crop space: average each crop with its neighbours where nothing really moved.

A generator answers sensor noise with flicker. Each crop is averaged with those of the frames around it, brought over by
the optical flow of the *source* crops and weighted down wherever the sources disagree after that, so that motion does
not ghost. The window is finite and symmetric: no lag, and a result that does not depend on where a chunk begins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import ref

import cv2
import numpy as np
import numpy.typing as npt

from .flow import Flow, FlowEstimator, grid, warp_by_flow

Crop = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]
_T = TypeVar("_T")
_V = TypeVar("_V", np.uint8, np.float32)

RADIUS_FRAMES = 2
"""Frames on each side that are looked at."""

_FLOW_SIDE_PX = 128
_SPREAD_FRAMES = 1.5
"""Standard deviation of the weights over time."""
_NOISE_LEVELS = 7.0
"""Grey levels by which two sources may differ before their crops are no longer averaged."""
_FULL_WEIGHT, _LEAST_WEIGHT = 255.0, 3
"""Weight of the crop itself; and a neighbour that nowhere gets this one is left out."""
_STILL_PX = 1 / 32
"""Motion that is nowhere larger than this is none."""
_MARGIN_PX = 8
"""How far around everything that is shown crops are averaged: no further can a neighbour's mask be brought over."""
_MAX_KEPT = 64
"""Crops after which those that are gone are looked for."""


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
        self._greys, self._boxes = _Remembered[Grey](), _Remembered[Box | None]()

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
        steadied = styled[centre].astype(np.float32)
        neighbours = [i for i in styled if i != centre and i in sources and abs(i - centre) <= RADIUS_FRAMES]
        if self.strength == 0 or not neighbours:
            return steadied
        here = self._grey(sources[centre])
        window = _window([self._box(styled[i]) for i in (centre, *neighbours)], steadied.shape[:2], here.shape)
        # Crops and weights are bytes, whose products OpenCV sums up many times as fast as those of fractions.
        products = steadied[window.large] * np.float32(_FULL_WEIGHT)
        weights = np.full(products.shape[:2], _FULL_WEIGHT, np.float32)
        for i in neighbours:
            share = self.strength * math.exp(-0.5 * ((i - centre) / _SPREAD_FRAMES) ** 2)
            flow, agreement = self._compared(here, self._grey(sources[i]))
            small = np.asarray(cv2.convertScaleAbs(agreement[window.small], alpha=_FULL_WEIGHT * share), np.uint8)
            if small.max(initial=0) >= _LEAST_WEIGHT:
                weight = window.enlarged(small)
                moved = _brought_over(styled[i], flow[window.small], window)
                cv2.accumulateProduct(moved, _repeated(weight, moved), products)
                cv2.accumulate(weight, weights)
        products *= _repeated(np.reciprocal(weights, out=weights), products)
        steadied[window.large] = products
        return steadied

    def _compared(self, here: Grey, there: Grey) -> tuple[Flow, Floats]:
        """Motion between two small pictures, and how far they agree once it is taken out, 0..1."""
        flow = self._flow(here, there)
        residual = cv2.absdiff(here, warp_by_flow(there, flow))
        difference = np.asarray(cv2.boxFilter(residual, cv2.CV_32F, (5, 5)), np.float32)
        difference *= difference
        difference *= np.float32(-1 / _NOISE_LEVELS**2)
        return flow, np.exp(difference, out=difference)

    def _grey(self, crop: Crop) -> Grey:
        """The small picture of a crop."""
        return self._greys.of(crop, lambda: _small_grey(crop, self._flow_side_px))

    def _box(self, layers: Crop) -> Box | None:
        """Where the mask of a crop is anything; all of it where there is no mask."""
        return self._boxes.of(layers, lambda: _shown_box(layers))


class _Remembered(Generic[_T]):
    """What was found in a crop, kept while its neighbours ask for it again; the crop itself is not."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[ref[Crop], _T]] = {}

    def of(self, crop: Crop, find: Callable[[], _T]) -> _T:
        """Return what was found in this very array, or find it."""
        kept = self._found.get(id(crop))
        if kept is None or kept[0]() is not crop:
            if len(self._found) >= _MAX_KEPT:
                self._found = {key: kept for key, kept in self._found.items() if kept[0]() is not None}
            kept = self._found[id(crop)] = ref(crop), find()
        return kept[1]


class _Window(NamedTuple):
    """The part of a crop that is averaged, and the same part of the small pictures."""

    large: tuple[slice, slice]
    small: tuple[slice, slice]
    scale_xy: tuple[float, float]

    def enlarged(self, part: npt.NDArray[_V]) -> npt.NDArray[_V]:
        """The small part at the size of the large one."""
        rows, columns = self.large
        size_wh = columns.stop - columns.start, rows.stop - rows.start
        return np.asarray(cv2.resize(part, size_wh, interpolation=cv2.INTER_LINEAR), part.dtype)


def _window(boxes: Sequence[Box | None], large_hw: Sequence[int], small_hw: Sequence[int]) -> _Window:
    """What lies within reach of any of the boxes, in whole pixels of the small pictures where these fit the large."""
    height, width = large_hw[:2]
    step_y, step_x = height / small_hw[0], width / small_hw[1]
    everything = _Window(np.s_[0:height, 0:width], np.s_[0 : small_hw[0], 0 : small_hw[1]], (step_x, step_y))
    shown = [box for box in boxes if box is not None]
    if not shown or step_x % 1 or step_y % 1:
        return everything
    sides = []
    for axis, step, end in ((1, int(step_y), small_hw[0]), (0, int(step_x), small_hw[1])):
        low = (min(box[axis] for box in shown) - _MARGIN_PX) // step
        high = -(-(max(box[axis + 2] for box in shown) + _MARGIN_PX) // step)
        sides.append((max(low, 0), min(high, end), step))
    (top, bottom, by), (left, right, bx) = sides
    return _Window(
        np.s_[top * by : bottom * by, left * bx : right * bx], np.s_[top:bottom, left:right], (step_x, step_y)
    )


def _repeated(weight: npt.NDArray[_V], of: npt.NDArray[Any]) -> npt.NDArray[_V]:
    """A weight (HxW) for every channel of some HxWxC."""
    return np.asarray(cv2.merge([weight] * (of.shape[2] if of.ndim == 3 else 1)), weight.dtype).reshape(of.shape)


def _brought_over(crop: Crop, flow: Flow, window: _Window) -> Crop:
    """A part of a neighbour's crop after the motion between it and this frame."""
    flow = np.ascontiguousarray(flow)
    if cv2.norm(flow, cv2.NORM_INF) <= _STILL_PX:
        return np.ascontiguousarray(crop[window.large])
    rows, columns = window.large
    scale_x, scale_y = window.scale_xy
    # NumPy takes a pair as factor for a thousand short rows.
    scaled = flow * np.float32(scale_x) if scale_x == scale_y else flow * np.array(window.scale_xy, np.float32)
    places = window.enlarged(scaled)
    places += grid(columns.start, rows.start, columns.stop, rows.stop)
    moved = cv2.remap(crop, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(moved, np.uint8).reshape(*places.shape[:2], *crop.shape[2:])


def _shown_box(layers: Crop) -> Box | None:
    """Left, top, right and bottom of where the fourth channel is anything."""
    height, width, channels = layers.shape
    if channels < 4:
        return 0, 0, width, height
    x, y, columns, rows = cv2.boundingRect(cv2.extractChannel(layers, 3))
    return (x, y, x + columns, y + rows) if columns else None


def _small_grey(crop: Crop, side_px: int) -> Grey:
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = side_px / max(height, width)
    size_wh = max(16, round(width * scale)), max(16, round(height * scale))
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
