"""One encoder per picture format: pixels and metadata in, the bytes of a file out, coded no worse than the source was.

Writes no files and decides nothing about faces.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import ExifTags, Image

from .still_metadata import Metadata, with_metadata

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

JPEG_QUALITY = 95
"""Lowest quality of a written JPEG; colour is never subsampled."""
_LUMA_STEPS_AT_95 = 369
"""Sum of libjpeg's luminance quantisation steps at quality 95; a source with a smaller sum is coded finer."""
_MAX_JPEG_EXIF = 65_500
"""A JPEG segment holds no more bytes."""

DESCRIPTIVE_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Copyright,
)
"""Text tags of a TIFF that tell where a picture comes from; the others tell how it is stored."""


@dataclass(frozen=True)
class Coding:
    """How the source file codes its pixels, so that the output is coded no worse."""

    format: str
    """Pillow's name of the format: JPEG, PNG, WEBP, TIFF or BMP."""
    suffix: str = ""
    """The source's suffix, lower case; a PNG may be named .jpg."""
    is_lossless: bool = True
    """False for JPEG and for lossy WebP."""
    is_compressed: bool = True
    """TIFF: compressed."""
    is_progressive: bool = False
    """JPEG: progressive."""
    jpeg_tables: dict[int, list[int]] = field(default_factory=dict)
    """JPEG: quantisation steps by number of the table."""


def encode_picture(name: str, pixels: Pixels, coding: Coding, metadata: Metadata) -> bytes:
    """Encode a picture.

    Args:
        name: format, one of ENCODERS.
        pixels: HxWx3 or HxWx4 RGB(A), uint8 or uint16; the format must be able to hold them.
        coding: how the source was coded.
        metadata: what the file shall carry; what the format has no place for is left out.
    """
    return ENCODERS[name](pixels, coding, metadata)


def can_hold_alpha(name: str) -> bool:
    """Tell whether a format has transparency."""
    return name != "JPEG"


def can_hold_16_bit(name: str) -> bool:
    """Tell whether a format has 16 bits per sample."""
    return name in ("PNG", "TIFF")


def _encode_jpeg(pixels: Pixels, coding: Coding, metadata: Metadata) -> bytes:
    options = _web_options(metadata) | {"progressive": coding.is_progressive, "subsampling": 0}
    if metadata.exif and len(metadata.exif) > _MAX_JPEG_EXIF:
        del options["exif"]
    if metadata.dpi:
        options["dpi"] = tuple(round(value) for value in metadata.dpi)
    if metadata.comment:
        options["comment"] = metadata.comment
    if coding.jpeg_tables and sum(coding.jpeg_tables[min(coding.jpeg_tables)]) < _LUMA_STEPS_AT_95:
        options["qtables"] = coding.jpeg_tables
    else:
        options["quality"] = JPEG_QUALITY
    return _saved(pixels, "JPEG", options)


def _encode_webp(pixels: Pixels, coding: Coding, metadata: Metadata) -> bytes:
    is_lossless = coding.is_lossless  # a PNG becomes a lossless WebP
    # `exact` keeps the colour of fully transparent pixels.
    options = {"lossless": is_lossless, "exact": True, "quality": 75 if is_lossless else JPEG_QUALITY, "method": 4}
    return _saved(pixels, "WEBP", _web_options(metadata) | options)


def _encode_png(pixels: Pixels, coding: Coding, metadata: Metadata) -> bytes:
    png = _by_opencv(".png", pixels) if pixels.dtype == np.uint16 else _saved(pixels, "PNG", {})
    return with_metadata(png, metadata)


def _encode_bmp(pixels: Pixels, coding: Coding, metadata: Metadata) -> bytes:
    if pixels.shape[2] == 4:  # Pillow writes the four channels but marks none as alpha
        return _by_opencv(".bmp", pixels)
    return _saved(pixels, "BMP", {"dpi": metadata.dpi} if metadata.dpi else {})


def _encode_tiff(pixels: Pixels, coding: Coding, metadata: Metadata) -> bytes:
    tags = [(34675, 7, len(metadata.icc), metadata.icc, True)] if metadata.icc else []
    described = Image.Exif()
    if metadata.exif:
        described.load(metadata.exif)
    texts = {tag: str(described[tag]).encode() for tag in DESCRIPTIVE_TAGS if tag in described}
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels,
        photometric="rgb",
        compression="zlib" if coding.is_compressed else None,
        metadata=None,
        extrasamples=("unassalpha",) if pixels.shape[2] == 4 else None,
        software=False,
        resolution=metadata.dpi,
        resolutionunit=2 if metadata.dpi else None,
        extratags=tags + [(int(tag), 2, len(text) + 1, text + b"\0", True) for tag, text in texts.items()],
    )
    return buffer.getvalue()


ENCODERS: dict[str, Callable[[Pixels, Coding, Metadata], bytes]] = {
    "JPEG": _encode_jpeg,
    "PNG": _encode_png,
    "WEBP": _encode_webp,
    "TIFF": _encode_tiff,
    "BMP": _encode_bmp,
}
"""Formats that can be written, by Pillow's names."""


def _web_options(metadata: Metadata) -> dict[str, object]:
    options = {"icc_profile": metadata.icc, "exif": metadata.exif and b"Exif\0\0" + metadata.exif, "xmp": metadata.xmp}
    return {key: value for key, value in options.items() if value}


def _saved(pixels: Pixels, name: str, options: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, name, **options)
    return buffer.getvalue()


def _by_opencv(suffix: str, pixels: Pixels) -> bytes:
    bgr: Any = np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    return cv2.imencode(suffix, bgr)[1].tobytes()
