"""Read and write single pictures without spoiling them: depth, transparency, colour profile and metadata are kept.

A picture that cannot be treated without loss (CMYK, animation, floating point) is refused by name. Finds no faces and
changes no pixels.
"""

from __future__ import annotations

import io
import logging
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from .errors import UnreadableInputError, UnsupportedInputError
from .orientation import UPRIGHT, Orientation
from .publish import out_of_space_told, publish
from .still_encoding import DESCRIPTIVE_TAGS, Coding, Pixels, can_hold_16_bit, can_hold_alpha, encode_picture
from .still_metadata import (
    Metadata,
    carried_png_chunks,
    check_png,
    is_lossless_webp,
    is_rgb_profile,
    png_bit_depth,
    upright_exif,
    upright_xmp,
)

MAX_PIXELS = 1 << 26
"""Larger pictures are refused: a file of 30 kB can unfold to gigabytes."""
_MAX_BYTES = 1 << 30

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
"""Pillow's names of the formats that are read; a JPEG with further pictures behind it, as of phones, opens as MPO."""
SUFFIX_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
"""Format of an output by its suffix, lower case."""
_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"II*\0", b"MM\0*", b"BM")
_MODES = frozenset({"1", "L", "P", "RGB", "RGBA", "LA", "PA", "I;16", "I;16L", "I;16B"})
_REFUSED_MODES = {
    "CMYK": "it is a CMYK picture for print",
    "LAB": "it is a Lab picture",
    "F": "its pixels are floating point",
    "I": "it has 32 bits per sample",
}
_ORIENTATIONS = {
    1: UPRIGHT,
    2: Orientation(0, True),
    3: Orientation(180),
    4: Orientation(180, True),
    5: Orientation(270, True),
    6: Orientation(90),
    7: Orientation(90, True),
    8: Orientation(270),
}
"""EXIF orientation (CIPA DC-008, 4.6.4.A): how the stored picture is mirrored and turned for display."""


@dataclass(frozen=True)
class Picture:
    """One still picture, upright."""

    rgb: Pixels
    """HxWx3 RGB, uint8 or uint16 over the type's whole range; as displayed, orientation applied."""
    alpha: Pixels | None
    """HxW transparency of the same type and orientation, or None; not multiplied into `rgb`."""
    coding: Coding
    """How the file coded them."""
    metadata: Metadata = field(default_factory=Metadata)
    """What the output will carry."""
    was_turned: bool = False
    """Whether the file stored the picture turned or mirrored."""
    warnings: tuple[str, ...] = ()
    """What could not be read or will not be carried, as sentences."""

    @property
    def bit_depth(self) -> int:
        """Bits per sample: 8 or 16."""
        return self.rgb.dtype.itemsize * 8


def read_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a JPEG, PNG, WebP, TIFF or BMP, whatever its name says.

    Args:
        path: a regular file or a link to one.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        UnreadableInputError: the file is missing, not a regular file, damaged or cut off.
        UnsupportedInputError: it is no picture, or one that could not be written back without loss.
    """
    data = _read_bytes(path)
    with _errors_named(path, data), _warnings_collected() as notes:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(path, image, max_pixels)
        _check_kind(path, image)
        if image.format == "PNG":
            check_png(data)
        coding, orientation = _coding(path, image, data), _orientation(image, notes)
        metadata = _metadata(image, data, notes)
        image.load()
        pixels: Pixels = _pixels_16_bit(path, image, data) if _is_16_bit(image, data) else _pixels_8_bit(image)
    upright: Any = orientation.to_display(pixels)
    rgb, alpha = np.ascontiguousarray(upright[..., :3]), np.ascontiguousarray(upright[..., 3:])
    return Picture(rgb, alpha[..., 0] if alpha.size else None, coding, metadata, orientation != UPRIGHT, tuple(notes))


def write_picture(path: Path, picture: Picture, rgb: Pixels) -> tuple[str, ...]:
    """Write new pixels with everything else of a picture that was read; the file appears whole or not at all.

    The format is the source's where the suffix is the source's, else that of the suffix. Formats without loss give the
    pixels back exactly; a JPEG is coded at quality 95 or as finely as its source, without subsampling of colour.

    Args:
        path: where to write; an existing file is replaced.
        picture: the source: transparency, colour profile, EXIF and coding come from it.
        rgb: HxWx3 RGB, uint8 or uint16; where its size is another, the transparency is repeated sidewards or resized.

    Returns:
        What the format could not hold, as sentences.

    Raises:
        UnsupportedInputError: the suffix is none of a picture format, or the format has no transparency.
        OutOfSpaceError: the disk is full.
    """
    name = _output_format(path, picture.coding)
    pixels, notes = _pixels_for(path, name, picture, rgb)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with out_of_space_told(path):
            part.write_bytes(encode_picture(name, pixels, picture.coding, picture.metadata))
            publish(part, path, overwrite=True)
    finally:
        part.unlink(missing_ok=True)
    return notes


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UnreadableInputError(f'"{path}" {"is not a regular file" if path.exists() else "does not exist"}.')
        if path.stat().st_size > _MAX_BYTES:
            raise UnsupportedInputError(f'"{path}" is larger than {_MAX_BYTES >> 20} MiB, too large for a picture.')
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableInputError(f'"{path}" cannot be read: {error.strerror}.') from error
    if not data:
        raise UnreadableInputError(f'"{path}" is empty.')
    return data


@contextmanager
def _errors_named(path: Path, data: bytes) -> Iterator[None]:
    """Turn whatever the decoders raise into errors that name the file and the reason."""
    try:
        yield
    except (UnreadableInputError, UnsupportedInputError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnsupportedInputError(f'"{path}" unfolds to too many pixels: {error}') from error
    except UnidentifiedImageError as error:
        if data.startswith(_STARTS):
            raise UnreadableInputError(f'"{path}" is damaged or cut off: its header cannot be read.') from error
        raise UnsupportedInputError(f'"{path}" is no JPEG, PNG, WebP, TIFF or BMP picture.') from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything on damaged data: OSError, SyntaxError, struct.error ...
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise UnreadableInputError(f'"{path}" is damaged or cut off: {reason}.') from error


@contextmanager
def _warnings_collected() -> Iterator[list[str]]:
    """Collect what Pillow warns of as sentences; its warning of too many pixels is an error, its log is silent."""
    notes: list[str] = []
    pillow_log = logging.getLogger("PIL")
    level = pillow_log.level
    pillow_log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield notes
            notes += [str(warning.message).strip() for warning in caught if issubclass(warning.category, UserWarning)]
    finally:
        pillow_log.setLevel(level)


def _check_size(path: Path, image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise UnsupportedInputError(
            f'"{path}" has {width} x {height} pixels, more than the {max_pixels} that are taken; make it smaller first.'
        )


def _check_kind(path: Path, image: Image.Image) -> None:
    """Refuse what cannot be written back as it came."""
    num_pictures = getattr(image, "n_frames", 1)
    if num_pictures > 1 and image.format != "MPO":
        kind = "pages" if image.format == "TIFF" else "frames of an animation"
        raise UnsupportedInputError(f'"{path}" holds {num_pictures} {kind}; only single pictures are converted.')
    if image.mode not in _MODES:
        reason = _REFUSED_MODES.get(image.mode, f"its pixels are of the kind '{image.mode}'")
        raise UnsupportedInputError(f'"{path}" cannot be converted without loss: {reason}; save it as RGB first.')


def _coding(path: Path, image: Image.Image, data: bytes) -> Coding:
    name = "JPEG" if image.format == "MPO" else str(image.format)
    return Coding(
        name,
        path.suffix.lower(),
        is_lossless=name != "JPEG" and (name != "WEBP" or is_lossless_webp(data)),
        is_compressed=image.info.get("compression") != "raw",
        is_progressive=bool(image.info.get("progressive")),
        jpeg_tables={number: list(table) for number, table in getattr(image, "quantization", {}).items()},
    )


def _orientation(image: Image.Image, notes: list[str]) -> Orientation:
    if image.format == "TIFF":  # both decoders turn a TIFF themselves
        return UPRIGHT
    try:
        tag = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:  # damaged EXIF raises anything; the pixels are still sound
        notes.append(f"The EXIF data is damaged ({error}); the picture is taken as upright.")
        return UPRIGHT
    return _ORIENTATIONS.get(tag, UPRIGHT)


def _metadata(image: Image.Image, data: bytes, notes: list[str]) -> Metadata:
    if image.format == "MPO" and getattr(image, "n_frames", 1) > 1:
        notes.append("The further pictures behind the first one (preview, depth or brightness) are not carried.")
    if "photoshop" in image.info:
        notes.append("The Photoshop data (IPTC) is not carried.")
    dpi = image.info.get("dpi")
    return Metadata(
        exif=_carried_exif(image, notes),
        icc=_carried_icc(image, notes),
        xmp=_carried_xmp(image),
        dpi=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None,
        comment=image.info.get("comment") if image.format in ("JPEG", "MPO") else None,
        png_chunks=carried_png_chunks(data) if image.format == "PNG" else (),
    )


def _carried_exif(image: Image.Image, notes: list[str]) -> bytes | None:
    exif = _described_exif(image) if image.format == "TIFF" else image.info.get("exif")
    if not exif:
        return None
    try:
        return upright_exif(exif)
    except ValueError as error:
        notes.append(f"The EXIF data is damaged and not carried: {error}.")
        return None


def _described_exif(image: Image.Image) -> bytes | None:
    """The tags of a TIFF that tell where a picture comes from, as EXIF; the others tell how it is stored."""
    source, carried = image.getexif(), Image.Exif()
    for tag in DESCRIPTIVE_TAGS:
        if tag in source:
            carried[tag] = source[tag]
    return carried.tobytes() if len(carried) else None


def _carried_icc(image: Image.Image, notes: list[str]) -> bytes | None:
    icc = image.info.get("icc_profile")
    if icc and not is_rgb_profile(icc):
        notes.append("The colour profile is none for RGB and is not carried.")
        return None
    return icc or None


def _carried_xmp(image: Image.Image) -> bytes | None:
    xmp = image.info.get("xmp")
    return upright_xmp(xmp) if isinstance(xmp, bytes) and xmp else None


def _is_16_bit(image: Image.Image, data: bytes) -> bool:
    bits: Any = getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, ())
    return image.mode.startswith("I;16") or png_bit_depth(data) == 16 or 16 in np.atleast_1d(bits)


def _pixels_8_bit(image: Image.Image) -> npt.NDArray[np.uint8]:
    """HxWx3 or HxWx4 as stored."""
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _pixels_16_bit(path: Path, image: Image.Image, data: bytes) -> npt.NDArray[np.uint16]:
    """HxWx3 or HxWx4 as stored. Pillow knows no 16-bit colour; its 8-bit picture proves that OpenCV saw the same."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise UnreadableInputError(f'"{path}" is damaged, or stores its 16 bits per sample in an unknown way.')
    bgr: npt.NDArray[np.uint16] = np.atleast_3d(decoded)
    rgb = np.repeat(bgr, 3, axis=2) if bgr.shape[2] == 1 else bgr[..., [2, 1, 0, 3][: bgr.shape[2]]]
    reference = np.asarray(image if image.mode.startswith("I;16") else image.convert("RGB"))
    seen = rgb[..., 0] if reference.ndim == 2 else rgb[..., :3] >> 8
    if seen.shape != reference.shape or np.abs(seen.astype(np.int32) - reference).max() > 1:
        raise UnsupportedInputError(f'"{path}" stores 16 bits per sample in an unusual way; save it as PNG first.')
    return rgb.astype(np.uint16)


def _output_format(path: Path, coding: Coding) -> str:
    suffix = path.suffix.lower()
    if suffix == coding.suffix:
        return coding.format
    try:
        return SUFFIX_FORMATS[suffix]
    except KeyError:
        known = ", ".join(SUFFIX_FORMATS)
        raise UnsupportedInputError(f'"{path}" is no name for a picture: its suffix is none of {known}.') from None


def _pixels_for(path: Path, name: str, picture: Picture, rgb: Pixels) -> tuple[Pixels, tuple[str, ...]]:
    """HxWx3 or HxWx4 of a type the format can hold, and what was lost on the way."""
    notes = []
    alpha = picture.alpha
    if alpha is not None and not can_hold_alpha(name):
        if alpha.min() < np.iinfo(alpha.dtype).max:
            raise UnsupportedInputError(f'"{path}" cannot hold the transparency of its source; choose .png or .webp.')
        alpha = None
    if rgb.dtype == np.uint16 and not can_hold_16_bit(name):
        notes.append(f"{name} holds 8 bits per sample; the source has 16.")
        rgb = to_depth(rgb, 8)
    channels: Any = [rgb]
    if alpha is not None:
        channels.append(to_depth(_fitted(alpha, rgb.shape[1], rgb.shape[0]), rgb.dtype.itemsize * 8))
    return np.dstack(channels), tuple(notes)


def to_depth(pixels: Pixels, bit_depth: int) -> Pixels:
    """Scale samples to 8 or 16 bits; 16 bits and back is exact."""
    if pixels.dtype.itemsize * 8 == bit_depth:
        return pixels
    if bit_depth == 16:
        return pixels.astype(np.uint16) * np.uint16(257)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _fitted(alpha: Pixels, width: int, height: int) -> Pixels:
    """Transparency for a picture of another size: repeated for two side by side, else resized."""
    is_repeated = alpha.shape[0] == height and width % alpha.shape[1] == 0
    fitted: Any = (
        np.tile(alpha, (1, width // alpha.shape[1]))
        if is_repeated
        else cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    )
    return np.asarray(fitted)
