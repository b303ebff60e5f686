"""Keep a restyled face while nothing but noise changes in its crop, so that the generator runs less often.

Time is cut into windows of REUSE_FRAMES frames, counted from the start of the video and again from every cut. The first
crop of a face in a window is its anchor and is always restyled; later ones get what the anchor got as long as they look
like it and lie like it. They are compared with the anchor, never with each other, so that slow changes do not add up,
and a window never looks into another, so that a result does not depend on where a chunk begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from alignment.points import Points
from alignment.warp import invert, transform_points

from .cast import Cast
from .crops import cut
from .finder import FaceSource
from .plan import Placement
from .stylist import StyledFace
from .views import Crop

REUSE_FRAMES = 12
"""A restyled face is shown for no more frames than this."""
MAX_CHANGE_LEVELS = 6
"""Most that the mean of any small square of the crop may change: noise stays below, a blink or a smile does not."""
MAX_SHIFT_PX = 1.0
"""Most that a corner of the crop may have moved, in pixels of the crop."""

_SQUARE_PX = 4
"""Side of the squares of a crop that are compared."""


Source = TypeVar("Source", bound=FaceSource)


@dataclass(frozen=True)
class Wish(Generic[Source]):
    """A frame whose faces shall be restyled."""

    index: int
    """Position in the video."""
    source: Source
    """The frame."""
    faces: Sequence[Placement]
    """Where its faces lie."""


@dataclass
class _Anchor:
    """The first crop of a face in a window."""

    window: int
    """First frame of the window."""
    reduced: npt.NDArray[np.uint8]
    """The crop, small enough that noise averages out."""
    place: Points
    """Its 2x3 `source_to_crop`."""
    styled: StyledFace | None = None
    """What became of it; None until the group that it is in was restyled."""


class StillReuse:
    """Restyles as a `Cast` does, but for what stands still.

    Args:
        cast: restyles what is new.
        cuts: indices of the frames that start a new scene.
    """

    def __init__(self, cast: Cast, cuts: frozenset[int]) -> None:
        self.num_reused = 0
        """Faces that were shown again."""
        self._cast = cast
        self._cuts = cuts
        self._anchors: dict[int, _Anchor] = {}

    def stylise(self, wishes: Sequence[Wish[Any]], first_shown: int) -> list[list[StyledFace]]:
        """Restyle the faces of consecutive frames; one list per frame, in order.

        Args:
            wishes: frames that follow those of the call before; the first call begins with a window.
            first_shown: of the frames before this index only the anchors are restyled, and no faces come back.
        """
        found = [[self._look(wish, face) for face in wish.faces] for wish in wishes]
        new = [
            [f for f in faces if f.is_new or (wish.index >= first_shown and not f.is_still)]
            for wish, faces in zip(wishes, found, strict=True)
        ]
        self._restyle(wishes, new)
        shown = [faces if wish.index >= first_shown else [] for wish, faces in zip(wishes, found, strict=True)]
        # An anchor that came out broken is nobody's model.
        self._restyle(wishes, [[f for f in faces if f.is_still and not f.anchor_is_good] for faces in shown])
        return [[self._result(f) for f in faces] for faces in shown]

    def _look(self, wish: Wish[Any], face: Placement) -> _Found:
        crop = cut(wish.source, face.source_to_crop, self._cast.size_px_of(face.style))
        side = len(crop) // _SQUARE_PX
        reduced = np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        window, anchor = self._window_of(wish.index), self._anchors.get(face.track_id)
        if anchor is None or anchor.window != window:
            anchor = self._anchors[face.track_id] = _Anchor(window, reduced, face.source_to_crop)
            return _Found(face, crop, anchor, is_new=True, is_still=False)
        is_still = _is_still(anchor, reduced, face.source_to_crop, len(crop))
        return _Found(face, crop, anchor, is_new=False, is_still=is_still)

    def _window_of(self, index: int) -> int:
        start = first_of_window(index)
        return max((i for i in range(start, index + 1) if i in self._cuts), default=start)

    def _restyle(self, wishes: Sequence[Wish[Any]], wanted: Sequence[Sequence[_Found]]) -> None:
        if not any(wanted):
            return
        pictures = [(wish.source, [f.face for f in faces]) for wish, faces in zip(wishes, wanted, strict=True)]
        for faces, styled in zip(wanted, self._cast.stylise(pictures), strict=True):
            for found, face in zip(faces, styled, strict=True):
                found.styled = face
                if found.is_new:
                    found.anchor.styled = face

    def _result(self, found: _Found) -> StyledFace:
        if found.styled is not None:
            return found.styled
        assert found.anchor.styled is not None
        self.num_reused += 1
        return replace(found.anchor.styled, placement=found.face, source=found.crop)


@dataclass
class _Found:
    """A face of a frame and its anchor."""

    face: Placement
    crop: Crop
    anchor: _Anchor
    is_new: bool
    """It is the anchor."""
    is_still: bool
    """It looks like the anchor."""
    styled: StyledFace | None = None
    """What became of it, where it was restyled itself."""

    @property
    def anchor_is_good(self) -> bool:
        return self.anchor.styled is not None and self.anchor.styled.layers is not None


def first_of_window(index: int) -> int:
    """Index of the first frame of the window that a frame lies in, cuts left aside: where rendering has to begin."""
    return index - index % REUSE_FRAMES


def _is_still(anchor: _Anchor, reduced: npt.NDArray[np.uint8], place: Points, size_px: int) -> bool:
    corners = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]], np.float32)
    moved = transform_points(place, transform_points(invert(anchor.place), corners)) - corners
    if float(np.hypot(moved[:, 0], moved[:, 1]).max()) > MAX_SHIFT_PX:
        return False
    return int(cv2.absdiff(anchor.reduced, reduced).max()) <= MAX_CHANGE_LEVELS
