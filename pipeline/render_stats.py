"""What happened while a chunk was rendered: counts and times, which add up over chunks."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

_END = object()


@dataclass
class RenderStats:
    """What happened while rendering; chunks add up."""

    num_guarded: int = 0
    """Crops that were not shown because they were broken."""
    num_pasted: int = 0
    """Face instances that were pasted."""
    num_frames_pasted: int = 0
    """Frames into which a face was pasted."""
    num_reused: int = 0
    """Face instances that show again what an earlier one was given (`--reuse-still`)."""
    num_whole: int = 0
    """Frames that were restyled as a whole."""
    stage_secs: dict[str, float] = field(default_factory=dict)
    """Seconds spent per stage. Stages overlap: they add up to more than `render`, the seconds that passed."""

    def add(self, other: RenderStats) -> None:
        """Take another chunk in."""
        self.num_guarded += other.num_guarded
        self.num_pasted += other.num_pasted
        self.num_frames_pasted += other.num_frames_pasted
        self.num_reused += other.num_reused
        self.num_whole += other.num_whole
        for stage, secs in other.stage_secs.items():
            self.stage_secs[stage] = self.stage_secs.get(stage, 0.0) + secs

    def spend(self, stage: str, since: float) -> float:
        """Book the time since `since` (perf_counter) to a stage; return the time now."""
        now = perf_counter()
        self.stage_secs[stage] = self.stage_secs.get(stage, 0.0) + now - since
        return now

    def timed(self, stage: str, items: Iterator[T]) -> Generator[T]:
        """Pass items on and book the time that each one takes to come to a stage."""
        with closing(items) if isinstance(items, Generator) else nullcontext():
            while True:
                before = perf_counter()
                item = next(items, _END)
                self.spend(stage, before)
                if item is _END:
                    return
                yield item  # type: ignore[misc]
