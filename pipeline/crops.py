"""Cut the aligned crop of a face out of a picture. Where it lies is plan.py's decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from alignment.points import Points
from alignment.warp import compose, seen_by, warp_crop

from .finder import RGB, FaceSource
from .frames import Frame


def cut(source: FaceSource, source_to_crop: Points, size_px: int) -> RGB:
    """Cut an aligned crop, SxSx3 uint8 RGB, converting only what it shows."""
    return source.crop(source_to_crop, size_px)


def cut_all(faces: Sequence[tuple[FaceSource, Points]], size_px: int, device: str = "cpu") -> list[RGB]:
    """Cut the crops of some faces, each of a picture by its 2x3 `source_to_crop`; on a CUDA device all in one go."""
    frames = [source for source, _ in faces if isinstance(source, Frame)]
    if not device.startswith("cuda") or not faces or len(frames) < len(faces):
        return [cut(source, place, size_px) for source, place in faces]
    from .device_warp import cut_on  # it needs PyTorch, which who only cuts does without

    wishes = [frame.crop_wish(place, size_px) for frame, (_, place) in zip(frames, faces, strict=True)]
    cuts = cut_on(device, wishes)
    return [frame.rgb_of_samples(samples) for frame, samples in zip(frames, cuts, strict=True)]


class Regions(Protocol):
    """A picture that hands out rectangles of itself."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def to_rgb(self, x0: int, y0: int, x1: int, y1: int) -> RGB:
        """Return the region [y0:y1, x0:x1] as HxWx3 uint8 RGB."""
        ...


def crop_of_region(source: Regions, source_to_crop: Points, size_px: int) -> RGB:
    """Cut an aligned crop, SxSx3 uint8 RGB, out of the rectangle of a picture that it shows."""
    width, height = source.size_wh
    left, top, right, bottom = seen_by(source_to_crop, size_px)
    low = np.clip(np.floor([left, top]).astype(int) - 2, 0, (width - 2, height - 2))
    high = np.clip(np.ceil([right, bottom]).astype(int) + 3, low + 2, (width, height))
    shift = np.array([[1, 0, low[0]], [0, 1, low[1]]], np.float32)
    region = source.to_rgb(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    return np.asarray(warp_crop(region, compose(source_to_crop, shift), size_px))
