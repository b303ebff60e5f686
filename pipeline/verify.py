"""Compare a finished video with its source before anybody sees it: every stamp, the sound, the picture's geometry.

The output is decoded to its end, because headers lie; pictures themselves are not compared.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from .containers import CONTAINERS, treat
from .decode import DecodeReport, iter_stamps
from .errors import InputError, VerificationError
from .mediainfo import MediaInfo, VideoStream
from .probe import open_media, probe, show

_MAX_SOUND_SHIFT_SECS = Fraction(1, 10)

Span = tuple[Fraction, Fraction]
"""Start and end in seconds."""


@dataclass(frozen=True)
class VerifyReport:
    """What was compared and found equal."""

    num_frames: int
    """Pictures decoded from the output."""
    max_pts_error_secs: float
    """Largest difference of a stamp from its source's; at most one tick of the coarser time base."""
    start_shift_secs: float
    """Shift of all streams together (MPEG-TS has no negative decoding stamps); 0.0 in other containers."""
    max_sound_shift_secs: float
    """Largest difference of the start or end of a sound stream, against the picture."""
    streams: dict[str, int] = field(default_factory=dict)
    """Streams beside the picture, by kind."""


def verify(
    out: Path,
    source: MediaInfo,
    pts: Sequence[int],
    *,
    size_wh: tuple[int, int] | None = None,
    is_copy: bool = False,
    on_picture: Callable[[], None] = lambda: None,
) -> VerifyReport:
    """Check a finished video.

    Args:
        out: The video.
        source: What it was made from.
        pts: Stamp of every frame in the source's time base.
        size_wh: Size of its frames as coded where it is not the source's.
        is_copy: It is a copy of a source that may be damaged itself (`copy_streams`): damage is no fault of the copy.
        on_picture: Called after every picture that was decoded.

    Raises:
        VerificationError: Something differs; the message lists all of it.
    """
    try:
        made = probe(out)
        decoded = DecodeReport()
        stamps = []
        for stamp in iter_stamps(made, decoded):
            stamps.append(stamp)
            on_picture()
    except InputError as error:
        raise VerificationError(f"the finished video cannot be read: {error}") from error
    faults = [] if is_copy else [f"it is damaged: {warning.rstrip('.')}" for warning in decoded.warnings()]
    faults += _picture_faults(made.video, source.video, size_wh)
    kinds = Counter(stream.kind for stream in made.others)
    faults += _stream_faults(kinds, source, out)
    shift, error_secs, found = _compare_stamps(stamps, made, source, pts)
    faults += found
    sound_secs, found = _compare_sound(made, source, shift)
    faults += found
    if faults:
        raise VerificationError(f"{show(Path(out.name))} does not match its source: " + "; ".join(faults) + ".")
    return VerifyReport(len(stamps), float(error_secs), float(shift), float(sound_secs), dict(kinds))


def _picture_faults(made: VideoStream, source: VideoStream, size_wh: tuple[int, int] | None) -> list[str]:
    compared = [
        ("size", (made.width, made.height), size_wh or (source.width, source.height)),
        ("orientation", made.orientation, source.orientation),
        ("pixel shape", made.sample_aspect_ratio or 1, source.sample_aspect_ratio or 1),
    ]
    if source.layout.kind == made.layout.kind:
        got = replace(made.colour, range=made.colour.range or "tv")  # the default of every codec, not always written
        compared += [
            (f"colour {name}", getattr(got, name), wanted)
            for name in ("range", "matrix", "primaries", "transfer")
            if (wanted := getattr(source.colour, name)) is not None
        ]
    return [f"{what} is {got}, not {wanted}" for what, got, wanted in compared if got != wanted]


def _stream_faults(kinds: Counter[str], source: MediaInfo, out: Path) -> list[str]:
    container = CONTAINERS[out.suffix.lower()]
    wanted = sum(treat(stream, container).encoder is not None for stream in source.of_kind("audio"))
    return [f"it has {kinds['audio']} sound streams, not {wanted}"] if kinds["audio"] != wanted else []


def _compare_stamps(
    stamps: Sequence[int | None], made: MediaInfo, source: MediaInfo, pts: Sequence[int]
) -> tuple[Fraction, Fraction, list[str]]:
    """Return the common shift, the largest error after it, and what is wrong."""
    if len(stamps) != len(pts) or not pts:
        return Fraction(0), Fraction(0), [f"it has {len(stamps)} pictures, not {len(pts)}"]
    if any(stamp is None for stamp in stamps):
        return Fraction(0), Fraction(0), ["some pictures have no time stamp"]
    got = [Fraction(stamp or 0) * made.video.time_base for stamp in stamps]
    wanted = [stamp * source.video.time_base for stamp in pts]
    shift = got[0] - wanted[0] if "mpegts" in made.container else Fraction(0)
    errors = [abs(a - b - shift) for a, b in zip(got, wanted, strict=True)]
    worst = max(range(len(errors)), key=errors.__getitem__)
    if errors[worst] > max(made.video.time_base, source.video.time_base):
        what = f"picture {worst} is shown at {float(got[worst]):.6f} s, not {float(wanted[worst]):.6f} s"
        return shift, errors[worst], [what]
    return shift, errors[worst], []


def _compare_sound(made: MediaInfo, source: MediaInfo, shift: Fraction) -> tuple[Fraction, list[str]]:
    """Return the largest difference of the start or end of a sound stream, and what is wrong."""
    ours, theirs = _sound_spans(made), _sound_spans(source)
    if len(ours) != len(theirs):
        return Fraction(0), []
    largest, faults = Fraction(0), []
    for number, (got, wanted) in enumerate(zip(ours, theirs, strict=True), 1):
        off = max(abs(a - b - shift) for a, b in zip(got, wanted, strict=True))
        largest = max(largest, off)
        if off > _MAX_SOUND_SHIFT_SECS:
            spans = [f"{float(start):.3f}-{float(end):.3f} s" for start, end in (got, wanted)]
            faults.append(f"sound {number} lasts {spans[0]}, not {spans[1]}")
    return largest, faults


def _sound_spans(info: MediaInfo) -> list[Span]:
    """Return start and end of every sound stream that has packets; reads the whole file, decodes nothing."""
    import av

    spans: dict[int, Span] = {}
    with open_media(info.path) as container:
        streams = [container.streams[stream.index] for stream in info.of_kind("audio")]
        try:
            for packet in container.demux(streams) if streams else ():
                if packet.pts is None:
                    continue
                start = packet.pts * Fraction(packet.time_base)
                end = start + (packet.duration or 0) * Fraction(packet.time_base)
                low, high = spans.get(packet.stream_index, (start, end))
                spans[packet.stream_index] = min(low, start), max(high, end)
        except av.FFmpegError:
            pass  # a damaged source, told about when it was decoded
    return [spans[index] for index in sorted(spans)]
