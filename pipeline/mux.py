"""Join rendered chunks and put everything else of the source beside them: sound, subtitles, chapters, tags, rotation.

The chunks' packets are read with PyAV, stamped with the exact pts of the source's frames and fed to one ffmpeg, which
copies the other streams from the source on the same clock. The result is written under the name given; giving it its
final one is the caller's work.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from .colour import ColourTags
from .containers import CONTAINERS, Container
from .covers import attached_covers
from .errors import ChunkError, FfmpegError, UnsupportedInputError
from .feed import FfmpegFeed
from .ffmpeg import SOURCE_OPTIONS, compile_arguments, ffmpeg_version, file_url, graph_url, run_ffmpeg
from .mediainfo import MediaInfo
from .muxplan import MuxPlan, MuxReport, plan_mux, rotation_options
from .probe import show

__all__ = ["MuxReport", "copy_streams", "mux", "stack_side_by_side"]

logger = logging.getLogger(__name__)

_LEAD_IN_SECS = 10
_DROPPED_BY_ATTEMPT = (
    frozenset[str](),
    frozenset({"data"}),
    frozenset({"data", "attachment", "picture", "video", "subtitle"}),
)


def mux(
    chunks: Sequence[Path],
    source: MediaInfo,
    out: Path,
    *,
    pts: Sequence[int],
    colour: ColourTags | None = None,
    on_picture: Callable[[], None] = lambda: None,
) -> MuxReport:
    """Write `out`: the chunks as its video, everything else from the source.

    Args:
        chunks: Chunk files of `VideoEncoder`, in order, all of one `EncodePlan`.
        source: Where the rest comes from.
        out: File to write; its suffix chooses the container.
        pts: Stamp of every frame of all chunks, in the source's time base, strictly increasing.
        colour: Tags to write (`EncodePlan.colour`); None for the source's.
        on_picture: Called after every picture that was handed over.

    Raises:
        FfmpegError: It failed, or the chunks do not hold as many pictures as there are stamps.
        OutOfSpaceError: The disk is full.
        UnsupportedInputError: The suffix is of no container we write.
    """
    _container(out)
    joined = _Joined.scan(chunks, source, pts)

    def write(plan: MuxPlan) -> None:
        with attached_covers(plan, out) as covers:
            arguments = _arguments(plan, joined, out, colour or source.video.colour, covers)
            with FfmpegFeed(arguments, container_format=joined.pipe_format) as feed:
                joined.feed(feed, on_picture)

    report = _with_fewer_streams(source, out, write)
    report.num_frames = len(pts)
    return report


def copy_streams(source: MediaInfo, out: Path) -> MuxReport:
    """Write `out` with all streams of the source copied as they are: for a video in which nothing is to be changed.

    Raises:
        FfmpegError: It failed.
        OutOfSpaceError: The disk is full.
        UnsupportedInputError: The suffix is of no container we write.
    """
    import ffmpeg

    def write(plan: MuxPlan) -> None:
        file = ffmpeg.input(graph_url(source.path), **SOURCE_OPTIONS)
        indices = [source.video.index if m.stream is None else m.stream.index for m in plan.mappings]
        options = plan.options(source.video.colour, source_input=0)
        output = ffmpeg.output(*(file[str(index)] for index in indices), graph_url(out), **options)
        with attached_covers(plan, out) as covers:
            run_ffmpeg(compile_arguments(output, [*plan.tag_arguments(), *covers]))

    return _with_fewer_streams(source, out, write)


def stack_side_by_side(left: Path, right: Path, out: Path) -> None:
    """Write an mp4 that shows two videos of equal size and timing beside each other, with the sound of the right one.

    Raises:
        FfmpegError: It failed.
    """
    import ffmpeg

    inputs = [ffmpeg.input(graph_url(path), **SOURCE_OPTIONS) for path in (left, right)]
    stacked = ffmpeg.filter([each["v:0"] for each in inputs], "hstack")
    options = {"c:v": "libx264", "crf": 17, "preset": "veryfast", "pix_fmt": "yuv420p", "c:a": "copy"}
    run_ffmpeg(ffmpeg.output(stacked, inputs[1]["a?"], graph_url(out), movflags="+faststart", **options))


def _container(out: Path) -> Container:
    container = CONTAINERS.get(out.suffix.lower())
    if container is None:
        raise UnsupportedInputError(
            f"no video is written as {out.suffix or 'a file without suffix'!r}; choose one of {', '.join(CONTAINERS)}."
        )
    return container


def _with_fewer_streams(source: MediaInfo, out: Path, write: Callable[[MuxPlan], None]) -> MuxReport:
    """Write with all streams the container should hold; where it refuses, without its rarer kinds.

    A half-written `out` is removed when nothing helps.
    """
    container = _container(out)
    failure: FfmpegError | None = None
    before: tuple[str, ...] | None = None
    for unwanted in _DROPPED_BY_ATTEMPT:
        report, plan = plan_mux(source, container, unwanted)
        if before == tuple(report.copied + report.converted):
            continue
        before = tuple(report.copied + report.converted)
        try:
            write(plan)
            return report
        except FfmpegError as error:
            logger.info("Joining failed with %d streams: %s", len(plan.mappings), error)
            failure = failure or error
            out.unlink(missing_ok=True)
        except BaseException:
            out.unlink(missing_ok=True)
            raise
    raise failure or FfmpegError("nothing was written.")


def _arguments(plan: MuxPlan, joined: "_Joined", out: Path, colour: ColourTags, covers: Sequence[str]) -> list[str]:
    import ffmpeg

    turn, tags = rotation_options(plan.source, plan.container)
    video = ffmpeg.input("pipe:0", format=joined.pipe_format, itsoffset=-joined.shift_secs, **turn)
    file = ffmpeg.input(graph_url(plan.source.path), **SOURCE_OPTIONS)
    streams = [video["v:0"] if m.stream is None else file[str(m.stream.index)] for m in plan.mappings]
    if len(streams) == 1:
        streams.append(file["d:999?"])  # no such stream: the source is an input for its chapters only
    # ffmpeg-python numbers inputs in the order in which the outputs name them
    options = plan.options(colour, source_input=1 if plan.video_position == 0 else 0)
    position = plan.video_position
    if "video_track_timescale" in options and ffmpeg_version() < (6, 0):
        options["video_track_timescale"] = joined.pipe_timescale
    options[f"bsf:{position}"] = joined.stamp_filter(plan.container.muxer)
    pixel = plan.source.video.sample_aspect_ratio
    if pixel not in (None, 1):  # which AV1 and VP9 do not carry themselves
        shape = pixel * Fraction(*joined.size_wh)
        options[f"aspect:{position}"] = f"{shape.numerator}:{shape.denominator}"
    if joined.codec == "hevc" and plan.container.muxer in ("mp4", "mov"):
        options[f"tag:{position}"] = "hvc1"  # Apple's players refuse hev1
    output = ffmpeg.output(*streams, graph_url(out), **options)
    return compile_arguments(output, [*plan.tag_arguments(tags), *covers])


@dataclass(frozen=True)
class _ChunkHeader:
    """What must be known of a chunk before it is joined."""

    places: tuple[int, ...]
    """For every packet in coding order, its picture's place in display order."""
    codec: str
    """FFmpeg's codec name."""
    extradata: bytes | None
    """The codec's headers."""
    delay: int
    """Pictures by which coding order runs ahead of display order, as the codec's headers or the packets say."""
    size_wh: tuple[int, int]
    """Width and height of the pictures as coded."""


@dataclass(frozen=True)
class _Joined:
    """The packets of all chunks as one stream on the source's clock."""

    chunks: tuple[Path, ...]
    pts: tuple[int, ...]
    time_base: Fraction
    codec: str
    places: tuple[tuple[int, ...], ...]
    """Per chunk, for every packet in coding order, its picture's place in display order."""
    size_wh: tuple[int, int]
    """Width and height of the pictures as coded."""
    last_duration: int
    """How long the last picture is shown, in the time base."""
    delay: int
    """Pictures by which coding order runs ahead of display order (B-frames)."""

    @classmethod
    def scan(cls, chunks: Sequence[Path], source: MediaInfo, pts: Sequence[int]) -> "_Joined":
        """Read the order of the chunks' pictures."""
        headers = [_scan_chunk(chunk) for chunk in chunks]
        places = tuple(header.places for header in headers)
        num_pictures = sum(map(len, places))
        if num_pictures != len(pts) or not headers:
            raise ChunkError(f"the rendered chunks hold {num_pictures} pictures, {len(pts)} are expected.")
        if len({header.extradata for header in headers}) > 1:
            raise ChunkError("the rendered chunks are of different encoders; remove the work folder and run again.")
        return cls(
            chunks=tuple(chunks),
            pts=tuple(map(int, pts)),
            time_base=source.video.time_base,
            codec=headers[0].codec,
            places=places,
            size_wh=headers[0].size_wh,
            last_duration=_last_duration(source, pts),
            delay=max(header.delay for header in headers),
        )

    @property
    def pipe_format(self) -> str:
        """Container of the pipe: NUT keeps every stamp, Matroska the alpha layer."""
        return "matroska" if self.chunks[0].suffix == ".mkv" else "nut"

    @property
    def pipe_timescale(self) -> int:
        """Ticks per second of the NUT pipe, as libavformat chooses them (`ff_choose_timebase`, 48 kHz or finer)."""
        numerator, ticks = self.time_base.numerator, self.time_base.denominator
        for factor in (2, 3, 5, 7, 9, 11, 13):
            while ticks // numerator < 48000 and numerator % factor == 0:
                numerator //= factor
        while ticks // numerator < 48000 and ticks < 1 << 24:
            ticks *= 2
        return ticks

    @property
    def shift_secs(self) -> int:
        """Whole seconds added in the pipe, which holds no negative stamps; exact in the time base."""
        early = max(0, -math.floor(self.pts[0] * self.time_base)) + _LEAD_IN_SECS
        unit = self.time_base.numerator
        return math.ceil(early / unit) * unit

    def stamp_filter(self, muxer: str) -> str:
        """Return the bitstream filter that adds what the pipe does not carry: early dts and the last durations.

        Without them, the edit list of an mp4 ends before the last picture and hides it: its muxer takes the end from
        the last pts, and the length of the track from the last packet in coding order.
        """
        secs = [float(stamp * self.time_base) for stamp in self.pts]
        count, last = len(secs), float(self.last_duration * self.time_base)
        step = (secs[-1] - secs[0]) / max(1, count - 1)
        early = f"STARTPTS-max(1,floor({step:.9f}/TB))*({self.delay}-N)"
        duration = f"if(gte(PTS*TB,{secs[-1]:.9f}-0.000001),max(1,round({last:.9f}/TB)),DURATION)"
        if muxer in ("mp4", "mov"):
            at = count - 1 - self.delay
            last_dts = secs[at] if at >= 0 else secs[0] + step * at
            total = secs[-1] + last - secs[0]
            rest = total - (last_dts - (secs[0] - step * self.delay))
            duration = f"if(eq(N,{count - 1}),max(1,round({rest:.9f}/TB)),{duration})"
        elif ffmpeg_version() < (6, 0):  # which writes such durations in the clock of the pipe
            duration = "DURATION"
        return f"setts=pts=PTS:dts=if(lt(N,{self.delay}),{early},DTS):duration={duration}".replace(",", "\\,")

    def feed(self, feed: FfmpegFeed, on_picture: Callable[[], None] = lambda: None) -> None:
        """Hand all packets over in coding order."""
        stream = None
        for packet, pts, dts in self._stamped():
            if stream is None:
                stream = feed.container.add_stream_from_template(packet.stream, opaque=True)
                stream.time_base = self.time_base
            packet.stream = stream
            packet.time_base = self.time_base
            packet.pts, packet.dts, packet.duration = pts, dts, 0
            feed.mux(packet)
            on_picture()

    def _stamped(self) -> Iterator[tuple[Any, int, int]]:
        shift = round(self.shift_secs / self.time_base)
        first, at = 0, 0
        for chunk, order in zip(self.chunks, self.places, strict=True):
            for packet, place in zip(_packets(chunk), order, strict=True):
                early = at - self.delay
                dts = self.pts[early] if early >= 0 else self.pts[0] + early
                yield packet, self.pts[first + place] + shift, dts + shift
                at += 1
            first += len(order)


def _last_duration(source: MediaInfo, pts: Sequence[int]) -> int:
    """Return how long the last picture is shown: as the source says, else as long as the one before."""
    video = source.video
    if video.duration_pts is not None and video.start_pts is not None:
        promised = video.start_pts + video.duration_pts - pts[-1]
        if promised > 0:
            return promised
    rate = video.avg_frame_rate or Fraction(25)
    return max(1, pts[-1] - pts[-2] if len(pts) > 1 else round(1 / (rate * video.time_base)))


def _packets(chunk: Path) -> Iterator[Any]:
    import av

    try:
        with av.open(file_url(chunk), "r") as container:
            stream = container.streams.video[0]
            yield from (packet for packet in container.demux(stream) if packet.size)
    except (av.FFmpegError, IndexError) as error:
        raise ChunkError(
            f"the rendered chunk {show(chunk)} cannot be read ({error}); remove it and run again."
        ) from error


def _scan_chunk(chunk: Path) -> _ChunkHeader:
    stamps, context = [], None
    for packet in _packets(chunk):
        stamps.append(packet.pts)
        context = packet.stream.codec_context
    place = {at: rank for rank, at in enumerate(sorted(range(len(stamps)), key=lambda at: stamps[at]))}
    places = tuple(place[at] for at in range(len(stamps)))
    if context is None:
        return _ChunkHeader(places, "", None, 0, (0, 0))
    depth = max([int(getattr(context, "reorder_depth", 0)), *(at - place for at, place in enumerate(places))])
    size_wh = int(context.width), int(context.height)
    return _ChunkHeader(places, str(context.codec.canonical_name), context.extradata, depth, size_wh)
