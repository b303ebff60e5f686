"""The landmark sets this room knows, and the five points every aligner needs.

Landmarks are Kx2 float32 (x, y). K tells the set: 152 (`mesh`, the built-in network: a subset of the 478-point
canonical face mesh of MediaPipe), 68 (iBUG 300-W order, as FAN predicts) or 5 (detectors). "Left" and "right" in the
names are the person's own, so the right eye stands left in an unmirrored picture.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import LandmarkSetError

Points = npt.NDArray[np.float32]

# Canonical mesh numbers, contours in drawing order (mediapipe/modules/face_geometry/data/canonical_face_model).
_MESH_GROUPS: dict[str, tuple[int, ...]] = {
    "outline": (
        10,
        338,
        297,
        332,
        284,
        251,
        389,
        356,
        454,
        323,
        361,
        288,
        397,
        365,
        379,
        378,
        400,
        377,
        152,
        148,
        176,
        149,
        150,
        136,
        172,
        58,
        132,
        93,
        234,
        127,
        162,
        21,
        54,
        103,
        67,
        109,
    ),
    "right_eye": (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    "left_eye": (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
    "right_brow": (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    "left_brow": (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
    "nose": (168, 6, 197, 195, 5, 4, 1, 129, 98, 97, 2, 326, 327, 358),
    "lips_outer": (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    "lips_inner": (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
    "right_iris": (468, 469, 470, 471, 472),
    "left_iris": (473, 474, 475, 476, 477),
}

MESH_INDICES: tuple[int, ...] = tuple(i for group in _MESH_GROUPS.values() for i in group)
"""Canonical mesh number of each of the 152 landmarks, in order."""

NUM_LANDMARKS = len(MESH_INDICES)
"""K of the built-in landmark network: 152."""


def _positions() -> dict[str, slice]:
    slices, start = {}, 0
    for name, group in _MESH_GROUPS.items():
        slices[name] = slice(start, start + len(group))
        start += len(group)
    return slices


MESH: dict[str, slice] = _positions()
"""Where each named group stands among the 152 landmarks: `landmarks[MESH["left_eye"]]` is its contour."""

_NOSE_TIP = _MESH_GROUPS["nose"].index(1)


def five_points(landmarks: Points) -> Points:
    """Reduce any known landmark set to the five alignment points.

    Args:
        landmarks: Kx2 float32 (x, y) in any frame, K in {5, 68, 152}.

    Returns:
        5x2 float32 in the same frame: eye centre, eye centre, nose tip, mouth corner, mouth corner; the one that stands
        left in an upright unmirrored picture (the person's right) first.

    Raises:
        LandmarkSetError: K is none of the known sets.
    """
    points = np.asarray(landmarks, np.float32)
    if points.ndim == 2 and points.shape[1] == 2:
        if len(points) == 5:
            return points
        if len(points) == 68:
            return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
        if len(points) == NUM_LANDMARKS:
            lips = points[MESH["lips_outer"]]
            return np.stack(
                [
                    points[MESH["right_eye"]].mean(0),
                    points[MESH["left_eye"]].mean(0),
                    points[MESH["nose"]][_NOSE_TIP],
                    lips[0],
                    lips[10],
                ]
            )
    raise LandmarkSetError(
        f"landmarks of shape {points.shape} are none of the known sets (5, 68 or {NUM_LANDMARKS} points of x, y)."
    )


def eye_distance(landmarks: Points) -> float:
    """Distance between the eye centres, in the units of `landmarks` (Kx2, K in {5, 68, 152})."""
    five = five_points(landmarks)
    return float(np.linalg.norm(five[1] - five[0]))


def outline(landmarks: Points) -> Points:
    """The face outline as an Nx2 polygon without the forehead's hair; Kx2 landmarks with K in {68, 152}.

    The 68-point set has no forehead: its polygon closes over the brows.

    Raises:
        LandmarkSetError: the set has no outline (five points).
    """
    points = np.asarray(landmarks, np.float32)
    if len(points) == NUM_LANDMARKS:
        return points[MESH["outline"]]
    if len(points) == 68:
        return np.concatenate([points[:17], points[26:16:-1]])
    raise LandmarkSetError(f"a set of {len(points)} landmarks has no face outline.")
