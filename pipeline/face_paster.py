"""Set the restyled faces of one frame in: steadied by the frames around it, guarded, fitted in, pasted.

Which frames are around is the caller's business: those before and after for a video, those before for a camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

import cv2
import numpy as np
import numpy.typing as npt

from .blending import fit_in
from .crops import cut
from .frames import Frame
from .guard import is_outlier
from .paste import Region, paste_face
from .render_stats import RenderStats
from .stylist import Layers, StyledFace
from .temporal import TemporalBlend
from .tones import Tones, mean_tones, measure_tones
from .views import Crop


class FacePaster:
    """Pastes faces, one frame and one face at a time."""

    def __init__(self, stats: RenderStats, smoothing: float, *, is_painted: bool = False) -> None:
        """Put the tools together.

        Args:
            stats: what happens is counted there.
            smoothing: steadiness over time, 0..1.
            is_painted: the whole frame was restyled before: faces are fitted into that, not into the source.
        """
        self._stats = stats
        self._blend = TemporalBlend(smoothing)
        self._is_painted = is_painted

    def paste(self, frame: Frame, around: Mapping[int, StyledFace], index: int) -> Region | None:
        """Paste a face into its frame, in place.

        Args:
            frame: the frame `index`.
            around: frame index -> the same face there, `index` among them.
            index: the frame wanted.

        Returns:
            Where it was pasted; None where it was not.
        """
        before, face = perf_counter(), around[index]
        layers = {i: f.layers for i, f in around.items() if f.layers is not None}
        steady = steadied({i: f.source for i, f in around.items()}, layers, index, self._blend, self._stats)
        before = self._stats.spend("blend", before)
        if steady is None:
            return None
        place, size_px = face.placement.source_to_crop, steady.shape[0]
        styled = np.asarray(cv2.cvtColor(steady, cv2.COLOR_RGBA2RGB), np.float32)
        mask = np.asarray(cv2.extractChannel(steady, 3), np.float32)
        mask *= np.float32(1 / 255)
        if self._is_painted:
            surroundings = cut(frame, place, size_px)
            tones = measure_tones(styled, surroundings, mask, face.view.ground, follows_light=False)
        else:
            surroundings, tones = face.source, _tones(around, layers)
        crop = fit_in(styled, surroundings, mask, tones, face.blend)
        region = paste_face(frame, crop, mask * np.float32(face.placement.opacity), place)
        self._stats.spend("paste", before)
        self._stats.num_pasted += region is not None
        return region


def steadied(
    sources: Mapping[int, Crop], styled: dict[int, Layers], index: int, blend: TemporalBlend, stats: RenderStats
) -> npt.NDArray[np.float32] | None:
    """The picture to show: blended over the window, or the nearest good one where this one is broken."""
    if index in styled and is_outlier(sources, styled, index):
        del styled[index]
    if index not in styled:
        stats.num_guarded += 1
        if not styled:
            return None
        nearest = min(styled, key=lambda i: (abs(i - index), i))
        styled[index] = styled[nearest]
    return blend.blend(sources, styled, index)


def _tones(around: Mapping[int, StyledFace], good: Mapping[int, Layers]) -> Tones:
    """Light and tone, averaged over the window so that they do not jump; of the good crops only."""
    return mean_tones([tones for i in good if (tones := around[i].tones) is not None])
