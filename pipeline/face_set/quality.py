"""How good a face is as a picture to learn from: its size, sharpness, pose, and how much of its crop is really there.

It measures and judges one face; it cuts no crops that anybody keeps, and it compares no two faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from alignment.errors import LandmarkSetError
from alignment.faces import Face
from alignment.points import MESH_INDICES, NUM_LANDMARKS, Points
from alignment.templates import TIGHT, CropTemplate, source_to_crop
from alignment.warp import invert, transform_points

from ..crops import cut
from ..finder import RGB, FaceSource
from .settings import QualityLimits

Floats = npt.NDArray[np.float64]

LOOK_PX = 128
"""Faces are looked at in crops of this side by the tight template, whatever size is kept: the figures do not depend on
what the data set is cut for. The eyes are 37 px apart in it."""

_BLUR_PX = 9
"""Width of the box that an edge must bear to count as blurred before."""

RIGID_MESH = (33, 133, 362, 263, 168, 1, 2, 61, 291)
RIGID_68 = (36, 39, 42, 45, 27, 30, 33, 48, 54)
"""The same nine points in either landmark set: corners of the eyes, root, tip and base of the nose, mouth corners."""

RIGID_SHAPE: Floats = np.array(
    [
        [-0.722, -0.389, -0.270],
        [-0.278, -0.364, -0.126],
        [0.278, -0.364, -0.126],
        [0.722, -0.389, -0.270],
        [0.0, -0.463, 0.091],
        [0.0, 0.212, 0.494],
        [0.0, 0.322, 0.290],
        [-0.396, 0.718, -0.042],
        [0.396, 0.718, -0.042],
    ]
)
"""Where they lie on a face in space: right, down, towards the viewer; the eye centres are 1 apart, the mean is 0.

The symmetric shape that explains the landmarks of the 1,527 labelled pictures of `shared/data` best when each is it,
turned, scaled and seen from far away (alternating least squares, outliers weighted down). Poses from it differ from
those by the canonical face mesh of MediaPipe by 0.9 degrees in yaw and 0.7 in pitch on average over these pictures.
"""


@dataclass(frozen=True)
class Pose:
    """Which way a face looks, in degrees; 0, 0, 0 looks straight into the camera."""

    yaw: float
    """Positive towards the right edge of the picture."""
    pitch: float
    """Positive up."""
    roll: float
    """Positive clockwise in the picture. Aligning takes it out."""


@dataclass(frozen=True)
class Measures:
    """What one face is worth."""

    size_px: float
    """Longer side of its box, forehead to chin, in pixels of the source."""
    score: float
    """How sure the landmark network is that this is a face, 0 to 1."""
    blur: float
    """0 (sharp) to 1 (nothing but blur), see `blur_of`."""
    pose: Pose
    """Which way it looks."""
    outside: float
    """Share of its crop that lies outside the picture and is made up."""


def complaint(measures: Measures, limits: QualityLimits) -> str | None:
    """Say in one word why a face is not good enough; None where it is."""
    pose = measures.pose
    checks = (
        ("unsure", measures.score < limits.min_score),
        ("small", measures.size_px < limits.min_face),
        ("cut off", measures.outside > limits.max_outside),
        ("turned", abs(pose.yaw) > limits.max_yaw or abs(pose.pitch) > limits.max_pitch),
        ("blurred", measures.blur > limits.max_blur),
    )
    return next((word for word, is_true in checks if is_true), None)


def measure(source: FaceSource, face: Face, template: CropTemplate) -> Measures:
    """Measure a face of a picture.

    Args:
        source: the picture.
        face: with 68 or 152 landmarks.
        template: by which its crop will be cut.
    """
    if face.landmarks is None:
        raise ValueError("a face without landmarks cannot be measured.")
    look = cut(source, source_to_crop(face.landmarks, TIGHT, LOOK_PX), LOOK_PX)
    width, height = face.box_xyxy[2:] - face.box_xyxy[:2]
    return Measures(
        size_px=float(max(width, height)),
        score=face.score,
        blur=blur_of(np.asarray(cv2.cvtColor(look, cv2.COLOR_RGB2GRAY), np.uint8)),
        pose=pose_of(face.landmarks),
        outside=share_outside(source_to_crop(face.landmarks, template, LOOK_PX), source.size_wh),
    )


def blur_of(grey: RGB) -> float:
    """Tell how blurred a picture is: how little of its edges another blur would take away.

    The no-reference measure of Crete, Dolmiere, Ladret and Nicolas, "The blur effect", 2007, the worse of the two
    directions; contrast and brightness do not matter.

    Args:
        grey: HxW uint8.

    Returns:
        0 (sharp) to 1 (blurred, or without any edge).
    """
    picture: Any = grey.astype(np.float32)
    return max(_blur_along(picture), _blur_along(np.ascontiguousarray(picture.T)))


def _blur_along(picture: npt.NDArray[np.float32]) -> float:
    """The measure for edges met on the way down."""
    smooth = cv2.blur(picture, (1, _BLUR_PX))
    steps, smooth_steps = (np.abs(np.diff(rows, axis=0)) for rows in (picture, np.asarray(smooth)))
    total = float(steps.sum())
    lost = float(np.maximum(steps - smooth_steps, 0).sum())
    return (total - lost) / total if total > 0 else 1.0


def pose_of(landmarks: Points) -> Pose:
    """Estimate which way a face looks.

    RIGID_SHAPE seen from far away is laid onto the landmarks by least squares, and the nearest rotation taken.

    Args:
        landmarks: Kx2 float32 in any frame, K in {68, 152}.

    Raises:
        LandmarkSetError: K is none of them.
    """
    points = _rigid_points(landmarks)
    affine = (points - points.mean(0)).T @ np.linalg.pinv(RIGID_SHAPE).T  # 2x3
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    rotation = left @ right
    roll = math.atan2(-rotation[0, 1], rotation[1, 1])
    across, down = _turned_back(rotation, roll)
    yaw = math.atan2(across[2], across[0])
    pitch = math.atan2(math.sin(yaw) * down[0] - math.cos(yaw) * down[2], down[1])
    return Pose(*(round(math.degrees(angle), 1) for angle in (yaw, pitch, roll)))


def _turned_back(rotation: Floats, roll: float) -> Floats:
    cosine, sine = math.cos(roll), math.sin(roll)
    return np.asarray(np.array([[cosine, sine], [-sine, cosine]]) @ rotation)


def _rigid_points(landmarks: Points) -> Floats:
    points = np.asarray(landmarks, np.float64)
    if len(points) == NUM_LANDMARKS:
        return points[[MESH_INDICES.index(number) for number in RIGID_MESH]]
    if len(points) == 68:
        return points[list(RIGID_68)]
    raise LandmarkSetError(f"the pose of a face needs 68 or {NUM_LANDMARKS} landmarks, not {len(points)}.")


def share_outside(crop_transform: Points, size_wh: tuple[int, int]) -> float:
    """Tell how much of a crop of LOOK_PX lies outside its picture.

    Args:
        crop_transform: 2x3, from the picture's pixels to the crop's.
        size_wh: width and height of the picture.

    Returns:
        Share of its pixels, 0 to 1.
    """
    every = np.arange(2, LOOK_PX, 4, dtype=np.float32)
    grid = np.stack(np.meshgrid(every, every), axis=-1)
    seen = transform_points(invert(crop_transform), grid)
    is_inside = ((seen >= -0.5) & (seen <= np.array(size_wh) - 0.5)).all(axis=-1)
    return 1.0 - float(is_inside.mean())
