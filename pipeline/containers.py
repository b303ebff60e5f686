"""What an output container can hold besides the restyled video: copy, convert or drop, stream by stream. A table."""

from dataclasses import dataclass

from .mediainfo import OtherStream

_TEXT = frozenset({"subrip", "ass", "ssa", "webvtt", "mov_text", "text"})
_PCM_PREFIX = "pcm_"
_LOSSLESS = frozenset({"flac", "alac", "tta", "wavpack", "mlp", "truehd"})
_MP4_AUDIO = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac", "dts", "amr_nb", "amr_wb"})
_MOV_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "amr_nb", "amr_wb"})
_TS_AUDIO = frozenset({"aac", "mp2", "mp3", "ac3", "eac3", "dts", "opus"})
_PICTURES = frozenset({"mjpeg", "png", "bmp"})
_MP4_VIDEO = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mjpeg"})


@dataclass(frozen=True)
class Container:
    """One output container."""

    suffix: str
    """Suffix of the output, with its dot."""
    muxer: str
    """ffmpeg's name for `-f`."""
    audio: frozenset[str] | None
    """Sound codecs it takes as they are; None takes any."""
    has_pcm: bool
    """Whether it takes uncompressed sound."""
    lossless_audio: str | None
    """Encoder for lossless sound it does not take as it is."""
    lossy_audio: str
    """Encoder for other sound it does not take as it is."""
    subtitles: frozenset[str]
    """Subtitle codecs it takes as they are."""
    text_encoder: str | None
    """Encoder for other text subtitles."""
    pictures: frozenset[str] = frozenset()
    """Cover pictures it takes."""
    videos: frozenset[str] | None = None
    """Codecs of further video streams it takes; None takes any."""
    has_attachments: bool = False
    """Whether it takes attached files, such as fonts."""
    has_data: bool = False
    """Whether data streams are tried."""


@dataclass(frozen=True)
class Treatment:
    """What happens to one stream."""

    encoder: str | None
    """`copy`, an encoder, or None to drop the stream."""
    note: str | None = None
    """What to tell the user; None for a plain copy."""


_MKV_SUBTITLES = frozenset(
    {"subrip", "ass", "ssa", "webvtt", "text", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}
)

CONTAINERS = {
    container.suffix: container
    for container in (
        Container(
            ".mp4", "mp4", _MP4_AUDIO, False, "flac", "aac", frozenset({"mov_text", "dvd_subtitle"}), "mov_text",
            _PICTURES, _MP4_VIDEO, has_data=True,
        ),
        Container(
            ".m4v", "mp4", _MP4_AUDIO, False, "flac", "aac", frozenset({"mov_text", "dvd_subtitle"}), "mov_text",
            _PICTURES, _MP4_VIDEO, has_data=True,
        ),
        Container(
            ".mov", "mov", _MOV_AUDIO, True, "alac", "aac", frozenset({"mov_text"}), "mov_text",
            _PICTURES, _MP4_VIDEO - {"av1", "vp9"}, has_data=True,
        ),
        Container(
            ".mkv", "matroska", None, True, None, "aac", _MKV_SUBTITLES, "srt",
            _PICTURES, None, has_attachments=True,
        ),
        Container(
            ".webm", "webm", frozenset({"opus", "vorbis"}), False, None, "libopus", frozenset({"webvtt"}), "webvtt",
            frozenset(), frozenset({"vp8", "vp9", "av1"}),
        ),
        Container(
            ".ts", "mpegts", _TS_AUDIO, False, None, "aac",
            frozenset({"dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle"}), None,
            frozenset(), frozenset({"h264", "hevc", "mpeg2video", "mpeg4"}), has_data=True,
        ),
    )
}  # fmt: skip
"""The containers that are written, by suffix."""


def treat(stream: OtherStream, container: Container) -> Treatment:
    """Return what happens to `stream` in `container`."""
    what = describe(stream)
    if stream.kind == "audio":
        return _treat_audio(stream.codec or "", container, what)
    if stream.kind == "subtitle":
        return _treat_subtitle(stream.codec or "", container, what)
    holds = {
        "picture": stream.codec in container.pictures,
        "video": container.videos is None or stream.codec in container.videos,
        "attachment": container.has_attachments,
        "data": container.has_data and not _is_timecode(stream),
    }
    return Treatment("copy") if holds.get(stream.kind) else _drop(what, container)


def describe(stream: OtherStream) -> str:
    """Return a stream in words, such as `subtitle stream 3 (ass, eng)`."""
    details = ", ".join(detail for detail in (stream.codec, stream.language) if detail and detail != "und")
    return f"{stream.kind} stream {stream.index}" + (f" ({details})" if details else "")


def _is_timecode(stream: OtherStream) -> bool:
    """Whether this is a QuickTime timecode track, which the muxer writes anew from the video's `timecode` tag."""
    return any(key == "timecode" for key, _ in stream.metadata)


def _drop(what: str, container: Container) -> Treatment:
    return Treatment(None, f"{what}: {container.suffix[1:]} cannot hold it")


def _treat_audio(codec: str, container: Container, what: str) -> Treatment:
    is_pcm = codec.startswith(_PCM_PREFIX)
    if container.audio is None or codec in container.audio or (is_pcm and container.has_pcm):
        return Treatment("copy")
    is_lossless = is_pcm or codec in _LOSSLESS
    encoder = (container.lossless_audio if is_lossless else None) or container.lossy_audio
    return Treatment(encoder, f"{what}: converted to {encoder.removeprefix('lib')} for {container.suffix[1:]}")


def _treat_subtitle(codec: str, container: Container, what: str) -> Treatment:
    if codec in container.subtitles:
        return Treatment("copy")
    if codec in _TEXT and container.text_encoder:
        return Treatment(container.text_encoder, f"{what}: converted to {container.text_encoder}")
    return _drop(what, container)
