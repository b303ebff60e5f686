"""Where a landmark predictor is weak: its error by pose, expression, light, size and start; its unrest in motion.

Held-out pictures only, no video: a still picture moved, lit and compressed as a video would be has known landmarks in
every frame, so that what moves against them is the predictor's own. Averages over all faces are
`landmark_evaluation.py`'s; real clips are `landmark_clips.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from alignment.landmarks import Landmarker, roi_from_box, roi_from_landmarks
from alignment.points import MESH, Points, eye_distance, five_points
from alignment.warp import invert, transform_points, warp_crop

from .landmark_data import LabelledFace, Picture
from .landmark_evaluation import look_twice

_PARTS = {
    "outline": ("outline",),
    "brows": ("right_brow", "left_brow"),
    "eyelids": ("right_eye", "left_eye"),
    "irises": ("right_iris", "left_iris"),
    "nose": ("nose",),
    "lips": ("lips_outer", "lips_inner"),
}
_GAPS = {"right eye": ("right_eye", 4, 12), "left eye": ("left_eye", 4, 12), "mouth": ("lips_inner", 5, 15)}
"""Places in a group of the middle of the upper and the lower lid or lip."""
_POSES = {"frontal": (0.8, 9.0), "turned": (0.62, 0.8), "profile": (0.0, 0.62)}
"""By the eyes' distance over that from eyes to mouth, which shrinks as a head turns."""
_OPEN_MOUTH = 0.2
"""Gap of the lips over the eyes-to-mouth distance from which a mouth counts as open."""
_SMALL_PX = (24, 32, 48)


@dataclass(frozen=True)
class _Look:
    """One face measured in one condition."""

    face: LabelledFace
    found: Points
    """152x2 pixels of the face's picture."""
    presence: float

    @property
    def percent(self) -> float:
        """100 over the labelled eyes' distance."""
        return 100 / max(eye_distance(self.face.landmarks), 1e-6)

    @property
    def misses(self) -> Points:
        """(152,) distances to the labels, % of the labelled eyes' distance."""
        return np.asarray(np.linalg.norm(self.found - self.face.landmarks, axis=1) * self.percent, np.float32)


def evaluate_conditions(predictor: Landmarker, faces: Sequence[LabelledFace], seed: int = 1) -> dict[str, Any]:
    """Errors in % of eye distance, mean over the landmarks and faces, as a JSON-ready dict.

    Every face is looked at twice, from a detector's box. `poses`, `mouths` and `parts` are of the pictures as they are;
    `conditions` are of the same pictures with a box that is off, in low light, or small.

    Args:
        predictor: what to measure, 152 landmarks.
        faces: held-out faces with whole pictures.
        seed: of noise and boxes.
    """
    faces = [face for face in faces if face.is_box_of_face]
    looks = {
        name: [_look(predictor, face, change, np.random.default_rng((seed, i))) for i, face in enumerate(faces)]
        for name, change in _conditions().items()
    }
    plain = looks["as it is"]
    return {
        "conditions": {name: _summary(rows) for name, rows in looks.items()},
        "poses": {name: _summary([row for row in plain if _is_pose(row.face, name)]) for name in _POSES},
        "mouths": {
            name: _summary([row for row in plain if (_mouth_gap(row.face) >= _OPEN_MOUTH) == is_open])
            for name, is_open in (("open", True), ("shut", False))
        },
        "parts": {name: _part_error(plain, groups) for name, groups in _PARTS.items()},
        "gaps": {name: _gap_error(plain, *places) for name, places in _GAPS.items()},
    }


_Change = Callable[[Picture, Points, np.random.Generator], tuple[Picture, Points]]


def _conditions() -> dict[str, _Change]:
    return {
        "as it is": lambda picture, box, rng: (picture, box),
        "box off": lambda picture, box, rng: (picture, _push(box, rng)),
        "low light": lambda picture, box, rng: (_darken(picture, rng), box),
        "noise, JPEG": lambda picture, box, rng: (_spoil(picture, rng), box),
        **{f"{px} px": _shrinker(px) for px in _SMALL_PX},
    }


def _look(predictor: Landmarker, face: LabelledFace, change: _Change, rng: np.random.Generator) -> _Look:
    picture, box = change(face.picture, face.boxes_xyxy[0], rng)
    result = look_twice(predictor, picture, roi_from_box(box, predictor.roi_size_px))
    factor = face.picture.shape[1] / picture.shape[1]
    found = (result.landmarks + 0.5) * factor - 0.5
    return _Look(face, np.asarray(found, np.float32), result.presence)


def _push(box: Points, rng: np.random.Generator) -> Points:
    """A box off by up to 15 % of its side, and by up to a quarter in size."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    middle = middle + rng.uniform(-0.15, 0.15, 2) * 2 * half
    half = half * rng.uniform(0.8, 1.25)
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def _darken(picture: Picture, rng: np.random.Generator) -> Picture:
    """A tenth of the light, and the noise that comes with it."""
    return np.clip(picture * 0.1 + rng.normal(0, 2.0, picture.shape), 0, 255).astype(np.uint8)


def _spoil(picture: Picture, rng: np.random.Generator) -> Picture:
    noisy = np.clip(picture + rng.normal(0, 10.0, picture.shape), 0, 255).astype(np.uint8)
    return compress(noisy, 30)


def _shrinker(face_px: int) -> _Change:
    def shrink(picture: Picture, box: Points, rng: np.random.Generator) -> tuple[Picture, Points]:
        scale = face_px / float((box[2:] - box[:2]).max())
        width = max(round(picture.shape[1] * scale), 1)
        height = max(round(picture.shape[0] * scale), 1)
        small = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        return compress(small, 85), np.asarray((box + 0.5) * (width / picture.shape[1]) - 0.5, np.float32)

    return shrink


def compress(picture: Picture, quality: int) -> Picture:
    """A picture after JPEG."""
    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def _summary(rows: Sequence[_Look]) -> dict[str, float]:
    if not rows:
        return {"num_faces": 0}
    errors = [float(row.misses.mean()) for row in rows]
    return {
        "num_faces": len(rows),
        "percent": round(float(np.mean(errors)), 3),
        "median_percent": round(float(np.median(errors)), 3),
        "least_presence": round(min(row.presence for row in rows), 3),
    }


def _is_pose(face: LabelledFace, name: str) -> bool:
    five = five_points(face.landmarks)
    ratio = np.linalg.norm(five[1] - five[0]) / max(_eyes_to_mouth(face), 1e-6)
    low, high = _POSES[name]
    return bool(low <= ratio < high)


def _eyes_to_mouth(face: LabelledFace) -> float:
    five = five_points(face.landmarks)
    return float(np.linalg.norm(five[3:].mean(0) - five[:2].mean(0)))


def _mouth_gap(face: LabelledFace) -> float:
    lips = face.landmarks[MESH["lips_inner"]]
    return float(np.linalg.norm(lips[5] - lips[15])) / max(_eyes_to_mouth(face), 1e-6)


def _part_error(rows: Sequence[_Look], groups: Sequence[str]) -> float:
    places = np.concatenate([np.arange(152)[MESH[group]] for group in groups])
    return round(float(np.mean([row.misses[places].mean() for row in rows])), 3)


def _gap_error(rows: Sequence[_Look], group: str, upper: int, lower: int) -> float:
    """How far the gap between two landmarks of a group is off, % of eye distance."""
    gaps = []
    for row in rows:
        found, label = (
            np.linalg.norm(points[MESH[group]][upper] - points[MESH[group]][lower])
            for points in (row.found, row.face.landmarks)
        )
        gaps.append(abs(found - label) * row.percent)
    return round(float(np.mean(gaps)), 3)


def evaluate_unrest(predictor: Landmarker, faces: Sequence[LabelledFace], num_frames: int = 24) -> dict[str, Any]:
    """How far the landmarks wander in stills that are moved as a video would, against their known motion.

    Returns:
        `percent` and `five_percent`: RMS deviation of the landmarks from their own mean, in the picture's frame, over
        the frames; `jitter_percent`: RMS of their second difference there; all in % of eye distance, mean over faces.
    """
    rows = [_unrest(predictor, face, num_frames, seed) for seed, face in enumerate(faces)]
    names = ("percent", "five_percent", "jitter_percent", "five_jitter_percent")
    return {"num_faces": len(rows), **{n: round(float(v), 3) for n, v in zip(names, np.mean(rows, 0), strict=True)}}


def _unrest(predictor: Landmarker, face: LabelledFace, num_frames: int, seed: int) -> tuple[float, ...]:
    still, landmarks = [], None
    for frame, to_frame in moving_still(face, num_frames, seed):
        start = transform_points(to_frame, face.landmarks) if landmarks is None else landmarks
        landmarks = predictor.predict(frame, [roi_from_landmarks(start, predictor.roi_size_px)])[0].landmarks
        still.append(transform_points(invert(to_frame), landmarks))
    return unrest_percent(np.stack(still[2:]), eye_distance(face.landmarks))


def unrest_percent(still: Points, eyes_px: float) -> tuple[float, ...]:
    """RMS deviation and RMS second difference of TxKx2 landmarks that should stand still: of all, and of five."""
    five = np.stack([five_points(points) for points in still])
    values = []
    for points in (still, five):
        deviation = points - points.mean(0)
        values.append((deviation, np.diff(points, 2, axis=0)))
    rms = [[float(np.sqrt((part**2).sum(-1).mean())) * 100 / eyes_px for part in pair] for pair in values]
    return rms[0][0], rms[1][0], rms[0][1], rms[1][1]


def moving_still(face: LabelledFace, num_frames: int, seed: int) -> Iterator[tuple[Picture, Points]]:
    """Frames of 320 px in which a face about 110 px long drifts, turns and grows a little, noisy and compressed.

    Yields:
        The frame, and the 2x3 transform from the face's picture to it.
    """
    rng = np.random.default_rng((7, seed))
    low, high = face.landmarks.min(0), face.landmarks.max(0)
    centre, scale = (low + high) / 2, 110 / float((high - low).max())
    phases, speeds = rng.uniform(0, 2 * np.pi, 4), rng.uniform(0.05, 0.15, 4)
    for i in range(num_frames):
        x, y, turn, grow = np.sin(phases + speeds * i)
        angle, size = 0.08 * turn, scale * (1 + 0.05 * grow)
        cos, sin = size * np.cos(angle), size * np.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        shift = np.array([159.5 + 12 * x, 159.5 + 12 * y]) - linear @ centre
        to_frame = np.concatenate([linear, shift[:, None]], 1).astype(np.float32)
        frame = warp_crop(face.picture, to_frame, 320)
        noisy = np.clip(frame + rng.normal(0, 3.0, frame.shape), 0, 255).astype(np.uint8)
        yield compress(noisy, int(rng.integers(50, 80))), to_frame
