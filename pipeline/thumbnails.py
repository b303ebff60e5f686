"""Two small pictures of a result: a good moment before and after, for pages that show what was done."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from .canvas import PictureCanvas
from .decode import frame_near
from .errors import InputError
from .finder import RGB
from .inputs import PICTURE_SUFFIXES, is_picture
from .probe import probe
from .stills import read_picture

WIDTH_PX = 480
"""Width of the pictures."""


def write_thumbnails(source: Path, result: Path, report: Mapping[str, Any], before: Path, after: Path) -> None:
    """Write a JPEG of the source and one of the result, at the same moment.

    Of a video it is the middle of the longest time that a restyled face was there; of a folder its first picture.

    Args:
        source: video, picture or folder of pictures.
        result: what was made of it.
        report: its report.
        before: file to write.
        after: file to write.

    Raises:
        InputError: one of them cannot be read.
    """
    if source.is_dir():
        names = sorted(p.relative_to(result) for p in result.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        if not names:
            raise InputError(f'"{result}" holds no picture.')
        source, result = source / names[0], result / names[0]
    at_secs = good_moment_secs(report)
    pictures = _picture_of(source, at_secs), _picture_of(result, at_secs)
    for target, picture in zip((before, after), pictures, strict=True):
        _write(target, picture)


def good_moment_secs(report: Mapping[str, Any]) -> float:
    """Return the middle of the longest track that was restyled, from the video's start; 0.0 where there is none."""
    tracks = [track for track in report.get("track_list", ()) if track.get("style")]
    if not tracks:
        return 0.0
    longest = max(tracks, key=lambda track: float(track["last_secs"]) - float(track["first_secs"]))
    return (float(longest["first_secs"]) + float(longest["last_secs"])) / 2


def _picture_of(path: Path, at_secs: float) -> RGB:
    if is_picture(path):
        canvas = PictureCanvas(read_picture(path).rgb)
        return canvas.to_rgb(0, 0, *canvas.size_wh)
    frame = frame_near(probe(path), at_secs)
    if frame is None:
        raise InputError(f'"{path}" holds no frame that can be decoded.')
    return frame.to_rgb(0, 0, *frame.size_wh)


def _write(path: Path, rgb: RGB) -> None:
    """Write a picture, made smaller; the file appears whole."""
    height = max(round(rgb.shape[0] * WIDTH_PX / rgb.shape[1]), 1)
    small = cv2.resize(rgb, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    part = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(np.asarray(small, np.uint8)).save(part, "JPEG", quality=85)
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
