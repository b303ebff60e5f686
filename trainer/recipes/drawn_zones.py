"""Zones of a face found from its landmarks: where beards grow, cheeks glow and features hide the skin.

Maps only; paints nothing.
"""

from __future__ import annotations

import cv2
import numpy as np

from alignment.points import MESH

from .drawn_brush import Array, coverage, smoothstep
from .drawn_data import CANVAS_PX, Sitter


def face_outline(landmarks: Array) -> Array:
    """The face's outline, 36x2 canvas px."""
    return landmarks[MESH["outline"]]


def cheeks(landmarks: Array) -> Array:
    """Where a blush sits: 2x2 canvas px, between eye and mouth corner and a little outwards."""
    lips, found = landmarks[MESH["lips_outer"]], []
    for eye, corner in (("right_eye", lips[0]), ("left_eye", lips[10])):
        contour = landmarks[MESH[eye]]
        found.append(0.55 * contour.mean(0) + 0.45 * corner + 0.42 * (contour[0] - contour.mean(0)))
    return np.array(found, np.float32)


def beard_zone(landmarks: Array) -> Array:
    """Where a beard or moustache can grow: the face below the nose, CANVAS_PX^2 float32 in [0, 1]."""
    return _below(landmarks, landmarks[MESH["nose"]][8:13].mean(0), 1, 1.4)


def split_zone(landmarks: Array, zone: Array) -> tuple[Array, Array]:
    """The right and left half of a zone, parted by a line from the root of the nose to the lips."""
    top, bottom = landmarks[MESH["nose"]][0], landmarks[MESH["lips_outer"]][[5, 15]].mean(0)
    yy, xx = np.mgrid[:CANVAS_PX, :CANVAS_PX].astype(np.float32)
    side = (xx - top[0]) * (bottom[1] - top[1]) - (yy - top[1]) * (bottom[0] - top[0])
    return zone * (side < 0), zone * (side >= 0)


def cheek_zone(landmarks: Array) -> Array:
    """Skin that never is a beard: from the brows to the tip of the nose."""
    return _below(landmarks, landmarks[MESH["nose"]][6], -1, 1.0)


def _below(landmarks: Array, point: Array, sign: int, growth: float) -> Array:
    """Inside the outline, on one side of a line through `point` that is level with the eyes."""
    eyes = landmarks[MESH["left_eye"]].mean(0) - landmarks[MESH["right_eye"]].mean(0)
    down = np.array([-eyes[1], eyes[0]]) / max(float(np.linalg.norm(eyes)), 1e-3)
    yy, xx = np.mgrid[:CANVAS_PX, :CANVAS_PX].astype(np.float32)
    depth = ((xx - point[0]) * down[0] + (yy - point[1]) * down[1]) * sign
    hull = face_outline(landmarks)
    grown = (hull - hull.mean(0)) * growth + hull.mean(0)
    return np.asarray(coverage(grown.astype(np.float32), CANVAS_PX) * smoothstep(-3, 4, depth), np.float32)


def feature_mask(sitter: Sitter) -> Array:
    """Where features hide the plain skin: eyes, brows, lips, nostrils; CANVAS_PX^2 float32 in [0, 1]."""
    mask = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    for name in ("right_eye", "left_eye", "right_brow", "left_brow", "lips_outer"):
        hull = cv2.convexHull(sitter.landmarks[MESH[name]])[:, 0]
        grown = (hull - hull.mean(0)) * 1.25 + hull.mean(0)
        mask = np.maximum(mask, coverage(grown.astype(np.float32), CANVAS_PX))
    nose = sitter.landmarks[MESH["nose"]][7:]
    mask = np.maximum(mask, coverage((nose - nose.mean(0)) * 1.2 + nose.mean(0), CANVAS_PX))
    return np.asarray(cv2.GaussianBlur(cv2.dilate(mask, np.ones((5, 5), np.uint8)), (0, 0), 1.2), np.float32)


def smooth_regions(sitter: Sitter, sigma_px: float = 2.2) -> dict[str, Array]:
    """A sitter's region maps with smooth borders; they sum to 1."""
    smooth = {name: cv2.GaussianBlur(field, (0, 0), sigma_px) for name, field in sitter.regions.items()}
    total = np.maximum(sum(smooth.values()), 1e-3)
    return {name: np.asarray(field / total, np.float32) for name, field in smooth.items()}


def bare_face(sitter: Sitter, regions: dict[str, Array]) -> Array:
    """The face's plain skin, without features and glasses: CANVAS_PX^2 float32 in [0, 1]."""
    glasses = cv2.GaussianBlur(sitter.details["glasses"], (0, 0), 2)
    return np.asarray(regions["face"] * (1 - feature_mask(sitter)) * (1 - glasses), np.float32)


def all_skin(regions: dict[str, Array]) -> Array:
    """Face, ears and neck."""
    return np.asarray(regions["face"] + regions["ear"] + regions["neck"], np.float32)
