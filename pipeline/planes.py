"""From a decoded PyAV frame to a `Frame`: planes copied, foreign pixel formats brought to the nearest planar one."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from .colour import ColourTags
from .frames import Frame, PixelLayout, Plane, planar_layouts
from .orientation import Orientation

_FULL_RANGE_FORMATS = "yuvj"
"""Prefix of ffmpeg's old names for full-range YUV."""


@functools.cache
def layout_for(pix_fmt: str) -> PixelLayout:
    """Return the layout that frames decoded as `pix_fmt` are kept in.

    It is the same format where that is planar and little-endian; else the planar one with at least its bits, its chroma
    resolution and its alpha (`nv12` -> `yuv420p`, `p010le` -> `yuv420p10le`, `rgb24` -> `gbrp`).
    """
    layouts = planar_layouts()
    name = pix_fmt.replace(_FULL_RANGE_FORMATS, "yuv")
    return layouts[name] if name in layouts else layouts[_nearest_planar(pix_fmt)]


def _nearest_planar(pix_fmt: str) -> str:
    import av

    pixel = av.VideoFormat(pix_fmt, 16, 16)
    depth = max(component.bits for component in pixel.components)
    depth = next(known for known in (8, 9, 10, 12, 14, 16) if known >= min(depth, 16))
    tail = "" if depth == 8 else f"{depth}le"
    has_alpha = any(component.is_alpha for component in pixel.components)
    if pixel.has_palette:
        return "gbrp"
    if pixel.is_rgb or pixel.is_bayer:
        return ("gbrap" if has_alpha else "gbrp") + tail
    if len(pixel.components) < 3:
        return ("gbrap" if has_alpha else "gray") + tail
    ratios = 16 // pixel.chroma_width(16), 16 // pixel.chroma_height(16)
    name = {(2, 2): "420", (2, 1): "422", (1, 1): "444", (1, 2): "440", (4, 1): "411", (4, 4): "410"}[ratios]
    return f"yuv{'a' if has_alpha else ''}{name}p{tail}"


@dataclass(frozen=True)
class FrameShape:
    """What all frames of a stream are brought to: the size and layout of the first one."""

    width: int
    """Columns as coded."""
    height: int
    """Rows as coded."""
    layout: PixelLayout
    """Sample format."""
    colour: ColourTags
    """Colour tags."""
    orientation: Orientation
    """How frames are turned for display."""


def frame_from_av(source: Any, pts: int, shape: FrameShape) -> Frame:
    """Copy a decoded `av.VideoFrame` into a `Frame` with the stamp `pts`; another size or format is converted."""
    layout = shape.layout
    is_same_size = (source.width, source.height) == (shape.width, shape.height)
    if source.format.name.replace(_FULL_RANGE_FORMATS, "yuv") != layout.pix_fmt or not is_same_size:
        # One thread: with several, swscale greys the first samples of a row in a few of a hundred P010 frames.
        source = source.reformat(width=shape.width, height=shape.height, format=layout.pix_fmt, threads=1)
    planes = tuple(
        _copy_plane(source.planes[index], layout.plane_shape(index, shape.width, shape.height), layout)
        for index in range(layout.num_planes)
    )
    return Frame(planes, layout, shape.colour, pts, shape.orientation)


def _copy_plane(plane: Any, rows_columns: tuple[int, int], layout: PixelLayout) -> Plane:
    rows, columns = rows_columns
    padded = np.frombuffer(plane, layout.dtype).reshape(-1, plane.line_size // np.dtype(layout.dtype).itemsize)
    return padded[:rows, :columns].copy()
