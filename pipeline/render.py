"""Pass 2 for one chunk: restyle, steady and paste back. A chunk depends on its own frames and a few around it only.

Restyling and finishing are two stages: the first looks at frames and cuts crops from them, the second paints them. A
frame is painted when no crop will be cut from it any more, so that the stages may run at the same time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import NamedTuple

import numpy as np

from .cast import Cast
from .face_paster import FacePaster, steadied
from .frames import Frame
from .meter import Grey, WarpErrorMeter, luma8
from .paste import Region
from .plan import Placement
from .prefetch import ordered_map, prefetch
from .render_stats import RenderStats
from .still_reuse import StillReuse, Wish
from .stylist import StyledFace, Stylist
from .temporal import RADIUS_FRAMES, TemporalBlend
from .whole_frame import FLOW_SIDE_PX, StyledPicture, WholeFrame, paint

STYLED_AHEAD_FRAMES = 3
"""Restyled frames that may wait to be finished."""
MAX_WAITING_BYTES = 96 << 20
"""What the frames between two stages may hold: eight frames of 4K, more of smaller ones."""


class Rendered(NamedTuple):
    """A frame that is ready to be encoded."""

    frame: Frame
    """The result."""
    source: Frame | None
    """As it was decoded; None where nothing was pasted, or nobody asked for it."""
    is_changed: bool
    """Whether something was pasted."""


@dataclass(frozen=True)
class _Styled:
    """A frame waiting for its neighbours."""

    index: int
    frame: Frame
    faces: Mapping[int, StyledFace]
    whole: StyledPicture | None


class ChunkRenderer:
    """Renders the frames [start, stop) of a video from a stream that also holds the frames around them."""

    def __init__(
        self,
        stylist: Stylist | Cast,
        faces_in: Callable[[int], Sequence[Placement]],
        cuts: frozenset[int],
        *,
        smoothing: float,
        whole: WholeFrame | None = None,
        opacity: float = 1.0,
        is_overlapped: bool = False,
        num_workers: int = 1,
        keeps_source: bool = False,
        measured_every: int = 1,
        reuse: StillReuse | None = None,
    ) -> None:
        """Put the tools together.

        Args:
            stylist: restyles faces.
            faces_in: tells the faces of a frame by its index.
            cuts: indices of the frames that start a new scene.
            smoothing: steadiness over time, 0..1.
            whole: restyles whole frames before the faces are set in; None leaves them as they are.
            opacity: 0..1, how strongly whole frames are restyled.
            is_overlapped: restyle in a thread of its own, ahead of what finishes the frames.
            num_workers: threads that restyle, each another frame; one with `reuse`, which looks back.
            keeps_source: hand out the source of every frame that is painted.
            measured_every: see WarpErrorMeter.
            reuse: restyles in the stylist's place, but for faces that stand still.
        """
        self.stats = RenderStats()
        self.meter = WarpErrorMeter(measured_every)
        self._stylist = stylist
        self._faces_in = faces_in
        self._cuts = cuts
        self._paster = FacePaster(self.stats, smoothing, is_painted=whole is not None)
        self._whole, self._opacity = whole, opacity
        self._whole_blend = TemporalBlend(smoothing, flow_side_px=FLOW_SIDE_PX)
        self._is_overlapped, self._keeps_source = is_overlapped, keeps_source
        self._num_workers = num_workers
        self._reuse = reuse

    def render(self, frames: Iterable[Frame], first: int, start: int, stop: int) -> Generator[Rendered]:
        """Restyle the frames [start, stop).

        Args:
            frames: consecutive decoded frames; they are changed in place.
            first: index of the first of them: RADIUS_FRAMES before `start` (with `reuse`: the first of the window that
                frame lies in), or 0. The stream goes on RADIUS_FRAMES beyond `stop`, or to the end of the video.
            start: index of the first frame wanted.
            stop: index after the last one wanted.

        Yields:
            The finished frames in order. Closing the generator ends its thread.
        """
        styled = self._stylise(enumerate(frames, first), start - RADIUS_FRAMES)
        if self._is_overlapped:
            styled = prefetch(
                styled,
                STYLED_AHEAD_FRAMES,
                max_bytes=MAX_WAITING_BYTES,
                bytes_of=lambda waiting: waiting.frame.num_bytes,
                name="stylise",
            )
        with closing(styled):
            yield from self._finished(styled, start, stop)

    def _finished(self, stream: Iterable[_Styled], start: int, stop: int) -> Iterator[Rendered]:
        window: deque[_Styled] = deque(maxlen=2 * RADIUS_FRAMES + 1)
        due = start
        for styled in stream:
            window.append(styled)
            if due < stop and styled.index == due + RADIUS_FRAMES:
                yield self._finish(window, due)
                due += 1
        last = window[-1].index if window else -1
        while due < stop and due <= last:
            yield self._finish(window, due)
            due += 1

    def _stylise(self, frames: Iterator[tuple[int, Frame]], first_shown: int) -> Generator[_Styled]:
        """Restyle frames in groups that hold as many faces as the engine likes; drop those before `first_shown`."""
        work = partial(self._stylise_group, first_shown=first_shown)
        for group, stats in ordered_map(work, self._groups(frames), self._num_workers):
            self.stats.add(stats)
            yield from group

    def _stylise_group(self, group: Sequence[Wish[Frame]], first_shown: int) -> tuple[list[_Styled], RenderStats]:
        stats, before = RenderStats(), perf_counter()
        styled = self._restyled(group, first_shown)
        before = stats.spend("generate", before)
        shown = [(wish, faces) for wish, faces in zip(group, styled, strict=True) if wish.index >= first_shown]
        wholes: Sequence[StyledPicture | None] = [None] * len(shown)
        if self._whole is not None:
            wholes = self._whole.stylise([wish.source for wish, _ in shown])
            stats.spend("generate whole", before)
        return [
            _Styled(wish.index, wish.source, {face.placement.track_id: face for face in faces}, whole)
            for (wish, faces), whole in zip(shown, wholes, strict=True)
        ], stats

    def _restyled(self, group: Sequence[Wish[Frame]], first_shown: int) -> list[list[StyledFace]]:
        if self._reuse is None:
            return self._stylist.stylise([(wish.source, wish.faces) for wish in group])
        styled = self._reuse.stylise(group, first_shown)
        self.stats.num_reused = self._reuse.num_reused
        return styled

    def _groups(self, frames: Iterator[tuple[int, Frame]]) -> Iterator[list[Wish[Frame]]]:
        """Gather consecutive frames until their faces fill a batch; no more frames than that, nor more bytes."""
        group: list[Wish[Frame]] = []
        num_faces = num_bytes = 0
        for index, frame in frames:
            faces = self._faces_in(index)
            group.append(Wish(index, frame, faces))
            num_faces, num_bytes = num_faces + len(faces), num_bytes + frame.num_bytes
            if max(num_faces, len(group)) >= self._stylist.batch_size or num_bytes >= MAX_WAITING_BYTES:
                yield group
                group, num_faces, num_bytes = [], 0, 0
        if group:
            yield group

    def _finish(self, window: Sequence[_Styled], index: int) -> Rendered:
        here = next(styled for styled in window if styled.index == index)
        if not here.faces and here.whole is None:
            self._measure(index, None, here.frame, [])
            return Rendered(here.frame, None, is_changed=False)
        # Neighbours still need this frame's crops, not its pixels: painting it in place is safe.
        source = here.frame.copy() if self._keeps_source else None
        source_luma = luma8(here.frame) if self.meter.wants(index) else None
        painted = None if here.whole is None else self._paint(here.frame, window, index, here.whole)
        regions = [region for track in here.faces if (region := self._paste(here.frame, window, index, track))]
        self.stats.num_frames_pasted += bool(regions)
        regions = regions if painted is None else [painted]
        self._measure(index, source_luma, here.frame, regions)
        return Rendered(here.frame, source, is_changed=True)

    def _measure(self, index: int, source: Grey | None, frame: Frame, regions: list[Region]) -> None:
        """Show a finished frame to the meter if it wants it; `source` is its luma before, None if that is the same."""
        if self.meter.wants(index):
            before = perf_counter()
            output = luma8(frame)
            self.meter.update(index, output if source is None else source, output, regions, index in self._cuts)
            self.stats.spend("measure", before)

    def _paint(self, frame: Frame, window: Sequence[_Styled], index: int, whole: StyledPicture) -> Region | None:
        """Restyle the whole frame; None where that is broken and the source stays."""
        before = perf_counter()
        scene = [styled for styled in window if self._is_one_scene(styled.index, index)]
        around = {styled.index: styled.whole for styled in scene if styled.whole is not None}
        sources = {i: p.source for i, p in around.items()}
        styled = {i: p.styled for i, p in around.items() if p.styled is not None}
        picture = steadied(sources, styled, index, self._whole_blend, self.stats)
        before = self.stats.spend("blend whole", before)
        if picture is None or self._whole is None:
            return None
        paint(frame, self._whole.finish(picture, whole.source), whole.source, self._opacity)
        self.stats.spend("paint", before)
        self.stats.num_whole += 1
        width, height = frame.size_wh
        return Region(0, 0, np.ones((height, width), np.float32))

    def _is_one_scene(self, a: int, b: int) -> bool:
        return not any(i in self._cuts for i in range(min(a, b) + 1, max(a, b) + 1))

    def _paste(self, frame: Frame, window: Sequence[_Styled], index: int, track: int) -> Region | None:
        around = {styled.index: styled.faces[track] for styled in window if track in styled.faces}
        return self._paster.paste(frame, around, index)
