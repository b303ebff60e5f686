"""Encode frames into video-only chunk files with every stamp, colour tag and bit kept.

Chunks are NUT files, which keep any time base exactly (Matroska rounds to milliseconds); only VP9 with alpha needs
Matroska. A chunk appears under its name when it is complete. Joining chunks is mux.py's work.
"""

import functools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from .chroma import to_luma
from .codecs import CODECS, Codec, best_layout
from .colour import ColourTags, effective_matrix, setparams_words
from .errors import FfmpegError, UnsupportedInputError
from .feed import STALL_SECS, FfmpegFeed
from .ffmpeg import available_encoders, encoder_pixel_formats, ffmpeg_version, graph_url, run_ffmpeg
from .frames import Frame, PixelLayout
from .mediainfo import MediaInfo

logger = logging.getLogger(__name__)

_AUTO_CODECS = {".webm": "libvpx-vp9"}


@dataclass(frozen=True)
class EncodeSettings:
    """What a user can choose about the encoding."""

    codec: str = "libx264"
    """Encoder, a key of `CODECS`."""
    crf: int | None = None
    """Quality on the encoder's own scale, lower is better; None takes one at which no difference is seen."""
    preset: str | None = None
    """Speed in the encoder's own words; None takes a fast one."""
    threads: int = 0
    """Threads of the encoder; 0 lets it choose. Some encoders give other bits for another number."""


@dataclass(frozen=True)
class EncodePlan:
    """How a video will be encoded: settled once, the same for all its chunks."""

    codec: Codec
    """Row of the codec table."""
    settings: EncodeSettings
    """The choices it was made from."""
    size_wh: tuple[int, int]
    """Size of the frames as coded."""
    source_layout: PixelLayout
    """What frames have."""
    layout: PixelLayout
    """What is encoded."""
    colour: ColourTags
    """Tags that are written; None stays unspecified."""
    options: tuple[tuple[str, str], ...]
    """ffmpeg's output options."""
    filters: str
    """ffmpeg's filter chain."""
    warnings: tuple[str, ...]
    """What the encoder cannot keep."""

    @property
    def chunk_suffix(self) -> str:
        """Suffix of chunk files."""
        return ".mkv" if self.layout.has_alpha and self.codec.codec == "vp9" else ".nut"


def choose_codec(info: MediaInfo, suffix: str) -> str:
    """Return the encoder that suits an output `suffix`: H.264 for 8 bits, HEVC for more, VP9 for webm and for alpha.

    A picture with odd sides goes to mkv and webm as VP9, which holds it as it is.
    """
    video = info.video
    if suffix in _AUTO_CODECS or (suffix == ".mkv" and video.has_alpha):
        return "libvpx-vp9"
    return "libx265" if video.bit_depth > 8 and suffix != ".avi" else "libx264"


def choose_suffix(info: MediaInfo, codec: str) -> tuple[str, str | None]:
    """Return the output suffix for a codec (or `auto`) and why it is not the source's, None where it is.

    The source's own suffix is kept where its container can hold the codec and any timing.
    """
    own = info.path.suffix.lower()
    own = {".qt": ".mov", ".mts": ".ts", ".m2ts": ".ts"}.get(own, own)
    holders = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".ts"} if codec == "auto" else set(CODECS[codec].suffixes)
    keeps_timing = holders - {".avi", ".flv"}
    if own in keeps_timing:
        return own, None
    best = ".mkv" if codec == "auto" else next(s for s in CODECS[codec].suffixes if s in keeps_timing)
    what = "this video" if codec == "auto" else f"{codec} video"
    return best, f"{own or 'A file without suffix'} cannot hold {what} with its timing; written as {best}."


def plan_encoding(info: MediaInfo, settings: EncodeSettings, *, size_wh: tuple[int, int] | None = None) -> EncodePlan:
    """Settle how frames of `info` are encoded.

    Args:
        info: The source.
        settings: Choices.
        size_wh: Size of the frames as coded, where it is not the source's.

    Raises:
        FfmpegError: This ffmpeg has no such encoder.
        UnsupportedInputError: The encoder cannot hold such pictures.
    """
    codec = _codec(settings.codec)
    video = info.video
    size_wh = size_wh or (video.width, video.height)
    layout = best_layout(codec, video.layout, size_wh, encoder_pixel_formats(codec.encoder))
    _try_encoder(codec, layout, size_wh)
    given = _stated_colour(video.layout, video.colour)
    colour = _output_colour(video.layout, layout, given, size_wh[1])
    options = {
        "c:v": codec.encoder,
        "pix_fmt": codec.pix_fmts[layout.pix_fmt],
        **dict(codec.extra),
        **_choices(codec, settings),
        **_private_options(codec, info, layout),
    }
    return EncodePlan(
        codec=codec,
        settings=settings,
        size_wh=size_wh,
        source_layout=video.layout,
        layout=layout,
        colour=colour,
        options=tuple(options.items()),
        filters=_filters(video.layout, layout, given, colour, video.sample_aspect_ratio),
        warnings=tuple(_warnings(codec, info, layout)),
    )


def _codec(name: str) -> Codec:
    if name not in CODECS:
        raise UnsupportedInputError(f"the codec {name!r} is not known; choose one of {', '.join(CODECS)}.")
    if name not in available_encoders():
        raise FfmpegError(f"this ffmpeg has no encoder {name!r}; choose another --codec or set UGATIT_FFMPEG.")
    return CODECS[name]


def _try_encoder(codec: Codec, layout: PixelLayout, size_wh: tuple[int, int]) -> None:
    """Let an encoder of which the list does not say enough make one picture: GPU ones, and AV1 of an odd size.

    Raises:
        FfmpegError: It does not start on this machine.
        UnsupportedInputError: It takes no odd sizes.
    """
    is_odd = any(size % 2 for size in size_wh)
    if "nvenc" in codec.encoder and not starts(codec.encoder, codec.pix_fmts[layout.pix_fmt], 256, 256):
        raise FfmpegError(f"{codec.encoder} does not start on this machine; choose a --codec that needs no GPU.")
    if codec.encoder == "libsvtav1" and is_odd and not starts("libsvtav1", layout.pix_fmt, 65, 65):
        raise UnsupportedInputError(
            f"this libsvtav1 is too old for pictures of {size_wh[0]} x {size_wh[1]} pixels; choose another --codec."
        )


@functools.cache
def starts(encoder: str, pix_fmt: str, width: int, height: int) -> bool:
    """Return whether `encoder` can make one picture on this machine."""
    picture = ["-f", "lavfi", "-i", f"color=d=0.04,scale={width}:{height}", "-frames:v", "1"]
    try:
        run_ffmpeg([*picture, "-pix_fmt", pix_fmt, "-c:v", encoder, "-f", "null", "-"], timeout_secs=60)
    except FfmpegError as error:
        logger.debug("%s does not start: %s", encoder, error)
        return False
    return True


def _choices(codec: Codec, settings: EncodeSettings) -> dict[str, str]:
    chosen = {"threads": str(settings.threads)} if settings.threads else {}
    if codec.quality_option:
        chosen[codec.quality_option] = str(codec.default_crf if settings.crf is None else settings.crf)
    if codec.preset_option:
        chosen[codec.preset_option] = settings.preset or codec.default_preset
    return chosen


def _private_options(codec: Codec, info: MediaInfo, layout: PixelLayout) -> dict[str, str]:
    """Return options that depend on the picture: HDR metadata, alpha, log levels."""
    hdr = info.video.hdr
    mastering = hdr.mastering if hdr else None
    light = f"{hdr.max_cll_nits},{hdr.max_fall_nits}" if hdr and hdr.max_cll_nits else None
    if codec.encoder == "libx265":
        words = ["log-level=error"]
        words += [f"master-display={mastering.x265_words()}"] if mastering else []
        words += [f"max-cll={light}"] if light else []
        return {"x265-params": ":".join(words)}
    if codec.encoder == "libsvtav1":
        words = [f"mastering-display={mastering.svtav1_words()}"] if mastering else []
        words += [f"content-light={light}"] if light else []
        return {"svtav1-params": ":".join(words)} if words else {}
    if codec.encoder == "libvpx-vp9" and layout.has_alpha:
        return {"auto-alt-ref": "0"}
    return {}


def _stated_colour(layout: PixelLayout, tags: ColourTags) -> ColourTags:
    """Say the range of untagged grey pictures: they are full scale, and would be read as limited once they are YUV."""
    return replace(tags, range="pc") if layout.kind == "gray" and tags.range is None else tags


def _output_colour(source: PixelLayout, target: PixelLayout, tags: ColourTags, height: int) -> ColourTags:
    if source.kind == "rgb" and target.kind != "rgb":
        return ColourTags("tv", effective_matrix(tags, height), tags.primaries, tags.transfer)
    return tags


def _filters(
    source: PixelLayout, target: PixelLayout, given: ColourTags, written: ColourTags, aspect: Fraction | None
) -> str:
    """Return the chain: say what the frames are, convert them where the encoder needs it, say what they are then."""
    chain = [setparams_words(given)]
    if source.kind == "rgb" and target.kind != "rgb":
        chain += [f"scale=out_color_matrix={written.matrix}:out_range=tv", f"format={target.pix_fmt}"]
        chain += [setparams_words(written)]
    chain.append(f"setsar={aspect.numerator}/{aspect.denominator}" if aspect else "setsar=0")
    return ",".join(chain)


def _warnings(codec: Codec, info: MediaInfo, layout: PixelLayout) -> list[str]:
    source, told = info.video.layout, []
    if source.has_alpha and not layout.has_alpha:
        told.append(f"{codec.encoder} holds no transparency: it is dropped (use ffv1, or libvpx-vp9 in webm or mkv).")
    if source.bit_depth > layout.bit_depth:
        told.append(f"{codec.encoder} holds {layout.bit_depth} bits here: the source's {source.bit_depth} are reduced.")
    if source.kind == "rgb" and layout.kind != "rgb":
        told.append(f"{codec.encoder} holds no RGB here: converted to {layout.pix_fmt}.")
    elif layout.chroma_shift_x > source.chroma_shift_x or layout.chroma_shift_y > source.chroma_shift_y:
        told.append(f"{codec.encoder} takes no {source.pix_fmt}: colour resolution is reduced to {layout.pix_fmt}.")
    elif layout.pix_fmt != source.pix_fmt and codec.needs_even and _is_odd_size(info):
        told.append(
            f"{codec.encoder} needs even sides for {source.pix_fmt}: encoded as {layout.pix_fmt} to keep the size; "
            "some players cannot show that (libvpx-vp9 and libsvtav1 keep it as it is)."
        )
    hdr = info.video.hdr
    if hdr and hdr.has_dynamic:
        told.append("Per-scene HDR metadata (Dolby Vision, HDR10+) is dropped; the static one remains.")
    if hdr and hdr.mastering and codec.encoder not in ("libx265", "libsvtav1"):
        told.append(f"{codec.encoder} does not write the mastering display's data; libx265 and libsvtav1 do.")
    return told


def _is_odd_size(info: MediaInfo) -> bool:
    return bool(info.video.width % 2 or info.video.height % 2)


class VideoEncoder:
    """Writes one chunk. Use as a context manager; the file appears when the block ends without an error.

    Args:
        path: The chunk, ending in the plan's `chunk_suffix`.
        info: The source: its time base is the chunk's.
        plan: From `plan_encoding`.
        stall_secs: Kill an encoder that takes no frame for this long.
    """

    def __init__(self, path: Path, info: MediaInfo, plan: EncodePlan, *, stall_secs: float = STALL_SECS) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._plan = plan
        self._time_base = info.video.time_base
        self._feed = FfmpegFeed(_arguments(plan, self._part), stall_secs=stall_secs)
        self._stream = self._add_stream()
        self.num_frames = 0

    @property
    def pid(self) -> int:
        """Process id of the encoder, for tests that kill it."""
        return self._feed.process.pid

    def write(self, frame: Frame) -> None:
        """Encode one frame; its pts must be greater than that of the one before.

        Raises:
            FfmpegError: The encoder has died.
            OutOfSpaceError: The disk is full.
        """
        packet = _packed(self._fitted(frame))
        packet.stream = self._stream
        packet.time_base = self._time_base
        packet.pts = packet.dts = frame.pts
        packet.is_keyframe = True
        self._feed.mux(packet)
        self.num_frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._feed.__exit__(kind, error, trace)
            if kind is None:
                os.replace(self._part, self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def _add_stream(self) -> Any:
        stream = self._feed.container.add_stream("rawvideo")
        stream.width, stream.height = self._plan.size_wh
        stream.pix_fmt = self._fed_layout.pix_fmt
        stream.time_base = self._time_base
        stream.codec_context.time_base = self._time_base
        return stream

    @property
    def _fed_layout(self) -> PixelLayout:
        return self._plan.layout if self._lifts_chroma else self._plan.source_layout

    @property
    def _lifts_chroma(self) -> bool:
        """Whether chroma is brought to a finer grid here: swscale would shift it in pictures of odd size."""
        source, target = self._plan.source_layout, self._plan.layout
        if not target.kind == source.kind == "yuv" or target.bit_depth != source.bit_depth:
            return False
        lifts = source.chroma_shift_x - target.chroma_shift_x, source.chroma_shift_y - target.chroma_shift_y
        return min(lifts) >= 0 and max(lifts) > 0

    def _fitted(self, frame: Frame) -> Sequence[Any]:
        if frame.coded_wh != self._plan.size_wh or frame.layout != self._plan.source_layout:
            raise ValueError(
                f"frame is {frame.layout.pix_fmt} {frame.coded_wh}, the plan is for "
                f"{self._plan.source_layout.pix_fmt} {self._plan.size_wh}."
            )
        if not self._lifts_chroma:
            return frame.planes
        source, target = frame.layout, self._plan.layout
        rows, columns = target.plane_shape(1, *frame.coded_wh)
        shifts = source.chroma_shift_x - target.chroma_shift_x, source.chroma_shift_y - target.chroma_shift_y
        chroma = [to_luma(plane, (0, 0, columns, rows), shifts) for plane in frame.planes[1:3]]
        return [frame.planes[0], *chroma, *frame.planes[3 : 3 + target.has_alpha]]


def _packed(planes: Sequence[Any]) -> Any:
    """Return an `av.Packet` of raw video: one copy of every plane, row after row without padding."""
    import av

    packet = av.Packet(sum(plane.nbytes for plane in planes))
    room, start = np.asarray(memoryview(packet), np.uint8), 0
    for plane in planes:
        part = room[start : start + plane.nbytes]
        np.copyto(part.view(plane.dtype).reshape(plane.shape), plane)
        start += plane.nbytes
    return packet


def _arguments(plan: EncodePlan, path: Path) -> Any:
    import ffmpeg

    newest = ffmpeg_version() >= (6, 1)
    source = ffmpeg.input("pipe:0", format="nut")
    return ffmpeg.output(
        source["v:0"],
        graph_url(path),
        format="matroska" if plan.chunk_suffix == ".mkv" else "nut",
        vf=plan.filters,
        copyts=None,
        avoid_negative_ts="disabled",
        fps_mode="passthrough",
        enc_time_base="demux" if newest else "-1",
        **dict(plan.options),
        **plan.colour.encoder_options(),
    )
