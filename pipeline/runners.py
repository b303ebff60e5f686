"""Where the chunks of a video are rendered: in this process, in several, or on other machines, behind one Protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .budget import num_gpus
from .chunk_render import OnFrames, VideoWork, render_chunk
from .chunks import Chunk
from .studio import Studio


class ChunkRunner(Protocol):
    """Renders chunks somewhere. A chunk that is finished stays so whatever happens to the runner."""

    def run(
        self, work: VideoWork, chunks: Sequence[Chunk], on_frames: OnFrames, on_chunk: Callable[[Chunk], None]
    ) -> None:
        """Render all of `chunks`, in any order; return when their files are there.

        Args:
            work: the video.
            chunks: the unfinished ones of it.
            on_frames: is told about the advance, in the caller's thread.
            on_chunk: called after each chunk, in the caller's thread; may raise to stop.

        Raises:
            PipelineError: as `render_chunk`; the first error of any chunk, when no other is at work any more.
        """
        ...

    def close(self) -> None:
        """Give processes, devices and connections back; may be called twice."""
        ...


class LocalRunner:
    """Renders in this process, one chunk after the other."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def run(
        self, work: VideoWork, chunks: Sequence[Chunk], on_frames: OnFrames, on_chunk: Callable[[Chunk], None]
    ) -> None:
        """See ChunkRunner."""
        for chunk in chunks:
            render_chunk(work, chunk, self._studio, on_frames)
            on_chunk(chunk)

    def close(self) -> None:
        """There is nothing to give back."""


def build_runner(studio: Studio) -> ChunkRunner:
    """Choose where chunks are rendered, by the settings."""
    settings, budget = studio.settings, studio.budget
    if settings.cluster is not None:
        from .cluster.runner import RayRunner

        return RayRunner(studio)
    if budget.num_processes == 1:
        return LocalRunner(studio)
    from .runner_pool import ProcessRunner, devices_of

    return ProcessRunner(settings, budget, devices_of(settings, budget, num_gpus(settings.device)))
