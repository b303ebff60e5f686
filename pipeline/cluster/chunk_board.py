"""Which chunks of a video wait, are at work, or are done, when they are rendered on machines that may die."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..chunks import Chunk
from ..errors import RendererLostError

MAX_LOSSES = 3
"""A chunk is taken again so often after whoever rendered it died."""


@dataclass
class _Fate:
    """What has happened to a chunk."""

    losses: list[str] = field(default_factory=list)
    """Node names on which its renderer died."""
    frames_told: int = 0
    """Frames that were told of as done; of a chunk that is taken again, only what goes beyond is told."""
    faces_told: int = 0


class Board:
    """The chunks of one run."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._waiting = deque(chunks)
        self._fates = {chunk.index: _Fate() for chunk in chunks}
        self.num_open = len(chunks)
        """Chunks that are not done."""

    def take(self, node: str, *, is_only_one: bool = False) -> Chunk | None:
        """Return the next chunk for a renderer; None where there is none for it.

        Args:
            node: where it runs. A chunk is not taken again where it has killed its renderer.
            is_only_one: there is no other node, so that it is.
        """
        for chunk in self._waiting:
            if is_only_one or node not in self._fates[chunk.index].losses:
                self._waiting.remove(chunk)
                return chunk
        return None

    def advance(self, chunk: Chunk, frames: int, faces: int) -> tuple[int, int]:
        """Return how many frames and faces are news when so many of an attempt at a chunk are through."""
        fate = self._fates[chunk.index]
        news = max(frames - fate.frames_told, 0), max(faces - fate.faces_told, 0)
        fate.frames_told, fate.faces_told = fate.frames_told + news[0], fate.faces_told + news[1]
        return news

    def finish(self, chunk: Chunk, faces: int) -> tuple[int, int]:
        """Note that a chunk is done; return the frames and faces that were not told of."""
        self.num_open -= 1
        return self.advance(chunk, chunk.num_frames, faces)

    def lose(self, chunk: Chunk, node: str, why: str) -> None:
        """Have a chunk taken again whose renderer died.

        Raises:
            RendererLostError: that has happened too often.
        """
        losses = self._fates[chunk.index].losses
        losses.append(node)
        if len(losses) > MAX_LOSSES:
            raise RendererLostError(
                f"chunk {chunk.index} (frames {chunk.start} to {chunk.stop - 1}) ended {len(losses)} renderers, on "
                f"{', '.join(dict.fromkeys(losses))}; the last one: {why}. Is there enough memory? Try a smaller "
                "--parallel, or convert the video without --cluster to see what is wrong."
            )
        self._waiting.appendleft(chunk)
