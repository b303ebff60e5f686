"""Measure how steady a video is where faces were pasted, and how visible: warp error, mask flicker, seam excess.

Warp error = mean |frame t - frame t-1 warped by the source's optical flow| inside the paste mask, occluded pixels left
out, in grey levels (0..255). The definition of Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018,
section 4.3, with absolute differences. Mask flicker = the same of the mask itself, in % of the mask's area. Seam
excess: see seam.py. All this costs as much as the rest that is done to a face, and only informs: of a long video one
pair of frames in eight is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from .flow import FlowEstimator, round_trip, warp_by_flow
from .frames import Frame
from .paste import Region
from .seam import MAX_SIDE_PX as _MAX_SIDE_PX
from .seam import seam_sums

Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.float32]
_T = TypeVar("_T", np.uint8, np.float32)

_MIN_SIDE_PX = 16
"""Smaller regions are not measured."""
_LEAST_PAIRS, _MOST_APART = 20, 8
"""So many pairs of frames are measured at least, if there are as many; and one in so many at least."""
_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, less their whole numbers, lie evenly without ever repeating."""
_MAX_ROUND_TRIP_PX = 1.0
"""A pixel whose forward and backward flow disagree by more is occluded."""


@dataclass
class WarpErrorSums:
    """Sums from which mean errors follow; chunks add up."""

    pixels: float = 0.0
    source: float = 0.0
    output: float = 0.0
    mask_area: float = 0.0
    mask_change: float = 0.0
    seam_length: float = 0.0
    seam_excess: float = 0.0

    def add(self, other: WarpErrorSums) -> None:
        """Take another part of the video in."""
        for name in asdict(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def means(self) -> tuple[float | None, float | None]:
        """Warp error of source and of output in grey levels; None where nothing was measured."""
        if self.pixels == 0:
            return None, None
        return self.source / self.pixels, self.output / self.pixels

    @property
    def mean_mask_flicker(self) -> float | None:
        """Change of the masks from frame to frame, motion taken out, in % of their area."""
        return 100 * self.mask_change / self.mask_area if self.mask_area > 0 else None

    @property
    def mean_seam_excess(self) -> float | None:
        """Seam excess in grey levels per pixel, see seam.py."""
        return self.seam_excess / self.seam_length if self.seam_length > 0 else None


class _Shown(NamedTuple):
    """A frame before and after pasting, and where."""

    frame_index: int
    source: Grey
    output: Grey
    regions: Sequence[Region]


@dataclass
class WarpErrorMeter:
    """Compares frames with those before them: each, or some that are chosen by their index in the video alone."""

    every: int = 1
    """One frame in so many is measured, spread so that no rhythm of the video, such as repeated frames, is met."""
    sums: WarpErrorSums = field(default_factory=WarpErrorSums)
    _before: _Shown | None = None

    def __post_init__(self) -> None:
        """Set the flow up."""
        self._flow = FlowEstimator()

    def wants(self, index: int) -> bool:
        """Tell whether a frame is measured, or the one after it against it; others need not be given."""
        return self._is_measured(index) or self._is_measured(index + 1)

    def update(self, index: int, source: Grey, output: Grey, regions: list[Region], is_cut: bool = False) -> None:
        """Take the next frame in.

        Args:
            index: its place in the video.
            source: luma HxW uint8 before pasting.
            output: luma HxW uint8 after pasting.
            regions: where faces were pasted in this frame.
            is_cut: this frame starts a new scene: nothing to compare with.
        """
        before, self._before = self._before, _Shown(index, source, output, regions)
        if not self._is_measured(index):
            return
        for region in regions:
            if min(region.mask.shape) >= _MIN_SIDE_PX:
                size_wh = _measured_wh(region)
                self._measure_seam(self._before, region, size_wh)
                if before is not None and before.frame_index == index - 1 and not is_cut:
                    self._measure_change(before, self._before, region, size_wh)

    def _is_measured(self, index: int) -> bool:
        return index * _GOLDEN % 1 * self.every < 1

    def _measure_seam(self, now: _Shown, region: Region, size_wh: tuple[int, int]) -> None:
        source, output = (_part(picture, region, size_wh) for picture in (now.source, now.output))
        excess, length = seam_sums(source, output, _shrunk(region.mask, size_wh))
        self.sums.seam_excess += excess
        self.sums.seam_length += length

    def _measure_change(self, before: _Shown, now: _Shown, region: Region, size_wh: tuple[int, int]) -> None:
        old_source, old_output, source, output = (
            _part(picture, region, size_wh) for picture in (before.source, before.output, now.source, now.output)
        )
        mask, old_mask = (_shrunk(of, size_wh) for of in (region.mask, _mask_there(before.regions, region)))
        back = self._flow(source, old_source)
        is_seen = round_trip(back, self._flow(old_source, source)) <= _MAX_ROUND_TRIP_PX
        weight = mask * is_seen
        self.sums.pixels += float(weight.sum())
        self.sums.source += float((cv2.absdiff(source, warp_by_flow(old_source, back)) * weight).sum())
        self.sums.output += float((cv2.absdiff(output, warp_by_flow(old_output, back)) * weight).sum())
        self.sums.mask_area += float(mask.sum())
        self.sums.mask_change += float((np.abs(mask - warp_by_flow(old_mask, back)) * is_seen).sum())


def measured_every(num_frames: int) -> int:
    """How far apart the frames are that are measured in a video of this length."""
    return min(max(num_frames // _LEAST_PAIRS, 1), _MOST_APART)


def _measured_wh(region: Region) -> tuple[int, int]:
    height, width = region.mask.shape
    scale = min(1.0, _MAX_SIDE_PX / max(height, width))
    return max(_MIN_SIDE_PX, round(width * scale)), max(_MIN_SIDE_PX, round(height * scale))


def _part(picture: Grey, region: Region, size_wh: tuple[int, int]) -> Grey:
    height, width = region.mask.shape
    return _shrunk(picture[region.y0 : region.y0 + height, region.x0 : region.x0 + width], size_wh)


def _shrunk(part: npt.NDArray[_T], size_wh: tuple[int, int]) -> npt.NDArray[_T]:
    """A part of a frame at the measured size; halved as often as it goes: other means take ten times as long."""
    while part.shape[1] >= 2 * size_wh[0] and part.shape[0] >= 2 * size_wh[1]:
        half_wh = part.shape[1] // 2, part.shape[0] // 2
        even = part[: 2 * half_wh[1], : 2 * half_wh[0]]
        part = np.asarray(cv2.resize(even, half_wh, interpolation=cv2.INTER_AREA), part.dtype)
    return np.asarray(cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA), part.dtype)


def _mask_there(regions: Sequence[Region], window: Region) -> Mask:
    """What was pasted of another frame's regions where `window` lies: the mask of the one that covers most of it."""
    height, width = window.mask.shape
    best, most = np.zeros((height, width), np.float32), 0.0
    for region in regions:
        top, left = max(window.y0, region.y0), max(window.x0, region.x0)
        bottom = min(window.y0 + height, region.y0 + region.mask.shape[0])
        right = min(window.x0 + width, region.x0 + region.mask.shape[1])
        if top >= bottom or left >= right:
            continue
        part = region.mask[top - region.y0 : bottom - region.y0, left - region.x0 : right - region.x0]
        if float(part.sum()) > most:
            most, best = float(part.sum()), np.zeros((height, width), np.float32)
            best[top - window.y0 : bottom - window.y0, left - window.x0 : right - window.x0] = part
    return best


def luma8(frame: Frame) -> Grey:
    """First plane of a frame (luma; green of an RGB one), upright, HxW uint8 of its own."""
    plane = frame.orientation.to_display(frame.planes[0])
    return np.ascontiguousarray(plane >> (frame.layout.bit_depth - 8), np.uint8)
