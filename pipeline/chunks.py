"""Chunks: the pieces of a video that are rendered apart, kept through a crash, and joined at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .meter import WarpErrorSums
from .publish import sync, write_text
from .render_stats import RenderStats

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
    path: Path
    """The rendered pictures."""

    @property
    def num_frames(self) -> int:
        """How many frames it holds."""
        return self.stop - self.start

    @property
    def stats(self) -> Path:
        """What happened while it was rendered; written last, so that it marks the chunk as finished."""
        return self.path.with_suffix(".json")

    @property
    def is_finished(self) -> bool:
        """It need not be rendered any more."""
        return self.path.exists() and self.stats.exists()


def plan_chunks(times_secs: npt.NDArray[np.float64], chunk_secs: float, folder: Path, suffix: str) -> list[Chunk]:
    """Cut a video into chunks by time.

    Args:
        times_secs: (N,) ascending times of all frames, N >= 1.
        chunk_secs: length of a chunk.
        folder: where their files go.
        suffix: of their files.
    """
    numbers = np.floor(times_secs / chunk_secs)  # one entry per frame, however far apart broken stamps are
    kept = [0]
    for start in np.flatnonzero(np.diff(numbers)) + 1:
        if start - kept[-1] >= MIN_CHUNK_FRAMES and len(times_secs) - start >= MIN_CHUNK_FRAMES:
            kept.append(int(start))
    stops = [*kept[1:], len(times_secs)]
    spans = enumerate(zip(kept, stops, strict=True))
    return [Chunk(i, start, stop, folder / f"chunk-{i:05d}{suffix}") for i, (start, stop) in spans]


def save_stats(chunk: Chunk, stats: RenderStats, sums: WarpErrorSums) -> None:
    """Write what happened while a chunk was rendered, atomically: it is finished now, even after a power cut."""
    sync(chunk.path)
    write_text(chunk.stats, json.dumps({"stats": asdict(stats), "warp_error": asdict(sums)}))


def total_stats(chunks: Sequence[Chunk]) -> tuple[RenderStats, WarpErrorSums]:
    """Add up what happened in all chunks, resumed ones included."""
    total, sums = RenderStats(), WarpErrorSums()
    for chunk in chunks:
        data = json.loads(chunk.stats.read_text())
        total.add(RenderStats(**data["stats"]))
        sums.add(WarpErrorSums(**data["warp_error"]))
    return total, sums
