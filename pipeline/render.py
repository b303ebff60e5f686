"""Pass 2 for one chunk: restyle, steady and paste back. A chunk depends on its own frames and a few around it only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter

import numpy as np
import numpy.typing as npt

from .blending import fit_in
from .cast import Cast
from .crops import cut
from .frames import Frame
from .guard import is_outlier
from .meter import WarpErrorMeter, luma8
from .paste import Region, paste_face
from .plan import Placement
from .stylist import Layers, StyledFace, Stylist
from .temporal import RADIUS_FRAMES, TemporalBlend
from .tones import Tones, mean_tones, measure_tones
from .whole_frame import FLOW_SIDE_PX, StyledPicture, WholeFrame, paint

Crop = npt.NDArray[np.uint8]


@dataclass
class RenderStats:
    """What happened while rendering; chunks add up."""

    num_guarded: int = 0
    """Crops that were not shown because they were broken."""
    num_pasted: int = 0
    """Face instances that were pasted."""
    num_frames_pasted: int = 0
    """Frames into which a face was pasted."""
    num_whole: int = 0
    """Frames that were restyled as a whole."""
    stage_secs: dict[str, float] = field(default_factory=dict)
    """Seconds spent per stage."""

    def add(self, other: RenderStats) -> None:
        """Take another chunk in."""
        self.num_guarded += other.num_guarded
        self.num_pasted += other.num_pasted
        self.num_frames_pasted += other.num_frames_pasted
        self.num_whole += other.num_whole
        for stage, secs in other.stage_secs.items():
            self.stage_secs[stage] = self.stage_secs.get(stage, 0.0) + secs

    def spend(self, stage: str, since: float) -> float:
        """Book the time since `since` (perf_counter) to a stage; return the time now."""
        now = perf_counter()
        self.stage_secs[stage] = self.stage_secs.get(stage, 0.0) + now - since
        return now


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
    ) -> None:
        """Put the tools together.

        Args:
            stylist: restyles faces.
            faces_in: tells the faces of a frame by its index.
            cuts: indices of the frames that start a new scene.
            smoothing: steadiness over time, 0..1.
            whole: restyles whole frames before the faces are set in; None leaves them as they are.
            opacity: 0..1, how strongly whole frames are restyled.
        """
        self.stats = RenderStats()
        self.meter = WarpErrorMeter()
        self._stylist = stylist
        self._faces_in = faces_in
        self._cuts = cuts
        self._blend = TemporalBlend(smoothing)
        self._whole, self._opacity = whole, opacity
        self._whole_blend = TemporalBlend(smoothing, flow_side_px=FLOW_SIDE_PX)

    def render(
        self, frames: Iterable[Frame], first: int, start: int, stop: int
    ) -> Iterator[tuple[Frame, Frame | None]]:
        """Restyle the frames [start, stop).

        Args:
            frames: consecutive decoded frames; they are changed in place.
            first: index of the first of them: RADIUS_FRAMES before `start`, or 0. The stream goes on RADIUS_FRAMES
                beyond `stop`, or to the end of the video.
            start: index of the first frame wanted.
            stop: index after the last one wanted.

        Yields:
            (finished frame, source frame or None when nothing was pasted into it).
        """
        window: deque[_Styled] = deque(maxlen=2 * RADIUS_FRAMES + 1)
        due = start
        for styled in self._stylise(enumerate(frames, first)):
            window.append(styled)
            if due < stop and styled.index == due + RADIUS_FRAMES:
                yield self._finish(window, due)
                due += 1
        last = window[-1].index if window else -1
        while due < stop and due <= last:
            yield self._finish(window, due)
            due += 1

    def _stylise(self, frames: Iterator[tuple[int, Frame]]) -> Iterator[_Styled]:
        """Restyle frames in groups as large as the engine likes."""
        while group := list(islice(frames, self._stylist.batch_size)):
            before = perf_counter()
            styled = self._stylist.stylise([(frame, self._faces_in(index)) for index, frame in group])
            before = self.stats.spend("generate", before)
            wholes: Sequence[StyledPicture | None] = [None] * len(group)
            if self._whole is not None:
                wholes = self._whole.stylise([frame for _, frame in group])
                self.stats.spend("generate whole", before)
            for (index, frame), faces, whole in zip(group, styled, wholes, strict=True):
                yield _Styled(index, frame, {face.placement.track_id: face for face in faces}, whole)

    def _finish(self, window: Sequence[_Styled], index: int) -> tuple[Frame, Frame | None]:
        here = next(styled for styled in window if styled.index == index)
        if not here.faces and here.whole is None:
            luma = luma8(here.frame)
            self.meter.update(luma, luma, [], index in self._cuts)
            return here.frame, None
        # Neighbours still need this frame's crops, not its pixels: painting it in place is safe.
        source = here.frame.copy()
        painted = None if here.whole is None else self._paint(here.frame, window, index, here.whole)
        regions = [region for face in here.faces.values() if (region := self._paste(here.frame, window, index, face))]
        self.stats.num_frames_pasted += bool(regions)
        regions = regions if painted is None else [painted]
        before = perf_counter()
        self.meter.update(luma8(source), luma8(here.frame), regions, index in self._cuts)
        self.stats.spend("measure", before)
        return here.frame, source

    def _paint(self, frame: Frame, window: Sequence[_Styled], index: int, whole: StyledPicture) -> Region | None:
        """Restyle the whole frame; None where that is broken and the source stays."""
        before = perf_counter()
        scene = [styled for styled in window if self._is_one_scene(styled.index, index)]
        around = {styled.index: styled.whole for styled in scene if styled.whole is not None}
        sources = {i: p.source for i, p in around.items()}
        styled = {i: p.styled for i, p in around.items() if p.styled is not None}
        picture = self._steadied(sources, styled, index, self._whole_blend)
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

    def _paste(self, frame: Frame, window: Sequence[_Styled], index: int, face: StyledFace) -> Region | None:
        before = perf_counter()
        track = face.placement.track_id
        around = {styled.index: styled.faces[track] for styled in window if track in styled.faces}
        layers = {i: f.layers for i, f in around.items() if f.layers is not None}
        steady = self._steadied({i: f.source for i, f in around.items()}, layers, index, self._blend)
        before = self.stats.spend("blend", before)
        if steady is None:
            return None
        place, size_px = face.placement.source_to_crop, steady.shape[0]
        styled, mask = np.ascontiguousarray(steady[..., :3]), steady[..., 3] * np.float32(1 / 255)
        if self._whole is None:
            surroundings, tones = face.source, self._tones(around, layers)
        else:
            surroundings = cut(frame, place, size_px)
            tones = measure_tones(styled, surroundings, mask, face.view.ground, follows_light=False)
        crop = fit_in(styled, surroundings, mask, tones, face.blend)
        region = paste_face(frame, crop, mask * np.float32(face.placement.opacity), place)
        self.stats.spend("paste", before)
        self.stats.num_pasted += region is not None
        return region

    def _tones(self, around: Mapping[int, StyledFace], good: Mapping[int, Layers]) -> Tones:
        """Light and tone, averaged over the window so that they do not jump; of the good crops only."""
        return mean_tones([tones for i in good if (tones := around[i].tones) is not None])

    def _steadied(
        self, sources: Mapping[int, Crop], styled: dict[int, Layers], index: int, blend: TemporalBlend
    ) -> npt.NDArray[np.float32] | None:
        """The picture to show: blended over the window, or the nearest good one where this one is broken."""
        if index in styled and is_outlier(sources, styled, index):
            del styled[index]
        if index not in styled:
            self.stats.num_guarded += 1
            if not styled:
                return None
            nearest = min(styled, key=lambda i: (abs(i - index), i))
            styled[index] = styled[nearest]
        return blend.blend(sources, styled, index)
