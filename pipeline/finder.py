"""Find and follow faces in single frames: a detector finds new ones, the landmarks follow the known ones.

Works on anything that can hand out parts of itself as RGB (a decoded frame, a picture). It knows nothing of time:
that is for analyse.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from alignment.appearance import signature
from alignment.detectors import FaceDetector
from alignment.faces import Face
from alignment.landmarks import PRESENCE_THRESHOLD, Landmarker, roi_from_box, roi_from_landmarks
from alignment.points import Points
from alignment.warp import invert, seen_by, transform_points

RGB = npt.NDArray[np.uint8]

_MIN_SEEN_PX = 8
"""A region of which the picture holds fewer columns or rows shows no face."""


class FaceSource(Protocol):
    """A picture that hands out parts of itself, upright as it is displayed."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def to_rgb(self, x0: int, y0: int, x1: int, y1: int) -> RGB:
        """Return the region [y0:y1, x0:x1] as HxWx3 uint8 RGB."""
        ...

    def thumbnail(self, short_side: int) -> RGB:
        """Return the whole picture as uint8 RGB, its short side no longer than `short_side` pixels."""
        ...

    def crop(self, source_to_crop: Points, size_px: int) -> RGB:
        """Return an aligned crop, SxSx3 uint8 RGB, given the 2x3 similarity to it; beyond the edges they repeat."""
        ...


class FaceFinder:
    """A detector and a landmark predictor working together on one picture at a time."""

    def __init__(self, detector: FaceDetector, landmarker: Landmarker) -> None:
        self.detector = detector
        self.landmarker = landmarker

    def detect(self, sources: Sequence[FaceSource], *, is_series: bool = False) -> list[list[Face]]:
        """Run the detector over pictures, together where that is faster.

        Args:
            sources: the pictures.
            is_series: they are frames of a video, and more will come: the detector may prepare for their size.

        Returns:
            For each picture the detector's own faces, in pixels of the picture.
        """
        return self.detector.detect_in(sources, is_series=is_series)

    def find(
        self, source: FaceSource, known: Sequence[Face] = (), detections: Sequence[Face] | None = None
    ) -> list[Face]:
        """Detect the faces that are not among the known ones.

        Args:
            source: the picture.
            known: faces that need not be found again.
            detections: what `detect` gave for the picture, where that was asked before.

        Returns:
            New faces with landmarks, in pixels of the picture. A detection that shows no face to the landmark predictor
            is left out.
        """
        detected = self.detect([source])[0] if detections is None else detections
        new = [face for face in detected if not any(contains(other, _middle(face)) for other in known)]
        rois = [self._first_roi(face) for face in new]
        return _distinct(self._refined(source, self._predict(source, rois)))

    def follow(self, source: FaceSource, faces: Sequence[Face]) -> list[Face | None]:
        """Find known faces again, each from where it was last; None where one is lost. Order is kept."""
        rois = [
            roi_from_landmarks(face.landmarks, self.landmarker.roi_size_px)
            for face in faces
            if face.landmarks is not None
        ]
        return self._predict(source, rois)

    def _first_roi(self, face: Face) -> Points:
        """Where to look for a detected face: about its points, where the detector gives some, turned as they are."""
        if face.landmarks is None:
            return roi_from_box(face.box_xyxy, self.landmarker.roi_size_px)
        return roi_from_landmarks(face.landmarks, self.landmarker.roi_size_px)

    def _refined(self, source: FaceSource, faces: Sequence[Face | None]) -> list[Face]:
        """Look a second time, from the landmarks: a detector's box frames a face less exactly than they do."""
        found = [face for face in faces if face is not None]
        return [face for face in self.follow(source, found) if face is not None]

    def _predict(self, source: FaceSource, rois: Sequence[Points]) -> list[Face | None]:
        size_px = self.landmarker.roi_size_px
        faces: list[Face | None] = [None] * len(rois)
        seen = [i for i, roi in enumerate(rois) if _is_inside(roi, size_px, source.size_wh)]
        transforms = [self.landmarker.view_of(rois[i]) for i in seen]
        views = [source.crop(transform, size_px) for transform in transforms]
        for i, transform, view, result in zip(seen, transforms, views, self.landmarker.look(views), strict=True):
            if result.presence >= PRESENCE_THRESHOLD:
                points = transform_points(invert(transform), result.landmarks)
                faces[i] = Face(_bounding_box(points), points, result.presence, signature(view, result.landmarks))
        return faces


def _bounding_box(points: Points) -> Points:
    return np.concatenate([points.min(0), points.max(0)]).astype(np.float32)


def _middle(face: Face) -> npt.NDArray[np.floating]:
    return np.asarray((face.box_xyxy[:2] + face.box_xyxy[2:]) / 2)


def contains(face: Face, point: npt.NDArray[np.floating]) -> bool:
    """Tell whether a point (x, y) lies in a face's box."""
    x0, y0, x1, y1 = face.box_xyxy
    return bool(x0 <= point[0] <= x1 and y0 <= point[1] <= y1)


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """Drop the fainter of two faces that share their middle: two boxes led to the same landmarks."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.score):
        if not any(contains(other, _middle(face)) for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda f: float(f.box_xyxy[0]))


def _is_inside(roi: Points, size_px: int, size_wh: tuple[int, int]) -> bool:
    """Tell whether a region of interest sees more than an edge of the picture."""
    seen = np.array(seen_by(roi, size_px))
    if not np.isfinite(seen).all():
        return False
    low = np.maximum(np.floor(seen[:2]) - 2, 0)
    high = np.minimum(np.ceil(seen[2:]) + 3, size_wh)
    return bool((high - low >= _MIN_SEEN_PX).all())
