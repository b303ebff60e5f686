"""Chunks: the pieces of a video that are rendered apart, kept through a crash, and joined at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .meter import WarpErrorSums
from .render import RenderStats

MIN_CHUNK_FRAMES = 8
"""A shorter rest is rendered with the chunk before it."""


@dataclass(frozen=True)
class Chunk:
    """The frames [start, stop) of a video and the files that will hold them."""

    index: int
    """Position in the video, from 0."""
    start: int
    """Index of its first frame."""
    stop: int
    """Index after its last frame."""
    folder: Path
    """The work folder."""

    @property
    def path(self) -> Path:
        """The rendered pictures; once it is there it is complete."""
        return self.folder / f"chunk-{self.index:05d}.mkv"

    @property
    def part(self) -> Path:
        """The name under which it is written."""
        return self.folder / f"chunk-{self.index:05d}.part.mkv"

    @property
    def stats(self) -> Path:
        """What happened while it was rendered."""
        return self.folder / f"chunk-{self.index:05d}.json"

    @property
    def is_finished(self) -> bool:
        """It need not be rendered any more."""
        return self.path.exists() and self.stats.exists()


def plan_chunks(times_secs: npt.NDArray[np.float64], chunk_secs: float, folder: Path) -> list[Chunk]:
    """Cut a video into chunks by time.

    Args:
        times_secs: (N,) ascending times of all frames, N >= 1.
        chunk_secs: length of a chunk.
        folder: where their files go.
    """
    edges = np.arange(0.0, times_secs[-1] + 1e-9, chunk_secs)
    starts = np.unique(np.searchsorted(times_secs, edges, side="left"))
    kept = [0]
    for start in starts[1:]:
        if start - kept[-1] >= MIN_CHUNK_FRAMES and len(times_secs) - start >= MIN_CHUNK_FRAMES:
            kept.append(int(start))
    stops = [*kept[1:], len(times_secs)]
    return [Chunk(i, start, stop, folder) for i, (start, stop) in enumerate(zip(kept, stops, strict=True))]


def save_stats(chunk: Chunk, stats: RenderStats, sums: WarpErrorSums) -> None:
    """Write what happened while a chunk was rendered; done before the chunk gets its final name."""
    chunk.stats.write_text(json.dumps({"stats": asdict(stats), "warp_error": asdict(sums)}))


def total_stats(chunks: Sequence[Chunk]) -> tuple[RenderStats, WarpErrorSums]:
    """Add up what happened in all chunks, resumed ones included."""
    total, sums = RenderStats(), WarpErrorSums()
    for chunk in chunks:
        data = json.loads(chunk.stats.read_text())
        total.add(RenderStats(**data["stats"]))
        sums.add(WarpErrorSums(**data["warp_error"]))
    return total, sums
