"""Restyle live frames: as render.py does, but steadied by what came before only, so that nothing waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from ..face_paster import FacePaster
from ..frames import Frame
from ..plan import Placement
from ..render_stats import RenderStats
from ..stylist import StyledFace, Stylist
from ..temporal import RADIUS_FRAMES


class LiveStyle:
    """Restyles one frame after the other, in place."""

    def __init__(self, stylist: Stylist, *, smoothing: float) -> None:
        """Args: stylist: restyles faces; smoothing: steadiness over time, 0..1."""
        self.stats = RenderStats()
        self._paster = FacePaster(self.stats, smoothing)
        self._stylist = stylist
        self._recent: deque[tuple[int, Mapping[int, StyledFace]]] = deque(maxlen=RADIUS_FRAMES + 1)
        self._num_frames = 0

    def restyle(self, frame: Frame, placements: Sequence[Placement], *, is_cut: bool) -> None:
        """Restyle the faces of the next frame; `is_cut` forgets those before."""
        if is_cut:
            self._recent.clear()
        index = self._num_frames
        self._num_frames += 1
        [faces] = self._stylist.stylise([(frame, placements)])
        self._recent.append((index, {face.placement.track_id: face for face in faces}))
        for face in faces:
            around = {i: of[face.placement.track_id] for i, of in self._recent if face.placement.track_id in of}
            self._paster.paste(frame, around, index)
