"""Pictures made on the fly, for the tests of reading and writing them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.stills import read_picture, write_picture


def noise(*shape: int, dtype: Any = np.uint8) -> Any:
    return np.random.default_rng(5).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def save(path: Path, pixels: Any, **options: Any) -> Path:
    """Write with Pillow; WebP without loss."""
    if path.suffix == ".webp":
        options = {"lossless": True, "exact": True} | options
    Image.fromarray(pixels).save(path, **options)
    return path


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def exif_with(orientation: int) -> bytes:
    """EXIF with an orientation, a maker, a GPS latitude and a maker note of bytes no library understands."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Kamera GmbH"
    exif.get_ifd(0x8769)[0x927C] = b"\x01private\xff"
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes()


def rewritten(path: Path, folder: Path, **options: Any) -> Path:
    """Read a picture and write it unchanged under its own name elsewhere."""
    folder.mkdir(exist_ok=True)
    picture = read_picture(path, **options)
    assert write_picture(folder / path.name, picture, picture.rgb) == ()
    return folder / path.name
