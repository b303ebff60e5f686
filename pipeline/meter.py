"""Measure how steady a video is where faces were pasted: the flow-warp error of source and output.

Warp error = mean |frame t - frame t-1 warped by the source's optical flow| inside the paste mask, occluded pixels left
out, in grey levels (0..255). The definition of Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018,
section 4.3, with absolute differences.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from .flow import FlowEstimator, round_trip, warp_by_flow
from .frames import Frame
from .paste import Region

Grey = npt.NDArray[np.uint8]

_MAX_SIDE_PX = 256
_MAX_ROUND_TRIP_PX = 1.0
"""A pixel whose forward and backward flow disagree by more is occluded."""


@dataclass
class WarpErrorSums:
    """Sums from which mean errors follow; chunks add up."""

    pixels: float = 0.0
    source: float = 0.0
    output: float = 0.0

    def add(self, other: WarpErrorSums) -> None:
        """Take another part of the video in."""
        self.pixels += other.pixels
        self.source += other.source
        self.output += other.output

    def means(self) -> tuple[float | None, float | None]:
        """Warp error of source and of output in grey levels; None where nothing was measured."""
        if self.pixels == 0:
            return None, None
        return self.source / self.pixels, self.output / self.pixels


@dataclass
class WarpErrorMeter:
    """Compares each frame with the one before it."""

    sums: WarpErrorSums = field(default_factory=WarpErrorSums)
    _before: tuple[Grey, Grey] | None = None

    def __post_init__(self) -> None:
        """Set the flow up."""
        self._flow = FlowEstimator()

    def update(self, source: Grey, output: Grey, regions: list[Region], is_cut: bool = False) -> None:
        """Take the next frame in.

        Args:
            source: luma HxW uint8 before pasting.
            output: luma HxW uint8 after pasting.
            regions: where faces were pasted in this frame.
            is_cut: this frame starts a new scene: nothing to compare with.
        """
        before, self._before = self._before, (source, output)
        if before is not None and not is_cut:
            for region in regions:
                self._measure(before, (source, output), region)

    def _measure(self, before: tuple[Grey, Grey], now: tuple[Grey, Grey], region: Region) -> None:
        height, width = region.mask.shape
        if min(height, width) < 16:
            return
        window = np.s_[region.y0 : region.y0 + height, region.x0 : region.x0 + width]
        scale = min(1.0, _MAX_SIDE_PX / max(height, width))
        size_wh = max(16, round(width * scale)), max(16, round(height * scale))
        old_source, old_output, source, output = (
            np.asarray(cv2.resize(p[window], size_wh, interpolation=cv2.INTER_AREA), np.uint8) for p in (*before, *now)
        )
        back = self._flow(source, old_source)
        is_seen = round_trip(back, self._flow(old_source, source)) <= _MAX_ROUND_TRIP_PX
        weight = cv2.resize(region.mask, size_wh, interpolation=cv2.INTER_AREA) * is_seen
        self.sums.pixels += float(weight.sum())
        self.sums.source += float((cv2.absdiff(source, warp_by_flow(old_source, back)) * weight).sum())
        self.sums.output += float((cv2.absdiff(output, warp_by_flow(old_output, back)) * weight).sum())


def luma8(frame: Frame) -> Grey:
    """First plane of a frame (luma; green of an RGB one), upright, HxW uint8 of its own."""
    plane = frame.orientation.to_display(frame.planes[0])
    return np.ascontiguousarray(plane >> (frame.layout.bit_depth - 8), np.uint8)
