"""A still picture with the doors of a video frame. Reading and writing files is for stills.py."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import Points

from .crops import crop_of_region
from .finder import RGB


class PictureCanvas:
    """A still picture with the doors of a video frame: read a region as RGB, paste one."""

    def __init__(self, rgb: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
        """Args: rgb: HxWx3 uint8 or uint16, changed in place by pasting."""
        self.pixels = rgb
        self._top = np.float32(np.iinfo(rgb.dtype).max)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def to_rgb(self, x0: int, y0: int, x1: int, y1: int) -> RGB:
        """Return a region as HxWx3 uint8."""
        return self._to_8_bit(self.pixels[y0:y1, x0:x1])

    def crop(self, source_to_crop: Points, size_px: int) -> RGB:
        """Return an aligned crop as SxSx3 uint8, given the 2x3 similarity to it."""
        return crop_of_region(self, source_to_crop, size_px)

    def thumbnail(self, short_side: int) -> RGB:
        """Return the whole picture, shrunk if its short side is longer than `short_side`."""
        width, height = self.size_wh
        scale = min(1.0, short_side / min(width, height))
        size_wh = max(1, round(width * scale)), max(1, round(height * scale))
        return self._to_8_bit(
            np.asarray(cv2.resize(self.pixels, size_wh, interpolation=cv2.INTER_AREA), self.pixels.dtype)
        )

    def grey_thumbnail(self, short_side: int) -> npt.NDArray[np.uint8]:
        """Return the lightness of the whole picture, HxW uint8, shrunk as `thumbnail` does."""
        return np.asarray(self.thumbnail(short_side).mean(axis=2), np.uint8)

    def paste_rgb(self, x0: int, y0: int, rgb: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> None:
        """Blend HxWx3 float32 in [0, 255] in; pixels whose mask is 0 stay bit-equal."""
        part = self.pixels[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
        old = part.astype(np.float32)
        mixed = old + (rgb * (self._top / 255) - old) * mask[..., None]
        np.copyto(part, np.clip(np.rint(mixed), 0, self._top).astype(part.dtype), where=mask[..., None] > 0)

    def _to_8_bit(self, pixels: npt.NDArray[Any]) -> RGB:
        if pixels.dtype == np.uint8:
            return np.ascontiguousarray(pixels, np.uint8)
        return np.asarray(np.rint(pixels.astype(np.float32) * (255 / self._top)), np.uint8)
