"""Carry cover pictures into Matroska, which holds them as attached files and not as streams."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .ffmpeg import file_url
from .mediainfo import MediaInfo, OtherStream
from .muxplan import MuxPlan
from .probe import open_media

_MIME_TYPES = {"mjpeg": "image/jpeg", "png": "image/png", "bmp": "image/bmp"}
_SUFFIXES = {"mjpeg": ".jpg", "png": ".png", "bmp": ".bmp"}


@contextmanager
def attached_covers(plan: MuxPlan, out: Path) -> Iterator[list[str]]:
    """Write the plan's covers into a temporary folder beside `out`.

    Yields:
        ffmpeg's output arguments that attach them.
    """
    if not plan.covers:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix=".covers-", dir=out.parent) as folder:
        arguments = []
        for number, cover in enumerate(plan.covers):
            codec, position = cover.codec or "", len(plan.mappings) + number
            file = Path(folder) / f"cover{number}{_SUFFIXES[codec]}"
            file.write_bytes(_picture(plan.source, cover))
            name = dict(cover.metadata).get("filename") or f"cover{_SUFFIXES[codec]}"
            tags = f"-metadata:s:{position}"
            arguments += ["-attach", file_url(file), tags, f"mimetype={_MIME_TYPES[codec]}", tags, f"filename={name}"]
        yield arguments


def _picture(source: MediaInfo, cover: OtherStream) -> bytes:
    with open_media(source.path) as container:
        for packet in container.demux(container.streams[cover.index]):
            if packet.size:
                return bytes(packet)
    return b""
