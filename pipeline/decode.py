"""Decode the frames of a probed video in display order with exact stamps, all of them or one chunk.

What is wrong with a file on the way (damaged packets, missing or repeated stamps, a changed picture size, a missing
end) is counted in a `DecodeReport`; with `strict` it is an error. Interlaced pictures are woven frame by frame with
bwdif, so that faces are whole. Nothing is encoded or shown here.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .deinterlace import Deinterlacer
from .errors import UnreadableInputError
from .frames import Frame
from .mediainfo import MediaInfo
from .planes import frame_from_av
from .probe import build_decoder, open_media, show
from .truncation import missing_bytes

logger = logging.getLogger(__name__)

_SEEK_BACK_SECS = (0.0, 1.0, 5.0, 20.0)
_MISSING_END_SECS = 0.5


@dataclass
class DecodeReport:
    """What was decoded and what was wrong; filled while the frames are taken."""

    num_frames: int = 0
    """Frames handed out."""
    num_bad_packets: int = 0
    """Packets that the decoder or the demuxer refused."""
    num_bad_frames: int = 0
    """Frames that the decoder marked as damaged (shown with what it could make of them)."""
    num_packets: int = 0
    """Packets of the picture stream that should each have given a frame."""
    num_lost_frames: int = 0
    """Frames that packets were there for and that the decoder did not give, where they are too many to be in order."""
    num_repaired_pts: int = 0
    """Frames whose stamp was missing, repeated or ran backwards; the timeline is not the file's own any more."""
    num_converted: int = 0
    """Frames whose size or pixel format differed from the first one's."""
    missing_secs: float = 0.0
    """Length of the missing end, where the header promises one (0.0 if not known)."""
    is_truncated: bool = False
    """Whether the end of the file is missing."""
    end_secs: Fraction | None = field(default=None, repr=False)
    """End of the last packet of any stream, on the container's clock."""

    def warnings(self) -> list[str]:
        """Return one sentence per thing that was wrong."""
        told = []
        if self.is_truncated:
            amount = f", about {self.missing_secs:.1f} s" if self.missing_secs else ""
            told.append(f"The end of the file is missing{amount}.")
        for number, what in (
            (self.num_bad_packets, "packets were damaged and left out"),
            (self.num_bad_frames, "frames were damaged and decoded as well as possible"),
            (self.num_lost_frames, "frames could not be decoded"),
            (self.num_repaired_pts, "frames had a missing or repeated time stamp, which was replaced"),
            (self.num_converted, "frames differed in size or format and were scaled to the first one's"),
        ):
            if number:
                told.append(f"{number} {what}.")
        return told

    @property
    def is_damaged(self) -> bool:
        """Whether anything is missing or broken, as far as the decoder noticed."""
        return bool(self.is_truncated or self.num_bad_packets or self.num_bad_frames or self.num_lost_frames)


def iter_frames(info: MediaInfo, *, report: DecodeReport | None = None, strict: bool = False) -> Iterator[Frame]:
    """Decode the whole video.

    Args:
        info: What `probe` found.
        report: Filled while frames are taken, complete after the last one.
        strict: Raise at the end when the file was truncated or damaged.

    Yields:
        Frames in display order with strictly increasing pts.

    Raises:
        UnreadableInputError: `strict` and something is wrong, or nothing could be decoded.
    """
    report = report if report is not None else DecodeReport()
    clock = _Clock(info)
    with open_media(info.path) as container:
        for source in _decoded(container, info, report, container.streams):
            yield _convert(source, clock.stamp(source), info, report)
            report.num_frames += 1
    report.num_repaired_pts = clock.num_repaired
    _look_for_losses(info, report)
    if report.num_frames == 0 or (strict and report.is_damaged):
        raise UnreadableInputError(_damage(info, report))


def frame_near(info: MediaInfo, at_secs: float, *, is_exact: bool = True) -> Frame | None:
    """Decode one frame of a video.

    Args:
        info: What `probe` found.
        at_secs: Time from the video's start.
        is_exact: The first frame at or after that time, else quickly the key frame before it.

    Returns:
        The frame; the last one where the video ends before; None where nothing can be decoded.
    """
    import av

    time_base = info.video.time_base
    wanted = int((Fraction(at_secs) + (info.start_secs or 0)) / time_base)
    report, last = DecodeReport(), None
    with open_media(info.path) as container:
        stream = container.streams[info.video.index]
        with suppress(av.FFmpegError):  # then from the start
            container.seek(wanted, stream=stream)
        for source in _decoded(container, info, report, (stream,)):
            last = source
            if not is_exact or (source.pts is not None and source.pts >= wanted):
                break
    return None if last is None else _convert(last, last.pts or 0, info, report)


def iter_stamps(info: MediaInfo, report: DecodeReport) -> Iterator[int | None]:
    """Decode the whole video and yield the pts of every picture as it is, None where it has none.

    Args:
        info: What `probe` found.
        report: Filled on the way.
    """
    with open_media(info.path) as container:
        for source in _decoded(container, info, report, container.streams, is_shown=False):
            report.num_frames += 1
            yield source.pts
    _look_for_losses(info, report)


def iter_chunk(
    info: MediaInfo,
    pts: Sequence[int],
    start: int,
    stop: int,
    *,
    is_repaired: bool = False,
    accelerator: Any | None = None,
) -> Iterator[Frame]:
    """Decode the frames [start, stop) of a video whose stamps are known, seeking to the key frame before them.

    Args:
        info: What `probe` found.
        pts: Stamps of all frames of the video, as `iter_frames` gave them.
        start: Index of the first frame.
        stop: Index after the last frame.
        is_repaired: Whether stamps were repaired (`DecodeReport.num_repaired_pts`); then there is no seeking.
        accelerator: What decodes, see `open_media`.

    Yields:
        Frames stop - start of them.

    Raises:
        UnreadableInputError: The file does not give the same frames as before.
    """
    wanted = [int(stamp) for stamp in pts[start:stop]]
    if not wanted:
        return
    for back_secs in _SEEK_BACK_SECS if start > 0 and not is_repaired else ():
        lead_in = pts[max(0, start - 2)] - int(Fraction(back_secs) / info.video.time_base)
        with open_media(info.path, accelerator=accelerator) as container:
            frames = _after_seek(container, info, lead_in, wanted)
            first = next(frames, None)
            if first is not None:
                yield first
                yield from frames
                return
        if lead_in <= pts[0]:
            break
    logger.debug("Decoding %s from its start to reach frame %d.", show(info.path), start)
    yield from _from_the_start(info, start, wanted, accelerator)


def _after_seek(container: Any, info: MediaInfo, lead_in: int, wanted: Sequence[int]) -> Iterator[Frame]:
    """Yield the wanted frames; nothing at all when the seek landed behind them or not on a key frame."""
    import av

    report, index, is_first = DecodeReport(), 0, True
    stream = container.streams[info.video.index]
    try:
        container.seek(lead_in, stream=stream)
    except av.FFmpegError:
        return
    for source in _decoded(container, info, report, (stream,)):
        if is_first and (not source.key_frame or source.pts is None or source.pts > wanted[0]):
            return
        is_first = False
        if source.pts is None or source.pts < wanted[index]:
            continue
        if source.pts != wanted[index] and index == 0:
            return
        _check_stamp(info, source.pts, wanted[index])
        yield _convert(source, wanted[index], info, report)
        index += 1
        if index == len(wanted):
            return
    if index:
        _check_stamp(info, None, wanted[index])


def _from_the_start(info: MediaInfo, start: int, wanted: Sequence[int], accelerator: Any | None) -> Iterator[Frame]:
    report = DecodeReport()
    with open_media(info.path, accelerator=accelerator) as container:
        stream = container.streams[info.video.index]
        frames = _decoded(container, info, report, (stream,))
        index = -1
        for index, source in enumerate(frames):
            if index >= start:
                yield _convert(source, wanted[index - start], info, report)
            if index - start == len(wanted) - 1:
                return
    _check_stamp(info, None, wanted[max(0, index + 1 - start)])


def _check_stamp(info: MediaInfo, got: int | None, wanted: int) -> None:
    if got != wanted:
        raise UnreadableInputError(
            f"{show(info.path)} gave other frames than when it was first read (stamp {got} instead of {wanted}); "
            "was it changed meanwhile?"
        )


def _decoded(
    container: Any, info: MediaInfo, report: DecodeReport, streams: Any, *, is_shown: bool = True
) -> Iterator[Any]:
    """Yield decoded pictures of the main stream; packets of the other `streams` only tell where the file ends."""
    stream = container.streams[info.video.index]
    context = build_decoder(stream, info.video.decoder)
    context.thread_type = "AUTO"
    if not is_shown:  # all that can be damaged is read nevertheless: the filter has no bits of its own
        context.options = {"skip_loop_filter": "all"}
    deinterlacer = Deinterlacer(info) if info.video.is_interlaced else None
    for packet in _packets(container, report, tuple(streams)):
        if packet.stream.index != stream.index:  # `packet.stream_index` is 0 in the packets that end each stream
            continue
        report.num_packets += bool(packet.size) and not packet.is_discard
        for source in _pictures(context, packet, report):
            yield from deinterlacer.push(source) if deinterlacer else (source,)
    if deinterlacer:
        yield from deinterlacer.flush()


def _packets(container: Any, report: DecodeReport, streams: tuple[Any, ...]) -> Iterator[Any]:
    import av

    packets = container.demux(tuple(s for s in streams if s.type in ("video", "audio", "subtitle")))
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError) as error:
            logger.debug("Reading stopped: %s.", error)
            report.num_bad_packets += 1
            return
        if packet.pts is not None and packet.time_base:
            end = (packet.pts + (packet.duration or 0)) * Fraction(packet.time_base)
            report.end_secs = end if report.end_secs is None else max(report.end_secs, end)
        report.num_bad_packets += bool(packet.is_corrupt)
        yield packet


def _pictures(context: Any, packet: Any, report: DecodeReport) -> list[Any]:
    import av

    try:
        pictures = list(context.decode(packet))
    except av.EOFError:
        return []
    except av.FFmpegError as error:
        logger.debug("A packet was refused: %s.", error)
        report.num_bad_packets += 1
        return []
    report.num_bad_frames += sum(bool(picture.is_corrupt) for picture in pictures)
    return pictures


def _convert(source: Any, pts: int, info: MediaInfo, report: DecodeReport) -> Frame:
    video = info.video
    report.num_converted += (source.width, source.height, source.format.name) != (
        video.width,
        video.height,
        video.pix_fmt,
    )
    return frame_from_av(source, pts, video.frame_shape)


class _Clock:
    """Gives every frame a stamp of its own: the file's where it has a sane one."""

    def __init__(self, info: MediaInfo) -> None:
        rate = info.video.avg_frame_rate or Fraction(25)
        self.num_repaired = 0
        self._step = max(1, round(1 / (rate * info.video.time_base)))
        self._last: int | None = None
        self._shift = 0

    def stamp(self, source: Any) -> int:
        """Return the pts for a decoded picture."""
        pts = self._repaired(source)
        self.num_repaired += pts != source.pts
        self._last = pts
        return pts

    def _repaired(self, source: Any) -> int:
        last = self._last
        if source.pts is None:
            return int(source.dts or 0) if last is None else last + self._step
        pts = int(source.pts) + self._shift
        if last is None or pts > last:
            return pts
        if last - pts > 10 * self._step:  # the clock was set back, as in joined broadcasts: go on from here
            self._shift += last + self._step - pts
            return last + self._step
        return last + 1


def _look_for_losses(info: MediaInfo, report: DecodeReport) -> None:
    """Complete the report after the last frame."""
    lost = report.num_packets - report.num_frames
    # VP8 has packets without a picture, fields may come in packets of their own, and a stream may start in mid-air.
    if info.video.codec != "vp8" and not info.video.is_interlaced and lost > max(3, report.num_packets // 20):
        report.num_lost_frames = lost
    promised = None
    if info.duration_secs is not None and report.end_secs is not None and "mpegts" not in info.container:
        start = 0 if "matroska" in info.container else info.start_secs or 0  # whose duration counts from stamp 0
        promised = start + info.duration_secs - report.end_secs
    lacks_bytes = missing_bytes(info.path)
    is_long = promised is not None and promised > _MISSING_END_SECS
    # A whole Matroska file may have lost its end to damage; in others, a track that is not read may be the longest.
    report.is_truncated = bool(lacks_bytes) or (is_long and (lacks_bytes is None or "matroska" in info.container))
    if report.is_truncated and promised is not None:
        report.missing_secs = max(0.0, float(promised))


def _damage(info: MediaInfo, report: DecodeReport) -> str:
    seconds = report.num_frames / float(info.video.avg_frame_rate or 25)
    what = " ".join(report.warnings()) or "No picture could be decoded."
    return (
        f"{show(info.path)} is damaged: {what} {report.num_frames} frames ({seconds:.1f} s) could be decoded; "
        "run again with --lenient to convert those."
    )
