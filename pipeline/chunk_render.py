"""Render one chunk of a video from what pass 1 found: the piece of work that a process, a GPU or another machine takes.

What a `VideoWork` holds is plain data, so that it can be sent; the networks are the receiver's own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter, time

from .analysis import Analysis
from .chunks import Chunk, save_stats
from .compare import beside
from .cuda_decode import iter_chunk_on
from .encode import EncodePlan, VideoEncoder
from .errors import UnreadableInputError
from .mediainfo import MediaInfo
from .meter import measured_every
from .plan import Plan
from .prefetch import prefetch
from .render import MAX_WAITING_BYTES, ChunkRenderer, Rendered
from .settings import ConvertSettings
from .still_reuse import StillReuse, first_of_window
from .studio import Studio
from .temporal import RADIUS_FRAMES

DECODE_AHEAD_FRAMES = 4
"""Decoded frames that may wait for the next stage."""
FINISHED_AHEAD_FRAMES = 3
"""Finished frames that may wait for the encoder."""

OnFrames = Callable[[int, int], None]
"""Called with the number of frames done since the last call, and of the faces in them."""


@dataclass(frozen=True, eq=False)
class VideoWork:
    """Everything but the networks that the chunks of one video are rendered with."""

    info: MediaInfo
    """The source."""
    analysis: Analysis
    """Its stamps, cuts and tracks."""
    plan: Plan
    """Which faces are restyled where."""
    encoding: EncodePlan
    """How chunks are written."""
    settings: ConvertSettings
    """The user's choices."""


def render_chunk(work: VideoWork, chunk: Chunk, studio: Studio, on_frames: OnFrames) -> None:
    """Render a chunk and mark it as finished.

    Four stages run at once where the studio's budget says so, each in a thread: decode, restyle, finish, and encode in
    the caller's. Every queue between them is bounded; an error in one of them ends all, and is raised here.

    Args:
        work: the video.
        chunk: which part of it; its files appear when it is done.
        studio: the networks, for the same settings.
        on_frames: is told about the advance, in the caller's thread.

    Raises:
        UnreadableInputError: the source gives other frames than before.
        FfmpegError, OutOfSpaceError: see there.
    """
    renderer, started, count = _renderer(work, studio), perf_counter(), 0
    with (
        closing(_rendered(work, chunk, renderer, studio)) as frames,
        VideoEncoder(chunk.path, work.info, work.encoding) as encoder,
    ):
        for frame, source, is_changed in frames:
            shown = frame if work.settings.compare == "none" else beside(source or frame, frame)
            before = perf_counter()
            encoder.write(shown)
            renderer.stats.spend("encode", before)
            studio.first_frame_at = studio.first_frame_at or time()
            count += 1
            on_frames(1, work.plan.num_faces_in(chunk.start + count - 1) if is_changed else 0)
    if count != chunk.num_frames:
        raise UnreadableInputError(
            f'"{work.info.path}" gave {count} frames where {chunk.num_frames} were seen before; '
            "was it changed meanwhile?"
        )
    renderer.stats.stage_secs["render"] = perf_counter() - started
    save_stats(chunk, renderer.stats, renderer.meter.sums)


def _renderer(work: VideoWork, studio: Studio) -> ChunkRenderer:
    settings = work.settings
    return ChunkRenderer(
        studio.cast,
        work.plan.faces_in,
        work.analysis.cuts,
        smoothing=settings.smoothing,
        whole=studio.whole,
        opacity=settings.strength,
        is_overlapped=studio.budget.is_overlapped,
        num_workers=studio.cast.num_callers if studio.budget.is_overlapped and not settings.reuse_still else 1,
        keeps_source=settings.compare != "none",
        measured_every=measured_every(work.analysis.num_frames),
        reuse=StillReuse(studio.cast, work.analysis.cuts) if settings.reuse_still else None,
    )


def _rendered(work: VideoWork, chunk: Chunk, renderer: ChunkRenderer, studio: Studio) -> Generator[Rendered]:
    """The finished frames of a chunk: all stages but the last."""
    finished = _finished(work, chunk, renderer, studio)
    if not studio.budget.is_overlapped:
        return finished
    return prefetch(
        finished,
        FINISHED_AHEAD_FRAMES,
        max_bytes=MAX_WAITING_BYTES,
        bytes_of=lambda rendered: rendered.frame.num_bytes + (rendered.source or rendered.frame).num_bytes,
        name="finish",
    )


def _finished(work: VideoWork, chunk: Chunk, renderer: ChunkRenderer, studio: Studio) -> Generator[Rendered]:
    analysis = work.analysis
    first = max(chunk.start - RADIUS_FRAMES, 0)
    first = first_of_window(first) if work.settings.reuse_still else first
    last = min(chunk.stop + RADIUS_FRAMES, analysis.num_frames)
    decoded = iter_chunk_on(
        studio.engine.device,
        work.info,
        analysis.pts.tolist(),
        first,
        last,
        is_sound=not analysis.warnings,
        is_repaired=analysis.is_repaired,
    )
    ahead = prefetch(
        renderer.stats.timed("decode", decoded),
        DECODE_AHEAD_FRAMES,
        max_bytes=MAX_WAITING_BYTES,
        bytes_of=lambda frame: frame.num_bytes,
        name="decode",
    )
    # Both are closed here: an error in between would leave the first one's thread to the garbage collector.
    with closing(ahead), closing(renderer.render(ahead, first, chunk.start, chunk.stop)) as finished:
        yield from finished
