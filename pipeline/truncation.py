"""Tell from the outer structure of a file whether its end is missing: mp4 boxes, the mkv segment, the AVI chunk.

A demuxer reads a file that was cut off without a word as long as its index is there. Streams without any length in
their structure (ts, flv, live recordings) are not judged.
"""

import os
from pathlib import Path
from typing import IO

_EBML_MAGIC = b"\x1a\x45\xdf\xa3"
_MP4_BOXES = frozenset(
    b"ftyp moov mdat moof mfra free skip wide uuid meta udta sidx ssix styp prft emsg pdin pnot sefd".split()
)
_SEGMENT_ID = b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int | None:
    """Return how many bytes of the file are missing at its end, 0 if none, None if its structure does not say."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(12)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
            end = _mp4_end(file, size)
        elif head[:4] == _EBML_MAGIC:
            end = _mkv_end(file)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            riff_size = int.from_bytes(head[4:8], "little")
            end = riff_size + 8 if riff_size else None
        else:
            end = None
    return None if end is None else max(0, end - size)


def _mp4_end(file: IO[bytes], size: int) -> int | None:
    """Return where the last top-level box should end."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            return position + 8
        if header[4:8] not in _MP4_BOXES:  # a camera's own appendix
            return position
        length = int.from_bytes(header[:4], "big")
        if length == 0:  # this box goes to the end of the file, wherever that is
            return None
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:
            return None
        position += length
    return position


def _mkv_end(file: IO[bytes]) -> int | None:
    """Return where the segment should end; None when it was written without a size."""
    file.seek(4)
    header_size = _read_vint(file)
    if header_size is None:
        return None
    file.seek(header_size, os.SEEK_CUR)
    if file.read(4) != _SEGMENT_ID:
        return None
    segment_size = _read_vint(file)
    return None if segment_size is None else file.tell() + segment_size


def _read_vint(file: IO[bytes]) -> int | None:
    """Read an EBML variable-length size; None when it is the "unknown" one or broken."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    data = bytes([first[0] & (0xFF >> length)]) + file.read(length - 1)
    value = int.from_bytes(data, "big")
    is_unknown = value == (1 << (7 * length)) - 1
    return None if is_unknown or len(data) < length else value
