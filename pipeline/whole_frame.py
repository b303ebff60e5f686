"""Restyle whole pictures, not just the faces in them: the work behind `--scope frame`.

A generator's norms see all that it is given, so tiles would differ in tone. The whole picture goes through in one pass
instead, at a reduced size near that of the crops it was trained on: there it draws lines and flat areas. What drifts
in tone is brought back to the source, and the result is enlarged with the source's strong edges. Faces are not this
file's business: they are restyled from their own crops and set into the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from model.config import DOWN_SAMPLING
from model.engine import Engine
from model.images import to_pictures, to_sound_pictures, to_tensor

from .guard import is_blank

RGB = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FLOW_SIDE_PX = 320
"""Longer side of the pictures in which motion is looked for when whole frames are steadied."""

_SIDE_FACTOR = 17.9
"""The generator's picture has a longer side of so many times the root of the source's: 640 px for 1280."""
_MIN_SIDE_PX, _MAX_SIDE_PX = 512, 1024
"""Bounds of that side: smaller, things lose their shape; larger, it draws texture in place of areas."""
_MAX_ENLARGED = 2.0
"""A tiny picture is not enlarged by more than this."""
_BAND_ROWS = 256
"""Rows of a frame that are painted at once; a multiple of every chroma subsampling."""
_CORE_LEVELS = 4.0
"""Detail of the source that is weaker than this is texture or noise, which a drawing does not show."""
_EDGE_RADIUS_PX = 4
"""Reach of the comparison of edges, pixels of the generator's picture."""
_EDGE_FLOOR_LEVELS = 10.0
"""Contrast from which a place counts as an edge, in grey levels."""
_MAX_EDGE_GAIN = 1.3
"""An edge is enhanced by no more than this."""
_TONE_RADIUS, _TONE_FLOOR_LEVELS = 1 / 20, 40.0
"""Reach of the comparison of tones, as a share of the longer side, and the contrast that it respects."""
_COLOUR_RADIUS, _COLOUR_FLOOR_LEVELS = 1 / 40, 8.0
"""The same for colours, which keep more closely to the source's edges."""
_TEST_SIDE_PX = 256
"""Side of the test picture that tells whether a style keeps colours."""
_MIN_COLOUR_SHARE = 0.3
"""It does when it draws at least this share of the test picture's differences in colour."""


class Picture(Protocol):
    """A picture that hands out parts of itself and takes parts back, upright as it is displayed."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def to_rgb(self, x0: int, y0: int, x1: int, y1: int) -> RGB:
        """Return the region [y0:y1, x0:x1] as HxWx3 uint8 RGB."""
        ...

    def thumbnail(self, short_side: int) -> RGB:
        """Return the whole picture as uint8 RGB, its short side no longer than `short_side` pixels."""
        ...

    def paste_rgb(self, x0: int, y0: int, rgb: Floats, mask: Floats) -> None:
        """Blend HxWx3 float32 in [0, 255] into the region that starts at (x0, y0), in place."""
        ...


class PictureSource(Protocol):
    """The part of a picture that is needed to restyle it."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def thumbnail(self, short_side: int) -> RGB:
        """Return the whole picture as uint8 RGB, its short side no longer than `short_side` pixels."""
        ...


@dataclass(frozen=True)
class StyledPicture:
    """A whole picture before and after the generator, at the generator's size."""

    source: RGB
    """HxWx3 uint8, the picture reduced."""
    styled: RGB | None
    """HxWx3 uint8 from the generator; None where that was not finite or blank."""


class WholeFrame:
    """A generator for whole pictures.

    Args:
        engine: runs a generator that takes any size.
        keeps_colours: the style draws things in their own colours, so that these can be restored where they drift;
            None looks at what it does to a test picture.
    """

    def __init__(self, engine: Engine, *, keeps_colours: bool | None = None) -> None:
        self.engine = engine
        self.keeps_colours = keeps_source_colours(engine) if keeps_colours is None else keeps_colours

    def stylise(self, pictures: Sequence[PictureSource]) -> list[StyledPicture]:
        """Restyle some pictures of one size, in order."""
        sources = [reduce(picture) for picture in pictures]
        if not sources:
            return []
        outputs = to_sound_pictures(self.engine(to_tensor(np.stack(sources), self.engine.device)))
        return [
            StyledPicture(source, None if output is None or is_blank(output, source) else output)
            for source, output in zip(sources, outputs, strict=True)
        ]

    def finish(self, styled: Floats, source: RGB) -> Floats:
        """Bring a restyled picture's colours back to the source's where the style means them to stay.

        Args:
            styled: HxWx3 float32 in [0, 255], steadied or as it came.
            source: HxWx3 uint8, what it was made from.
        """
        return restore_tones(styled, source) if self.keeps_colours else styled


def working_wh(size_wh: tuple[int, int]) -> tuple[int, int]:
    """Size at which the generator sees a picture of this size: a fixed share of detail, multiples of 4."""
    longer = max(size_wh)
    side = min(max(_SIDE_FACTOR * longer**0.5, _MIN_SIDE_PX), _MAX_SIDE_PX, _MAX_ENLARGED * longer)
    width, height = (max(round(length * side / longer / DOWN_SAMPLING), 2) * DOWN_SAMPLING for length in size_wh)
    return width, height


def reduce(picture: PictureSource) -> RGB:
    """The picture at the generator's size, HxWx3 uint8 RGB."""
    size_wh = working_wh(picture.size_wh)
    small = picture.thumbnail(min(size_wh))
    if (small.shape[1], small.shape[0]) == size_wh:
        return small
    return np.asarray(cv2.resize(small, size_wh, interpolation=cv2.INTER_CUBIC), np.uint8)


def paint(canvas: Picture, styled: Floats, source: RGB, opacity: float = 1.0) -> None:
    """Enlarge a restyled picture over the whole of the canvas, with the source's strong edges, in place.

    Args:
        canvas: still shows the source.
        styled: hxwx3 float32 RGB in [0, 255] at the generator's size.
        source: hxwx3 uint8, the canvas reduced to that size.
        opacity: 0..1.
    """
    if opacity == 0:
        return
    width, height = canvas.size_wh
    grey = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY).astype(np.float32)
    gain = _edge_gain(styled, grey)
    for top, bottom in _bands(height):
        rgb = _enlarge(styled, (width, height), top, bottom)
        here = cv2.cvtColor(canvas.to_rgb(0, top, width, bottom), cv2.COLOR_RGB2GRAY).astype(np.float32)
        detail = here - _enlarge(grey, (width, height), top, bottom)
        edges = np.copysign(np.maximum(np.abs(detail) - _CORE_LEVELS, 0), detail)
        rgb += (edges * _enlarge(gain, (width, height), top, bottom))[..., None]
        mask = np.full(rgb.shape[:2], opacity, np.float32)
        canvas.paste_rgb(0, top, np.clip(rgb, 0, 255), mask)


def _edge_gain(styled: Floats, grey: Floats) -> Floats:
    """hxw: how the restyled picture's brightness follows the source's around each pixel (a guided filter's slope)."""
    brightness = np.asarray(cv2.cvtColor(styled, cv2.COLOR_RGB2GRAY), np.float32)
    slope, _ = _local_line(grey, brightness, _EDGE_RADIUS_PX, _EDGE_FLOOR_LEVELS)
    return np.asarray(np.clip(slope, 0.0, _MAX_EDGE_GAIN), np.float32)


def _bands(height: int) -> Iterator[tuple[int, int]]:
    return ((top, min(top + _BAND_ROWS, height)) for top in range(0, height, _BAND_ROWS))


def _enlarge(picture: Floats, size_wh: tuple[int, int], top: int, bottom: int) -> Floats:
    """The rows [top, bottom) of a picture enlarged to a size."""
    scale_x, scale_y = picture.shape[1] / size_wh[0], picture.shape[0] / size_wh[1]
    to_small = np.array(
        [[scale_x, 0, scale_x / 2 - 0.5], [0, scale_y, (top + 0.5) * scale_y - 0.5]],
        np.float32,
    )
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    band = cv2.warpAffine(picture, to_small, (size_wh[0], bottom - top), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(band, np.float32)


def restore_tones(styled: Floats, source: RGB) -> Floats:
    """Give a restyled picture the source's slow changes of tone, and the source's colours up to their edges.

    Lines, flat areas and contrast in the small stay the style's. Both corrections keep to the source's edges: a plain
    blur would put a glow around everything dark.

    Args:
        styled: HxWx3 float32 in [0, 255].
        source: HxWx3 uint8.
    """
    side, target = max(source.shape), source.astype(np.float32)
    grey = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY).astype(np.float32)
    toned = styled + _guided(grey, target - styled, round(side * _TONE_RADIUS), _TONE_FLOOR_LEVELS)
    off = target - toned
    off -= cv2.cvtColor(off, cv2.COLOR_RGB2GRAY)[..., None]  # colour only: no change of brightness
    coloured = toned + _guided(grey, off, round(side * _COLOUR_RADIUS), _COLOUR_FLOOR_LEVELS)
    return np.asarray(np.clip(coloured, 0, 255), np.float32)


def _guided(guide: Floats, values: Floats, radius: int, floor_levels: float) -> Floats:
    """Smooth HxWxC values up to the edges of a HxW guide (He et al., "Guided Image Filtering", ECCV 2010)."""
    smoothed = np.empty_like(values)
    for channel in range(values.shape[2]):
        slope, offset = _local_line(guide, values[..., channel], radius, floor_levels)
        smoothed[..., channel] = slope * guide + offset
    return smoothed


def _local_line(guide: Floats, values: Floats, radius: int, floor_levels: float) -> tuple[Floats, Floats]:
    """Slope and offset (HxW) of the line that predicts values from the guide around each pixel.

    Contrast of the guide below the floor counts as none.
    """
    kernel = 2 * radius + 1, 2 * radius + 1

    def mean(of: Floats) -> Floats:
        return np.asarray(cv2.blur(of, kernel, borderType=cv2.BORDER_REFLECT), np.float32)

    mean_guide, mean_values = mean(guide), mean(values)
    spread = np.maximum(mean(guide * guide) - mean_guide * mean_guide, 0) + np.float32(floor_levels**2)
    slope = np.asarray((mean(guide * values) - mean_guide * mean_values) / spread, np.float32)
    return mean(slope), mean(mean_values - slope * mean_guide)


def keeps_source_colours(engine: Engine, side_px: int = _TEST_SIDE_PX) -> bool:
    """Whether a style's colours follow the source's: the slope of its slow colours on those of a colourful picture.

    A style that draws in grey or with a palette of its own must not get the source's colours painted over it.

    Args:
        engine: runs the style's generator.
        side_px: side of the pictures that it takes.
    """
    from skimage.data import astronaut

    side = side_px, side_px
    source = np.asarray(cv2.resize(astronaut(), side, interpolation=cv2.INTER_AREA), np.uint8)  # type: ignore[no-untyped-call]
    styled = to_pictures(engine(to_tensor(source[None], engine.device)))[0]
    ours, theirs = (_slow_colours(picture) for picture in (source, styled))
    return float((ours * theirs).sum() / (ours * ours).sum()) > _MIN_COLOUR_SHARE


def _slow_colours(picture: RGB) -> Floats:
    """Colour differences without brightness and detail, less their mean."""
    colours = picture.astype(np.float32)
    colours -= cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)[..., None]
    slow = cv2.resize(colours, (32, 32), interpolation=cv2.INTER_AREA)
    return np.asarray(slow - slow.mean((0, 1)), np.float32)
