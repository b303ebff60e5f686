"""How restless a predictor's landmarks are on real clips, next to a detector's own five points.

Clips have no labels: what is measured holds the face's motion too, the same for all that are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from alignment.detectors import FaceDetector
from alignment.faces import Face, iou
from alignment.landmarks import PRESENCE_THRESHOLD, Landmarker, roi_from_box, roi_from_landmarks
from alignment.local_fit import estimate_noise
from alignment.points import Points, eye_distance, five_points
from alignment.smoothing import jitter_percent, smooth_track
from alignment.tracking import Track

from .landmark_data import Picture
from .landmark_slip import face_motion, slip_percent


def evaluate_clip(
    predictor: Landmarker, frames: Sequence[Picture], frames_per_sec: float, detector: FaceDetector
) -> dict[str, Any]:
    """Follow the first face of a clip as the pipeline does, and detect it anew in every frame.

    Args:
        predictor: what to measure.
        frames: of one scene, uint8 RGB.
        frames_per_sec: their rate, for smoothing.
        detector: gives the first box, and five points per frame where it has any.

    Returns:
        `jitter`: `alignment.smoothing.jitter_percent` of the raw landmarks; `noise`: what of each series no smooth
        motion explains (`alignment.local_fit.estimate_noise`, RMS over points and axes), % of eye distance; for `all`
        landmarks, their `five` points, and the `detector`'s five. `smoothed jitter` is of all after smoothing, `slip`
        that of the crops they cut (`landmark_slip.py`). Frames `seen`.
    """
    faces = [detector.detect(frame) for frame in frames]
    first = next(i for i, found in enumerate(faces) if found)
    landmarks, presences = follow(predictor, frames[first:], max(faces[first], key=_area))
    figures: dict[str, Any] = {"num_frames": len(landmarks), "seen": int((presences >= PRESENCE_THRESHOLD).sum())}
    five = np.stack([five_points(points) for points in landmarks])
    sets = {"all": landmarks, "five": five}
    detected = _detected_points(faces[first:], landmarks)
    if detected is not None:
        sets["detector"] = detected
    for name, points in sets.items():
        figures[name] = {"jitter": round(jitter_percent(points), 3), "noise": round(noise_percent(points), 3)}
    smooth = _smoothed(landmarks, frames_per_sec)
    motion = face_motion(frames[first:], landmarks)
    figures["smoothed jitter"] = round(jitter_percent(smooth), 3)
    figures["slip"] = {
        name: round(slip_percent(points, motion), 3) for name, points in ((*sets.items(), ("smoothed", smooth)))
    }
    return figures


def follow(predictor: Landmarker, frames: Sequence[Picture], face: Face) -> tuple[Points, Points]:
    """Landmarks TxKx2 and presences (T,) of a face followed from a detected box, whatever its presence."""
    size = predictor.roi_size_px
    first = predictor.predict(frames[0], [roi_from_box(face.box_xyxy, size)])[0]
    landmarks, presences = first.landmarks, []
    rows = []
    for frame in frames:
        result = predictor.predict(frame, [roi_from_landmarks(landmarks, size)])[0]
        landmarks = result.landmarks
        rows.append(landmarks)
        presences.append(result.presence)
    return np.stack(rows), np.array(presences, np.float32)


def noise_percent(landmarks: Points) -> float:
    """White noise on TxKx2 landmarks, RMS over landmarks and axes, % of the mean eye distance."""
    times = np.arange(len(landmarks), dtype=np.float64)
    noise = estimate_noise(landmarks.reshape(len(landmarks), -1), times)
    scale = float(np.mean([eye_distance(points) for points in landmarks]))
    return 100 * float(np.sqrt(2 * (noise**2).mean())) / max(scale, 1e-9)


def _smoothed(landmarks: Points, frames_per_sec: float) -> Points:
    count = len(landmarks)
    boxes = np.concatenate([landmarks.min(1), landmarks.max(1)], axis=1)
    track = Track(0, np.arange(count), landmarks, boxes, np.ones(count, np.float32), np.zeros(count, bool))
    return smooth_track(track, np.arange(count) / frames_per_sec).landmarks


def _area(face: Face) -> float:
    return float((face.box_xyxy[2:] - face.box_xyxy[:2]).prod())


def _detected_points(faces: Sequence[Sequence[Face]], landmarks: Points) -> Points | None:
    """The detector's five points on the followed face; its last ones where it missed it; None if it gives none."""
    rows: list[Points] = []
    for found, points in zip(faces, landmarks, strict=True):
        with_points = [face for face in found if face.landmarks is not None]
        box = np.concatenate([points.min(0), points.max(0)])[None]
        overlaps = iou(box, np.stack([face.box_xyxy for face in with_points]))[0] if with_points else np.zeros(1)
        best = with_points[int(overlaps.argmax())].landmarks if with_points and overlaps.max() > 0.2 else None
        if best is not None:
            rows.append(five_points(best))
        elif rows:
            rows.append(rows[-1])
    return np.stack(rows) if len(rows) > 2 else None
