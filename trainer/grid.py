"""Labelled grids of pictures, as one picture. Knows not what the pictures show; writes no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""HxWx3 uint8 RGB."""

MIN_TILE_PX, MAX_TILE_PX = 144, 256
"""Smaller pictures are enlarged, as labels would not fit; larger ones are shrunk."""

_MARGIN_PX = 110
_HEADER_PX = 26
_GAP_PX = 4
_PAPER, _INK = 255, (40, 40, 40)
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45


@dataclass(frozen=True)
class Row:
    """Some tiles side by side."""

    label: str
    """What stands to their left; lines are parted by a newline."""
    tiles: Mapping[str, Picture]
    """Pictures, HxWx3 uint8 RGB, by the column they belong to."""


@dataclass(frozen=True)
class Section:
    """Rows under one header."""

    title: str
    """What stands to the left of the columns' names."""
    rows: Sequence[Row]


def draw_grid(sections: Sequence[Section], *, title: str = "") -> Picture:
    """Draw sections one below the other, each under the names of its columns.

    Args:
        sections: from top to bottom.
        title: a line above all of them.

    Returns:
        HxWx3 uint8 RGB on white.

    Raises:
        ValueError: there is no picture.
    """
    rows = [row for section in sections for row in section.rows]
    sides = [max(tile.shape[:2]) for row in rows for tile in row.tiles.values()]
    if not sides:
        raise ValueError("a grid needs at least one picture.")
    tile_px = min(max(max(sides), MIN_TILE_PX), MAX_TILE_PX)
    num_columns = max(len(_columns(section)) for section in sections)
    width = _MARGIN_PX + num_columns * (tile_px + _GAP_PX)
    bands = [band for section in sections for band in _section_bands(section, tile_px, width)]
    return np.concatenate([*([_title_band(title, width)] if title else []), *bands])


def to_png(picture: Picture) -> bytes:
    """Encode HxWx3 uint8 RGB as a file's content."""
    return bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1])


def _title_band(title: str, width: int) -> Picture:
    band = _paper(_HEADER_PX, width)
    _write(band, title, 6, is_bold=True)
    return band


def _columns(section: Section) -> list[str]:
    """Names of all columns of a section, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in section.rows for name in row.tiles))


def _section_bands(section: Section, tile_px: int, width: int) -> list[Picture]:
    columns = _columns(section)
    header = _paper(_HEADER_PX, width)
    _write(header, section.title, 6, is_bold=True)
    for index, name in enumerate(columns):
        _write(header, name, _left(index, tile_px))
    return [header, *(_row_band(row, columns, tile_px, width) for row in section.rows)]


def _row_band(row: Row, columns: Sequence[str], tile_px: int, width: int) -> Picture:
    band = _paper(tile_px + _GAP_PX, width)
    for number, line in enumerate(row.label.split("\n")):
        _write(band, _fitted(line), 6, top=number * 20)
    for index, name in enumerate(columns):
        if name in row.tiles:
            left = _left(index, tile_px)
            band[:tile_px, left : left + tile_px] = _tile(row.tiles[name], tile_px)
    return band


def _left(index: int, tile_px: int) -> int:
    return _MARGIN_PX + index * (tile_px + _GAP_PX)


def _paper(height: int, width: int) -> Picture:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _tile(picture: Picture, side: int) -> Picture:
    """A picture in a square tile, its shape kept; small ones keep their pixels visible."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    tile = _paper(side, side)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = resized
    return tile


def _write(picture: Picture, text: str, left: int, *, top: int = 0, is_bold: bool = False) -> None:
    """Write a line of text; OpenCV's font has ASCII only."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, (left, top + 17), _FONT, _SCALE, _INK, 1 + is_bold, cv2.LINE_AA)


def _fitted(line: str) -> str:
    """As much of a line as fits into the margin."""
    while line and cv2.getTextSize(line, _FONT, _SCALE, 1)[0][0] > _MARGIN_PX - 16:
        line = line[:-1]
    return line
