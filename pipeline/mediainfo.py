"""What a video file is, as plain frozen data: the result of `probe`, handed to decode, encode, mux and verify."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .colour import ColourTags
from .frames import PixelLayout
from .hdr import HdrMetadata
from .orientation import Orientation
from .planes import FrameShape

Metadata = tuple[tuple[str, str], ...]
"""Key and value pairs as the container holds them."""


@dataclass(frozen=True)
class VideoStream:
    """The stream that is restyled."""

    index: int
    """Number of the stream in the file."""
    codec: str
    """FFmpeg's codec name, such as `h264`."""
    decoder: str
    """Decoder to use, such as `libvpx-vp9` where an alpha channel asks for it."""
    width: int
    """Columns of the decoded picture, before rotation."""
    height: int
    """Rows of the decoded picture, before rotation."""
    pix_fmt: str
    """Pixel format the decoder yields."""
    layout: PixelLayout
    """Layout that frames are kept in; another format than `pix_fmt` where that one is not planar."""
    time_base: Fraction
    """Seconds per unit of pts."""
    avg_frame_rate: Fraction | None
    """Frames per second on average, as the container says."""
    start_pts: int | None
    """First pts that the container promises."""
    duration_pts: int | None
    """Duration in units of `time_base`, as the container says."""
    orientation: Orientation
    """How pictures are turned for display."""
    display_matrix: bytes | None
    """The raw matrix (9 x int32), None when there is none."""
    sample_aspect_ratio: Fraction | None
    """Width by height of a pixel; None for square or unspecified."""
    colour: ColourTags
    """Colour tags of stream and first picture."""
    is_interlaced: bool
    """Whether pictures are woven of two fields."""
    hdr: HdrMetadata | None
    """Mastering display and light levels of an HDR stream."""
    disposition: int
    """FFmpeg's disposition flags: default, forced, dub, ..."""
    metadata: Metadata
    """Tags of the stream."""

    @property
    def bit_depth(self) -> int:
        """Bits per sample."""
        return self.layout.bit_depth

    @property
    def has_alpha(self) -> bool:
        """Whether pictures carry opacity."""
        return self.layout.has_alpha

    @property
    def rotation_degrees(self) -> int:
        """Clockwise turn for display: 0, 90, 180 or 270."""
        return self.orientation.rotation_degrees

    @property
    def display_wh(self) -> tuple[int, int]:
        """Width and height of the picture after rotation, in pixels (not corrected for the pixels' shape)."""
        return self.orientation.display_wh(self.width, self.height)

    @property
    def frame_shape(self) -> FrameShape:
        """Size, layout and colours that all its frames are brought to."""
        return FrameShape(self.width, self.height, self.layout, self.colour, self.orientation)


@dataclass(frozen=True)
class OtherStream:
    """A stream that is carried through: sound, subtitles, cover picture, attachment, data."""

    index: int
    """Number of the stream in the file."""
    kind: str
    """`audio`, `subtitle`, `picture` (cover art), `video` (a second one), `attachment` or `data`."""
    codec: str | None
    """FFmpeg's codec name; None when it knows none."""
    language: str | None
    """Language tag."""
    metadata: Metadata
    """Tags of the stream."""


@dataclass(frozen=True)
class Chapter:
    """A named span of the video."""

    start_secs: Fraction
    """Start on the container's clock."""
    end_secs: Fraction
    """End on the container's clock."""
    title: str | None
    """Its name."""


@dataclass(frozen=True)
class MediaInfo:
    """A probed video file."""

    path: Path
    """Absolute path."""
    size_bytes: int
    """Size of the file."""
    container: str
    """FFmpeg's demuxer name, such as `mov,mp4,m4a,3gp,3g2,mj2`."""
    start_secs: Fraction | None
    """Earliest stamp of any stream, as the container says."""
    duration_secs: Fraction | None
    """Duration in the container's header; None when it has none."""
    video: VideoStream
    """The stream that is restyled."""
    others: tuple[OtherStream, ...]
    """All other streams, by index."""
    chapters: tuple[Chapter, ...]
    """Chapters in order."""
    metadata: Metadata
    """Global tags."""

    def of_kind(self, kind: str) -> tuple[OtherStream, ...]:
        """Return the other streams of one kind."""
        return tuple(stream for stream in self.others if stream.kind == kind)
