"""Read what a video file is before anything is done with it: streams, timing, rotation, colours; refuse all else.

Hostile input is expected: only regular files are opened, by absolute `file:` URL, with a list of allowed containers and
no protocol but `file`. The first picture is decoded, because containers lie; no other one is.
"""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from .colour import ColourTags, effective_matrix, tags_from_codes
from .errors import InputError, UnreadableInputError, UnsupportedInputError
from .ffmpeg import SOURCE_OPTIONS, file_url
from .hdr import HdrMetadata, parse_hdr_metadata
from .mediainfo import Chapter, MediaInfo, OtherStream, VideoStream
from .orientation import UPRIGHT, parse_display_matrix
from .planes import layout_for
from .truncation import missing_bytes

logger = logging.getLogger(__name__)

MAX_PIXELS = 1 << 26
"""Largest picture that is decoded (67 megapixels, 8192 x 8192): bigger ones are taken for an attack on the memory."""

_MAX_PACKETS_TO_FIRST_FRAME = 1000
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_INTERLACED_ORDERS = (2, 3, 4, 5)  # AV_FIELD_TT, BB, TB, BT


def probe(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> MediaInfo:
    """Return what is in the video file `path`.

    Args:
        path: The file; a symbolic link to one is followed.
        max_pixels: Refuse larger pictures.

    Raises:
        UnreadableInputError: It is missing, not a regular file, empty, or damaged beyond its first picture.
        UnsupportedInputError: It is not a video of a known container, has no video stream, or its pictures are too big.
    """
    path = Path(os.path.abspath(path))
    check_regular_file(path)
    try:
        return _probe(path, max_pixels)
    except InputError as error:
        lacks = missing_bytes(path)
        if not lacks:
            raise
        raise UnreadableInputError(
            f"{show(path)} is cut off: at least {lacks} bytes are missing (an interrupted recording or copy)."
        ) from error


def _probe(path: Path, max_pixels: int) -> MediaInfo:
    with open_media(path, max_pixels=max_pixels) as container:
        stream = _main_video_stream(container, path)
        size = stream.codec_context.width, stream.codec_context.height
        _check_size(size, max_pixels, path)
        decoder = decoder_name(stream)
        frame = _first_frame(container, stream, decoder, path)
        _check_size((frame.width, frame.height), max_pixels, path)
        _check_matrix(frame, _colour(stream, frame), path)
        return _describe(container, stream, frame, decoder, path)


def check_regular_file(path: Path) -> None:
    """Refuse everything that is not a readable regular file with something in it, without blocking on a FIFO.

    Raises:
        UnreadableInputError: It is missing, a folder, a device, a FIFO, unreadable or empty.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise UnreadableInputError(f"{show(path)} cannot be opened: {error.strerror or error}.") from error
    try:
        status = os.fstat(handle)
    finally:
        os.close(handle)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableInputError(f"{show(path)} is not a regular file.")
    if status.st_size == 0:
        raise UnreadableInputError(f"{show(path)} is empty.")


def show(path: Path) -> str:
    """Return `path` in quotes for a message, safe to print whatever bytes its name has."""
    return '"' + os.fsencode(path).decode("utf-8", "backslashreplace").replace("\n", "\\n") + '"'


@contextmanager
def open_media(path: Path, *, max_pixels: int = MAX_PIXELS, accelerator: Any | None = None) -> Iterator[Any]:
    """Open a source for reading with PyAV, errors told as ours.

    Args:
        path: The file.
        max_pixels: Larger pictures are refused.
        accelerator: The `av.codec.hwaccel.HWAccel` that decodes; None decodes in software.

    Yields:
        The `av.container.InputContainer`.

    Raises:
        UnreadableInputError: Damaged.
        UnsupportedInputError: Not an allowed container.
    """
    import av

    # PyAV before 18 crashes on options for streams that are not known yet (mpegts), so old ones get no pixel limit.
    limit = {"max_pixels": str(max_pixels)} if int(av.__version__.partition(".")[0]) >= 18 else {}
    try:
        container = av.open(
            file_url(path),
            "r",
            options=limit,
            container_options=SOURCE_OPTIONS,
            metadata_errors="replace",
            hwaccel=accelerator,
        )
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise _opening_error(path, error) from error
    try:
        yield container
    finally:
        container.close()


def _opening_error(path: Path, error: Exception) -> InputError:
    if isinstance(error, OSError) and error.errno and not isinstance(error, ValueError):
        return UnreadableInputError(f"{show(path)} cannot be read: {error.strerror}.")
    return UnsupportedInputError(
        f"{show(path)} is not a video we can read: no mp4, mov, mkv, webm, ts, avi, flv, mpeg, wmv or ogv, "
        "or its header is damaged."
    )


def decoder_name(stream: Any) -> str:
    """Return the decoder to use: FFmpeg's choice, but libvpx for VP8 and VP9 with alpha, which the native ones drop."""
    name = str(stream.codec_context.name)
    if any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items()):
        return _ALPHA_DECODERS.get(_codec_name(stream), name)
    return name


def build_decoder(stream: Any, name: str) -> Any:
    """Return the codec context that decodes `stream`: its own, or one of the decoder called `name`."""
    import av

    if name == stream.codec_context.name:
        return stream.codec_context
    context = av.CodecContext.create(name, "r")
    context.extradata = stream.codec_context.extradata
    return context


def _codec_name(stream: Any) -> str:
    return str(stream.codec_context.codec.canonical_name)


def _is_picture(stream: Any) -> bool:
    return bool(_disposition(stream) & 0x400)  # AV_DISPOSITION_ATTACHED_PIC


def _disposition(stream: Any) -> int:
    """Return FFmpeg's flags; a number in new PyAV, an enum in old."""
    return int(getattr(stream.disposition, "value", stream.disposition))


def _main_video_stream(container: Any, path: Path) -> Any:
    streams = [stream for stream in container.streams.video if not _is_picture(stream)]
    if not streams:
        what = "only sound" if container.streams.audio else "no stream with pictures"
        raise UnsupportedInputError(f"{show(path)} has no video: there is {what} in it.")
    usable = [stream for stream in streams if stream.codec_context is not None]
    if not usable:
        raise UnsupportedInputError(f"{show(path)} holds video of a kind that no decoder here knows.")
    return max(usable, key=lambda stream: (bool(_disposition(stream) & 1), -stream.index))


def _check_size(size: tuple[int, int], max_pixels: int, path: Path) -> None:
    if size[0] * size[1] > max_pixels:
        raise UnsupportedInputError(
            f"{show(path)} has pictures of {size[0]} x {size[1]} pixels; the limit is {max_pixels} pixels."
        )


def _first_frame(container: Any, stream: Any, decoder: str, path: Path) -> Any:
    import av

    context = build_decoder(stream, decoder)
    num_packets = 0
    try:
        for packet in container.demux(stream):
            try:
                for frame in context.decode(packet):
                    return frame
            except av.InvalidDataError:
                logger.debug("A packet before the first picture of %s is damaged.", show(path))
            num_packets += 1
            if num_packets > _MAX_PACKETS_TO_FIRST_FRAME:
                break
    except (av.FFmpegError, MemoryError) as error:
        raise UnreadableInputError(
            f"{show(path)} is damaged: its first picture cannot be decoded ({error})."
        ) from error
    if num_packets <= 1:
        raise UnsupportedInputError(f"{show(path)} has no video: its video stream holds no picture.")
    raise UnreadableInputError(f"{show(path)} is damaged: none of its first pictures can be decoded.")


def _check_matrix(frame: Any, colour: ColourTags, path: Path) -> None:
    """Refuse colours we would spoil before any work is done."""
    if layout_for(frame.format.name).kind == "yuv":
        try:
            effective_matrix(colour, frame.height)
        except UnsupportedInputError as error:
            raise UnsupportedInputError(f"{show(path)}: {error}") from error


def _describe(container: Any, stream: Any, frame: Any, decoder: str, path: Path) -> MediaInfo:
    start = container.start_time
    others = tuple(_describe_other(other) for other in container.streams if other.index != stream.index)
    return MediaInfo(
        path=path,
        size_bytes=path.stat().st_size,
        container=str(container.format.name),
        start_secs=None if start is None else Fraction(start, 1_000_000),
        duration_secs=None if not container.duration else Fraction(container.duration, 1_000_000),
        video=_describe_video(stream, frame, decoder),
        others=others,
        chapters=_chapters(container),
        metadata=tuple(container.metadata.items()),
    )


def _describe_video(stream: Any, frame: Any, decoder: str) -> VideoStream:
    layout = layout_for(frame.format.name)
    matrix = _side_data(frame, "DISPLAYMATRIX")
    rate = stream.average_rate
    return VideoStream(
        index=stream.index,
        codec=_codec_name(stream),
        decoder=decoder,
        width=frame.width,
        height=frame.height,
        pix_fmt=str(frame.format.name),
        layout=layout,
        time_base=Fraction(stream.time_base),
        avg_frame_rate=Fraction(rate) if rate else None,
        start_pts=stream.start_time,
        duration_pts=stream.duration or None,
        orientation=UPRIGHT if matrix is None else parse_display_matrix(matrix),
        display_matrix=matrix,
        sample_aspect_ratio=_aspect_ratio(stream),
        colour=_colour(stream, frame),
        is_interlaced=bool(frame.interlaced_frame) or _field_order(stream) in _INTERLACED_ORDERS,
        hdr=_hdr(frame),
        disposition=_disposition(stream),
        metadata=tuple(stream.metadata.items()),
    )


def _field_order(stream: Any) -> int:
    return int(getattr(stream.codec_context, "field_order", 0))


def _aspect_ratio(stream: Any) -> Fraction | None:
    ratio = stream.sample_aspect_ratio
    return Fraction(ratio) if ratio and ratio > 0 else None


def _colour(stream: Any, frame: Any) -> ColourTags:
    context = stream.codec_context
    codes = (
        (frame.color_range, context.color_range),
        (frame.colorspace, context.colorspace),
        (getattr(frame, "color_primaries", 2), context.color_primaries),
        (getattr(frame, "color_trc", 2), context.color_trc),
    )
    tags = tags_from_codes(*(_first_known(int(a), int(b)) for a, b in codes))
    if frame.format.name.startswith("yuvj") and tags.range is None:
        return ColourTags("pc", tags.matrix, tags.primaries, tags.transfer)
    return tags


def _first_known(code: int, fallback: int) -> int:
    return code if code not in (0, 2) else fallback


def _side_data(frame: Any, name: str) -> bytes | None:
    for item in frame.side_data:
        if item.type.name == name:
            return bytes(item)
    return None


def _hdr(frame: Any) -> HdrMetadata | None:
    dynamic = ("DYNAMIC_HDR_PLUS", "DOVI_METADATA", "DOVI_RPU_BUFFER", "DYNAMIC_HDR_VIVID")
    return parse_hdr_metadata(
        _side_data(frame, "MASTERING_DISPLAY_METADATA"),
        _side_data(frame, "CONTENT_LIGHT_LEVEL"),
        has_dynamic=any(_side_data(frame, name) is not None for name in dynamic),
    )


def _describe_other(stream: Any) -> OtherStream:
    is_picture = stream.type == "video" and _is_picture(stream)
    context = stream.codec_context
    return OtherStream(
        index=stream.index,
        kind="picture" if is_picture else str(stream.type),
        codec=None if context is None else str(context.codec.canonical_name),
        language=stream.metadata.get("language"),
        metadata=tuple(stream.metadata.items()),
    )


def _chapters(container: Any) -> tuple[Chapter, ...]:
    chapters = container.chapters() if hasattr(container, "chapters") else []
    return tuple(
        Chapter(
            Fraction(chapter["start"]) * Fraction(chapter["time_base"] or 1),
            Fraction(chapter["end"]) * Fraction(chapter["time_base"] or 1),
            chapter["metadata"].get("title"),
        )
        for chapter in chapters
    )
