"""How good a landmark predictor is on held-out faces: error by kind of region, and how well presence tells faces apart.

Looks at whole pictures through the predictor, as the pipeline does; it knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alignment.detectors import FaceDetector
from alignment.faces import iou
from alignment.landmarks import Landmarker, LandmarkResult, roi_from_box, roi_from_landmarks
from alignment.points import Points, eye_distance, five_points
from alignment.warp import compose

from .landmark_data import LabelledFace
from .landmark_degrade import degrade, occlude
from .landmark_faceless import FACELESS_HELD_OUT
from .landmark_regions import RegionConfig, RegionSampler

_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class ErrorFigures:
    """Distance to the labels as % of the labelled eyes' distance, mean over landmarks, then over faces."""

    num_faces: int
    """Faces the mean is over."""
    all_percent: float
    """All 152 landmarks."""
    five_percent: float
    """The five alignment points."""
    median_percent: float
    """All landmarks, median over faces instead of the mean."""


@dataclass(frozen=True)
class PresenceFigures:
    """How presence separates regions with a face from regions without."""

    num_with: int
    """Regions with a face: held-out faces, jittered, every second one degraded."""
    num_without: int
    """Regions without, from held-out pictures."""
    area_under_roc: float
    """Probability that a region with a face scores higher than one without."""
    missed_percent: dict[str, float]
    """Share of faces below each threshold."""
    false_percent: dict[str, float]
    """Share of faceless regions at or above each threshold."""


def evaluate_landmarks(
    predictor: Landmarker, faces: Sequence[LabelledFace], detector: FaceDetector | None = None
) -> dict[str, Any]:
    """Measure errors per set of pictures and kind of first region, as a JSON-ready dict.

    Kinds: `own` looks once, at the region of the true landmarks; `yunet` (boxes stored with the data), `detector` and
    `rolled` (the true region turned by 40 degrees) look twice, the second time at the region of the first answer.

    Args:
        predictor: what to measure, 152 landmarks.
        faces: held-out faces with whole pictures.
        detector: for the kind `detector`; None leaves it out.
    """
    figures: dict[str, Any] = {}
    for group in sorted({face.group for face in faces}):
        errors: dict[str, list[tuple[float, float]]] = {}
        for face in (face for face in faces if face.group == group):
            for kind, landmarks in _answers(predictor, face, detector):
                errors.setdefault(kind, []).append(_errors(landmarks, face.landmarks))
        figures[group] = {kind: asdict(_figures(rows)) for kind, rows in errors.items()}
    return figures


def look_twice(predictor: Landmarker, frame: npt.NDArray[np.uint8], roi: Points) -> LandmarkResult:
    """Predict in a region, then in the region of what was found there."""
    first = predictor.predict(frame, [roi])[0]
    return predictor.predict(frame, [roi_from_landmarks(first.landmarks, predictor.roi_size_px)])[0]


def evaluate_presence(
    predictor: Landmarker, faces: Sequence[LabelledFace], count: int = 2000, seed: int = 1
) -> PresenceFigures:
    """Measure the presence score on `count` regions with a face and as many without, drawn from held-out pictures."""
    size = predictor.roi_size_px
    sampler = RegionSampler(faces, RegionConfig(size_px=size), FACELESS_HELD_OUT)
    scores = np.zeros((2, count))
    whole = np.eye(2, 3, dtype=np.float32)
    rng = np.random.default_rng(seed)
    for i in range(count):
        for row, region in enumerate((sampler.negative(rng), sampler.positive(rng)[0])):
            if i % 2:
                region = degrade(occlude(region, region[::-1], rng), rng)
            scores[row, i] = predictor.predict(region, [whole])[0].presence
    without, with_face = scores
    area = float((with_face[:, None] > without[None]).mean())
    missed = {f"{t:g}": round(100 * float((with_face < t).mean()), 2) for t in _THRESHOLDS}
    false = {f"{t:g}": round(100 * float((without >= t).mean()), 2) for t in _THRESHOLDS}
    return PresenceFigures(count, count, round(area, 5), missed, false)


def _answers(predictor: Landmarker, face: LabelledFace, detector: FaceDetector | None) -> Iterator[tuple[str, Points]]:
    size = predictor.roi_size_px
    own = roi_from_landmarks(face.landmarks, size)
    yield "own", predictor.predict(face.picture, [own])[0].landmarks
    yield "rolled", look_twice(predictor, face.picture, compose(_roll(40.0, size), own)).landmarks
    if face.is_box_of_face:
        yield "yunet", look_twice(predictor, face.picture, roi_from_box(face.boxes_xyxy[0], size)).landmarks
    box = _detect(detector, face) if detector else None
    if box is not None:
        yield "detector", look_twice(predictor, face.picture, roi_from_box(box, size)).landmarks


def _roll(degrees: float, size: int) -> Points:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    middle = (size - 1) / 2
    return np.array([[cos, -sin, middle - middle * (cos - sin)], [sin, cos, middle - middle * (sin + cos)]], np.float32)


def _detect(detector: FaceDetector, face: LabelledFace) -> Points | None:
    """The detected box that lies on the labelled face, or None where the detector missed it."""
    boxes = [found.box_xyxy for found in detector.detect(face.picture)]
    if not boxes:
        return None
    true_box = np.concatenate([face.landmarks.min(0), face.landmarks.max(0)])
    overlaps = iou(true_box[None], np.stack(boxes))[0]
    return boxes[int(overlaps.argmax())] if overlaps.max() > 0.2 else None


def _errors(landmarks: Points, labels: Points) -> tuple[float, float]:
    scale = 100 / max(eye_distance(labels), 1e-6)
    misses = np.linalg.norm(landmarks - labels, axis=1)
    five_misses = np.linalg.norm(five_points(landmarks) - five_points(labels), axis=1)
    return float(misses.mean()) * scale, float(five_misses.mean()) * scale


def _figures(rows: Sequence[tuple[float, float]]) -> ErrorFigures:
    everything, five = np.array(rows).T
    return ErrorFigures(
        len(rows),
        round(float(everything.mean()), 3),
        round(float(five.mean()), 3),
        round(float(np.median(everything)), 3),
    )
