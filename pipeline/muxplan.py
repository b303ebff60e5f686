"""Decide what becomes of every stream and tag of a source in an output container, as ffmpeg options. Runs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .colour import ColourTags
from .containers import Container, Treatment, describe, treat
from .errors import FfmpegError
from .ffmpeg import ffmpeg_version
from .mediainfo import MediaInfo, Metadata, OtherStream
from .orientation import rotation_and_flip

_STALE_TAGS = frozenset({"encoder", "duration", "major_brand", "minor_version", "compatible_brands", "rotate"})
_STALE_PREFIXES = ("bps", "number_of_", "_statistics_", "duration-")
_MAX_TAG_CHARS = 60_000
_MP4_TAGS = frozenset(
    {
        "title", "artist", "album", "album_artist", "comment", "composer", "copyright", "creation_time", "date",
        "description", "disc", "encoder", "episode_id", "episode_sort", "genre", "grouping", "hd_video", "language",
        "lyrics", "media_type", "network", "season_number", "show", "sort_album", "sort_name", "synopsis", "timecode",
        "track", "location",
    }
)  # fmt: skip


@dataclass
class MuxReport:
    """What became of the source's other streams."""

    copied: list[str] = field(default_factory=list)
    """Streams carried over bit by bit."""
    converted: list[str] = field(default_factory=list)
    """Streams that the container holds in another form only."""
    dropped: list[str] = field(default_factory=list)
    """Streams that the container cannot hold."""
    warnings: list[str] = field(default_factory=list)
    """Anything else worth a sentence."""
    num_frames: int = 0
    """Pictures of the video; 0 where they were not counted."""


@dataclass(frozen=True)
class Mapping:
    """One stream of the output."""

    stream: OtherStream | None
    """Where it comes from; None is the restyled video."""
    encoder: str
    """`copy` or an encoder."""


@dataclass(frozen=True)
class MuxPlan:
    """All streams of an output in order."""

    source: MediaInfo
    """Where everything but the video comes from."""
    container: Container
    """What is written."""
    mappings: tuple[Mapping, ...]
    """Streams in order."""
    covers: tuple[OtherStream, ...]
    """Cover pictures that are attached as files, after all streams."""

    @property
    def video_position(self) -> int:
        """Number of the restyled video among the output's streams."""
        return next(i for i, mapping in enumerate(self.mappings) if mapping.stream is None)

    def options(self, colour: ColourTags, *, source_input: int) -> dict[str, Any]:
        """Return ffmpeg's output options.

        Args:
            colour: Tags of the video.
            source_input: Number of the source among ffmpeg's inputs.
        """
        position = self.video_position
        options: dict[str, Any] = {
            "format": self.container.muxer,
            "copyts": None,
            "map_metadata:g": -1,
            "map_chapters": source_input,
            f"disposition:{position}": self.source.video.disposition,
            **{f"c:{i}": mapping.encoder for i, mapping in enumerate(self.mappings)},
            **{f"{name}:{position}": value for name, value in colour.encoder_options().items()},
        }
        return options | self._container_options()

    def tag_arguments(self, more: Sequence[str] = ()) -> list[str]:
        """Return ffmpeg's arguments that write the source's global tags and those of the video, and `more` of these."""
        video = [*_tag_words(self.source.video.metadata), *_timecode_words(self.source), *more]
        arguments = [part for word in _tag_words(self.source.metadata) for part in ("-metadata", word)]
        return arguments + [part for word in video for part in (f"-metadata:s:{self.video_position}", word)]

    def _container_options(self) -> dict[str, Any]:
        if self.container.muxer in ("mp4", "mov"):
            custom = {key.lower() for key, _ in kept_tags(self.source.metadata)} - _MP4_TAGS
            return {
                "strict": "experimental",  # what FLAC in mp4 was to ffmpeg 5
                "movflags": "+faststart+use_metadata_tags" if custom else "+faststart",
                "video_track_timescale": self.source.video.time_base.denominator,
            }
        if self.container.muxer == "mpegts":
            return {"mpegts_copyts": 1, "muxdelay": 0, "muxpreload": 0}
        return {"avoid_negative_ts": "disabled"}  # sound that begins a hair before 0 must not move the picture


def plan_mux(source: MediaInfo, container: Container, unwanted: frozenset[str]) -> tuple[MuxReport, MuxPlan]:
    """Decide about every stream; streams keep their order, the restyled video takes the place of the original.

    Args:
        source: Probed source.
        container: What is written.
        unwanted: Kinds of streams to leave out, because the container refused them before.
    """
    report, mappings, covers = MuxReport(), [], []
    for stream in sorted([*source.others, None], key=lambda s: source.video.index if s is None else s.index):
        if stream is None:
            mappings.append(Mapping(None, "copy"))
            continue
        treatment = treat(stream, container)
        if stream.kind in unwanted and treatment.encoder is not None:
            treatment = Treatment(None, f"{describe(stream)}: {container.suffix[1:]} refused it")
        if treatment.encoder is None:
            report.dropped.append(treatment.note or describe(stream))
            continue
        if stream.kind == "picture" and container.has_attachments:
            covers.append(stream)
        else:
            mappings.append(Mapping(stream, treatment.encoder))
        kept = report.copied if treatment.encoder == "copy" else report.converted
        kept.append(treatment.note or describe(stream))
    return report, MuxPlan(source, container, tuple(mappings), tuple(covers))


def rotation_options(source: MediaInfo, container: Container) -> tuple[dict[str, Any], list[str]]:
    """Return how the display matrix is given to ffmpeg: input options, and tags for the video.

    Raises:
        FfmpegError: The program is too old to write it.
    """
    matrix = source.video.display_matrix
    if matrix is None:
        return {}, []
    degrees, is_flipped = rotation_and_flip(matrix)
    if ffmpeg_version() >= (6, 0):
        options: dict[str, Any] = {"display_rotation": f"{degrees:g}"}
        return options | ({"display_hflip": None} if is_flipped else {}), []
    if is_flipped or container.muxer not in ("mp4", "mov"):
        raise FfmpegError(
            f"this ffmpeg is too old to write how the picture is turned into {container.suffix[1:]}; "
            "install ffmpeg 6 or newer, or unset UGATIT_FFMPEG to use the bundled one."
        )
    return {}, [f"rotate={degrees:g}"]


def kept_tags(metadata: Metadata) -> list[tuple[str, str]]:
    """Return the tags that still hold for the output; those about the old encoding do not."""
    return [
        (key, value)
        for key, value in metadata
        if key.lower() not in _STALE_TAGS
        and not key.lower().startswith(_STALE_PREFIXES)
        and len(key) + len(value) < _MAX_TAG_CHARS
        and "\0" not in key + value
        and "=" not in key
    ]


def _tag_words(metadata: Metadata) -> list[str]:
    return [f"{key}={value}" for key, value in kept_tags(metadata)]


def _timecode_words(source: MediaInfo) -> list[str]:
    """Return the timecode of a QuickTime timecode track, from which the muxer writes a new one."""
    own = {key for key, _ in source.video.metadata}
    codes = [value for stream in source.of_kind("data") for key, value in stream.metadata if key == "timecode"]
    return [f"timecode={codes[0]}"] if codes and "timecode" not in own else []
