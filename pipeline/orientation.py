"""How a stored picture is turned and mirrored for display, from the display matrix of its container.

Only quarter turns and mirrors are acted on; any other matrix is carried to the output but not undone for the viewer.
"""

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, the last column and row not included."""


@dataclass(frozen=True)
class Orientation:
    """Mirror left-right first (if at all), then turn clockwise."""

    rotation_degrees: int = 0
    """Clockwise turn from the stored to the displayed picture: 0, 90, 180 or 270."""
    is_mirrored: bool = False
    """Whether the stored picture is mirrored left-right before it is turned."""

    def display_wh(self, width: int, height: int) -> tuple[int, int]:
        """Return the displayed size of a stored picture of `width` x `height` pixels."""
        return (height, width) if self.rotation_degrees % 180 else (width, height)

    def to_display(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of a stored HxW(xC) array as displayed."""
        mirrored = array[:, ::-1] if self.is_mirrored else array
        return np.rot90(mirrored, -(self.rotation_degrees // 90))

    def to_coded(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of a displayed HxW(xC) array as stored: the inverse of `to_display`."""
        turned = np.rot90(array, self.rotation_degrees // 90)
        return turned[:, ::-1] if self.is_mirrored else turned

    def coded_to_display(self, width: int, height: int) -> npt.NDArray[np.float32]:
        """Return the 2x3 transform from stored pixels to displayed ones, for `width` x `height` stored pixels."""
        right, bottom = width - 1, height - 1
        turns = {
            0: [[1, 0, 0], [0, 1, 0]],
            90: [[0, -1, bottom], [1, 0, 0]],
            180: [[-1, 0, right], [0, -1, bottom]],
            270: [[0, 1, 0], [-1, 0, right]],
        }
        turn = np.array(turns[self.rotation_degrees], np.float32)
        if self.is_mirrored:
            turn[:, 2] += turn[:, 0] * right
            turn[:, 0] *= -1
        return turn

    def coded_box(self, x0: int, y0: int, x1: int, y1: int, width: int, height: int) -> Box:
        """Return the stored box of a displayed one, in a stored picture of `width` x `height` pixels."""
        if self.rotation_degrees == 90:
            x0, y0, x1, y1 = y0, height - x1, y1, height - x0
        elif self.rotation_degrees == 180:
            x0, y0, x1, y1 = width - x1, height - y1, width - x0, height - y0
        elif self.rotation_degrees == 270:
            x0, y0, x1, y1 = width - y1, x0, width - y0, x1
        return (width - x1, y0, width - x0, y1) if self.is_mirrored else (x0, y0, x1, y1)


UPRIGHT = Orientation()
"""Shown as stored."""


def parse_display_matrix(data: bytes) -> Orientation:
    """Return the orientation of FFmpeg's 9 x int32 display matrix; upright when it is not a quarter turn.

    The matrix maps a stored (x, y) to a displayed (a*x + c*y, b*x + d*y), y pointing down (libavutil/display.h).
    """
    a, b, _, c, d = struct.unpack("=5i", data[:20])
    is_mirrored = a * d - b * c < 0
    degrees = math.degrees(math.atan2(-b, -a) if is_mirrored else math.atan2(b, a))
    if abs(degrees / 90 - round(degrees / 90)) > 0.01:
        return UPRIGHT
    return Orientation(round(degrees / 90) * 90 % 360, is_mirrored)


def rotation_and_flip(data: bytes) -> tuple[float, bool]:
    """Return a display matrix as ffmpeg's options: `-display_rotation` (counter-clockwise degrees), `-display_hflip`.

    ffmpeg turns first and mirrors the result; any angle is returned, not only quarter turns.
    """
    a, b, _, c, d = struct.unpack("=5i", data[:20])
    is_flipped = a * d - b * c < 0
    clockwise = math.degrees(math.atan2(b, -a if is_flipped else a))
    return round(-clockwise % 360, 3), is_flipped
