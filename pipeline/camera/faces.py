"""Follow faces through live pictures, steadied without looking ahead, and place a crop on each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from alignment.cuts import CutDetector
from alignment.faces import Face, suppress_duplicates
from alignment.one_euro import OneEuroFilter
from alignment.points import Points
from alignment.templates import source_to_crop
from alignment.warp import transform_points

from ..analyse import CUT_THUMBNAIL_PX
from ..choice import FaceChoice
from ..finder import FaceFinder
from ..frames import Frame
from ..plan import FADE_SECS, CropSpec, Placement

_HOLD_SECS = 0.15
"""A face that is lost for no longer keeps its place: a blur or a hand should not make the style blink."""


@dataclass
class _Known:
    """A face that is followed."""

    track_id: int
    face: Face
    filter: OneEuroFilter
    opacity: float
    seen_secs: float
    landmarks: Points = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    is_seen: bool = True


class LiveFaces:
    """The faces in front of a camera.

    Args:
        finder: finds and follows faces.
        crop: how crops are cut.
        choice: how many faces at once; numbers mean nothing before a camera.
        detect_every: look for new faces every so many frames.
        strength: opacity of a face that is fully there, 0..1.
        smoothing: strength of the One-Euro filter, 0..1.
    """

    def __init__(
        self,
        finder: FaceFinder,
        crop: CropSpec,
        choice: FaceChoice,
        *,
        detect_every: int,
        strength: float,
        smoothing: float,
    ) -> None:
        self.is_cut = False
        """The last frame started a new scene: nothing before it is the same face."""
        self._finder, self._crop, self._choice = finder, crop, choice
        self._detect_every, self._strength, self._smoothing = detect_every, strength, smoothing
        self._cuts = CutDetector()
        self._known: list[_Known] = []
        self._num_frames = self._num_faces = 0
        self._time_secs = 0.0

    def update(self, frame: Frame, time_secs: float) -> list[Placement]:
        """Take the next frame, seen at `time_secs`; return where its faces are, the largest last."""
        step_secs = time_secs - self._time_secs if self._num_frames else 0.0
        self.is_cut = self._cuts.update(frame.grey_thumbnail(CUT_THUMBNAIL_PX)) and self._num_frames > 0
        if self.is_cut:
            self._known = []
        self._follow(frame, time_secs)
        if self.is_cut or self._num_frames % self._detect_every == 0 or not all(k.is_seen for k in self._known):
            self._find(frame, time_secs)
        for known in self._known:
            change = max(step_secs, 0.0) / FADE_SECS
            known.opacity = min(max(known.opacity + (change if known.is_seen else -change), 0.0), 1.0)
        self._num_frames, self._time_secs = self._num_frames + 1, time_secs
        shown = sorted(self._known, key=lambda k: _area(k.face))[-(self._choice.at_once or len(self._known) or 1) :]
        return [self._place(known) for known in shown if known.opacity > 0]

    def _follow(self, frame: Frame, time_secs: float) -> None:
        seen = self._finder.follow(frame, [known.face for known in self._known])
        distinct = suppress_duplicates([face for face in seen if face is not None])
        for known, face in zip(self._known, seen, strict=True):
            known.is_seen = face is not None and any(face is other for other in distinct)
            if known.is_seen and face is not None:
                self._note(known, face, time_secs)
        self._known = [known for known in self._known if time_secs - known.seen_secs <= _HOLD_SECS]

    def _find(self, frame: Frame, time_secs: float) -> None:
        [detections] = self._finder.detect([frame], is_series=True)
        for face in self._finder.find(frame, [known.face for known in self._known], detections):
            # A scene that begins with a face begins with it restyled; one that comes in later fades in.
            opacity = 1.0 if self.is_cut or self._num_frames == 0 else 0.0
            known = _Known(self._num_faces, face, OneEuroFilter(self._smoothing), opacity, time_secs)
            self._note(known, face, time_secs)
            self._known.append(known)
            self._num_faces += 1

    def _note(self, known: _Known, face: Face, time_secs: float) -> None:
        assert face.landmarks is not None  # the finder's faces have them
        known.face, known.seen_secs = face, time_secs
        known.landmarks = known.filter(face.landmarks, time_secs)

    def _place(self, known: _Known) -> Placement:
        transform = source_to_crop(known.landmarks, self._crop.template, self._crop.size_px)
        points = transform_points(transform, known.landmarks)
        return Placement(known.track_id, transform, points, known.opacity * self._strength, self._crop.style)


def _area(face: Face) -> float:
    return float(np.prod(face.box_xyxy[2:] - face.box_xyxy[:2]))
