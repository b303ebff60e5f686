"""The contact sheet of a face data set: what was kept, and under each reason some of what was left out."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..finder import RGB
from ..publish import out_of_space_told, publish
from .quality import Measures
from .table import Row
from .writing import FaceFolder

CELL_PX = 96
"""Side of a picture on the sheet."""
COLUMNS = 16
"""Pictures in a row."""
MAX_KEPT = COLUMNS * 12
"""So many of the kept crops are shown, evenly spread."""
MAX_LEFT_OUT = COLUMNS
"""So many are shown for each reason to leave a face out."""

_CAPTION_PX = 16
_HEADING_PX = 24
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """One picture of the sheet."""

    picture: RGB
    """CELL_PX x CELL_PX x 3 uint8 RGB."""
    caption: str
    """What stands below it."""


def thumbnail(crop: RGB, caption: str) -> Thumbnail:
    """Shrink a crop (SxSx3 uint8 RGB) for the sheet."""
    small: Any = cv2.resize(crop, (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA)
    return Thumbnail(np.asarray(small, np.uint8), caption)


def caption_of(size_px: float, blur: float, yaw: float) -> str:
    """Return the figures that thresholds are mostly chosen by: size, blur, turn."""
    return f"{size_px:.0f} {blur:.2f} {yaw:+.0f}"


class LeftOutFaces:
    """A few examples of what was left out for each reason, every face with the same chance; the same every time."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[Thumbnail]] = {}
        self._rng = random.Random(0)

    def offer(self, reason: str, crop: RGB, measures: Measures) -> None:
        """Take a face in, or not."""
        count = self.counts[reason] = self.counts.get(reason, 0) + 1
        examples = self.examples.setdefault(reason, [])
        place = len(examples) if count <= MAX_LEFT_OUT else self._rng.randrange(count)
        if place < MAX_LEFT_OUT:
            shown = thumbnail(crop, caption_of(measures.size_px, measures.blur, measures.pose.yaw))
            examples[place : place + 1] = [shown]


def evenly(count: int, wanted: int) -> list[int]:
    """Choose `wanted` of `count` places at even distances, first and last included."""
    if count <= wanted:
        return list(range(count))
    return [int(place) for place in np.linspace(0, count - 1, wanted).round()]


def write_sheet(folder: FaceFolder, left_out: LeftOutFaces) -> Path | None:
    """Draw the contact sheet of a folder beside its table; None where there is nothing to show."""
    kept = [row for row in folder.rows if row.file]
    if not kept and not left_out.counts:
        return None
    shown = (_thumbnail_of(folder.root, kept[index]) for index in evenly(len(kept), MAX_KEPT))
    examples = {
        f"left out as {reason}: {left_out.counts[reason]}": pictures
        for reason, pictures in sorted(left_out.examples.items())
    }
    heading = f"{len(kept)} kept (below each: size in pixels, blur, yaw)"
    sheet = draw_sheet([picture for picture in shown if picture is not None], heading, examples)
    path = folder.root / folder.layout.sheet
    part = path.with_name(f".{path.name}.part")
    with out_of_space_told(path):
        part.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
        publish(part, path, overwrite=True)
    return path


def _thumbnail_of(root: Path, row: Row) -> Thumbnail | None:
    picture = cv2.imread(str(root / row.file))
    if picture is None:  # removed by hand
        return None
    crop = np.ascontiguousarray(picture[..., ::-1], np.uint8)
    return thumbnail(crop, caption_of(float(row.size_px), float(row.blur), float(row.yaw)))


def draw_sheet(kept: Sequence[Thumbnail], heading: str, left_out: Mapping[str, Sequence[Thumbnail]]) -> RGB:
    """Draw the contact sheet.

    Args:
        kept: crops of the data set.
        heading: what stands above them.
        left_out: examples by heading.

    Returns:
        HxWx3 uint8 RGB.
    """
    parts = [_section(heading, kept), *(_section(words, examples) for words, examples in left_out.items())]
    return np.concatenate(parts)


def _section(heading: str, shown: Sequence[Thumbnail]) -> RGB:
    bar = np.full((_HEADING_PX, COLUMNS * CELL_PX, 3), 255, np.uint8)
    cv2.putText(bar, heading, (5, 17), _FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    rows = [_row(shown[start : start + COLUMNS]) for start in range(0, len(shown), COLUMNS)]
    return np.concatenate([bar, *rows])


def _row(shown: Sequence[Thumbnail]) -> RGB:
    row = np.full((CELL_PX + _CAPTION_PX, COLUMNS * CELL_PX, 3), 255, np.uint8)
    for column, item in enumerate(shown):
        left = column * CELL_PX
        row[:CELL_PX, left : left + CELL_PX] = item.picture
        cv2.putText(row, item.caption, (left + 3, CELL_PX + 12), _FONT, 0.36, (40, 40, 40), 1, cv2.LINE_AA)
    return row
