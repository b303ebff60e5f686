"""What a picture file carries beside its pixels, and how it stays true once the pixels stand upright and changed.

Works on bytes: EXIF is patched in place rather than written anew, so that what we do not know stays as it was. Reads no
files and no pixels.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PngChunk = tuple[bytes, bytes]
"""Type of four letters and content."""

_ORIENTATION_TAG = 0x0112
_EXIF_PREFIX = b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))[2-8]')
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_END = 33
_PNG_CARRIED = frozenset({b"cICP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI", b"pHYs", b"tEXt", b"zTXt", b"iTXt"})
_RAW_PROFILE = b"Raw profile type "
"""ImageMagick's way to keep EXIF in a text chunk; its orientation would turn the picture a second time."""


@dataclass(frozen=True)
class Metadata:
    """What is carried from the source to the output. Nothing in it turns the picture."""

    exif: bytes | None = None
    """EXIF from its byte-order mark on, orientation upright, without the thumbnail (it would show the old picture)."""
    icc: bytes | None = None
    """RGB colour profile, as in the source."""
    xmp: bytes | None = None
    """XMP packet, orientation upright."""
    dpi: tuple[float, float] | None = None
    """Resolution in dots per inch, x and y."""
    comment: bytes | None = None
    """JPEG comment."""
    png_chunks: tuple[PngChunk, ...] = ()
    """Colour, size and text chunks of a PNG, for a PNG."""


def upright_exif(exif: bytes) -> bytes:
    """Set the orientation of an EXIF block to upright and unlink its thumbnail; every other byte stays.

    Args:
        exif: with or without the six bytes that stand before it in a JPEG.

    Returns:
        The block without the prefix.

    Raises:
        ValueError: the block is damaged.
    """
    block = bytearray(exif.removeprefix(_EXIF_PREFIX))
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None:
        raise ValueError("EXIF without a byte-order mark")
    try:
        start = struct.unpack_from(order + "I", block, 4)[0]
        num_entries = struct.unpack_from(order + "H", block, start)[0]
        for at in range(start + 2, start + 2 + 12 * num_entries, 12):
            if struct.unpack_from(order + "H", block, at)[0] == _ORIENTATION_TAG:
                struct.pack_into(order + "H", block, at + 8, 1)
        struct.pack_into(order + "I", block, start + 2 + 12 * num_entries, 0)  # the thumbnail's directory
    except struct.error as error:
        raise ValueError("EXIF that ends early") from error
    return bytes(block)


def upright_xmp(xmp: bytes) -> bytes:
    """Set the orientation in an XMP packet to upright; every other byte stays."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def is_rgb_profile(icc: bytes) -> bool:
    """Tell whether an ICC profile describes RGB pixels (ICC.1:2022, 7.2.6); a grey one would spoil a colour picture."""
    return icc[16:20] == b"RGB "


def carried_png_chunks(png: bytes) -> tuple[PngChunk, ...]:
    """Return the chunks of a PNG that tell about colour, size and origin, ready for another PNG.

    EXIF and ICC are not among them: they are carried apart.
    """
    chunks = (chunk for chunk in _png_chunks(png) if chunk[0] in _PNG_CARRIED)
    return tuple((kind, upright_xmp(content)) for kind, content in chunks if not content.startswith(_RAW_PROFILE))


def png_bit_depth(png: bytes) -> int:
    """Return the bits per sample of a PNG (PNG specification, 11.2.1), or 0 for anything else."""
    return png[24] if png.startswith(_PNG_SIGNATURE) and len(png) > 24 else 0


def check_png(png: bytes) -> None:
    """Check the sums of a PNG's pixel data, which Pillow skips; wrong pixels would pass for right ones.

    Raises:
        ValueError: a chunk of pixels is not what was written.
    """
    at = len(_PNG_SIGNATURE)
    for kind, content in _png_chunks(png):
        at += 12 + len(content)
        if kind == b"IDAT" and at <= len(png) and zlib.crc32(kind + content) != int.from_bytes(png[at - 4 : at]):
            raise ValueError("a block of its pixels fails its checksum")


def with_metadata(png: bytes, metadata: Metadata) -> bytes:
    """Insert metadata into a PNG that has none."""
    chunks: Sequence[PngChunk] = metadata.png_chunks
    if metadata.icc:
        chunks = [(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)), *chunks]
    if metadata.exif:
        chunks = [*chunks, (b"eXIf", metadata.exif)]
    inserted = b"".join(_png_chunk(kind, content) for kind, content in chunks)
    return png[:_PNG_HEADER_END] + inserted + png[_PNG_HEADER_END:]


def is_lossless_webp(webp: bytes) -> bool:
    """Tell whether the first picture of a WebP is coded without loss (its bitstream chunk is VP8L)."""
    lossless, lossy = webp.find(b"VP8L", 12), webp.find(b"VP8 ", 12)
    return lossless >= 0 and (lossy < 0 or lossless < lossy)


def _png_chunks(png: bytes) -> Iterator[PngChunk]:
    at = len(_PNG_SIGNATURE)
    while at + 12 <= len(png):
        length = struct.unpack_from(">I", png, at)[0]
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
