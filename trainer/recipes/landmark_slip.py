"""How far crops slip over the face they follow, against the face's own pixels: what a viewer sees as wobble.

A track's jitter holds the head's motion too, so smoothing that loses motion looks good by it. Slip does not: between
two frames the upper face's optical flow gives the similarity by which the face moved, and a crop that follows the face
moves by the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from alignment.landmarks import roi_from_landmarks
from alignment.points import MESH, Points, five_points
from alignment.templates import HEAD, source_to_crop
from alignment.warp import invert, transform_points, warp_crop

from .landmark_data import Picture

_Floats = npt.NDArray[np.float64]

_PATCH_PX = 256
_SPACING_PX = 7
_MOST_DISAGREEMENT_PX = 0.5
"""Forward and backward flow of a point that counts come back this near."""
_LEAST_POINTS = 20
_PROBES = np.stack(np.meshgrid([0.3, 0.5, 0.7], [0.35, 0.55, 0.75]), -1).reshape(-1, 2)
"""Places in a crop of side 1, over the face."""


def face_motion(frames: Iterable[Picture], landmarks: Points) -> _Floats:
    """The similarity by which the upper face moves from each frame to the next, by optical flow.

    Args:
        frames: T frames, uint8 RGB.
        landmarks: Tx152x2 where the face is; they only say where to look.

    Returns:
        (T-1)x2x3 in source pixels; NaN where the flow tells nothing.
    """
    steps, before = [], None
    for nth, frame in enumerate(frames):
        if before is not None:
            steps.append(_motion_between(before, frame, landmarks[nth - 1]))
        before = frame
    return np.stack(steps)


def slip_percent(landmarks: Points, motion: _Floats) -> float:
    """RMS slip per frame of the crops cut by a track's landmarks, % of the eyes' distance.

    Args:
        landmarks: TxKx2 of a track, K of any known set.
        motion: (T-1)x2x3 of `face_motion`.
    """
    crops = [np.vstack([source_to_crop(points, HEAD, 1), [0, 0, 1]]).astype(np.float64) for points in landmarks]
    slips = []
    for before, after, step in zip(crops[:-1], crops[1:], motion, strict=True):
        if np.isfinite(step).all():
            moved = (after @ np.vstack([step, [0, 0, 1]]) @ np.linalg.inv(before))[:2]
            slips.append(_PROBES @ moved[:, :2].T + moved[:, 2] - _PROBES)
    eyes = HEAD.points[1][0] - HEAD.points[0][0]
    return 100 * float(np.sqrt((np.stack(slips) ** 2).sum(-1).mean())) / float(eyes)


def _motion_between(before: Picture, after: Picture, landmarks: Points) -> _Floats:
    roi = roi_from_landmarks(landmarks, _PATCH_PX)
    patches = [_grey(warp_crop(frame, roi, _PATCH_PX)) for frame in (before, after)]
    points = np.array(list(_upper_face(transform_points(roi, landmarks))), np.float32).reshape(-1, 2)
    moved = _flow(patches[0], patches[1], points)
    back = _flow(patches[1], patches[0], moved)
    is_sure = np.linalg.norm(back - points, axis=1) < _MOST_DISAGREEMENT_PX
    if is_sure.sum() < _LEAST_POINTS:
        return np.full((2, 3), np.nan)
    step, _ = cv2.estimateAffinePartial2D(points[is_sure], moved[is_sure], ransacReprojThreshold=1.0)
    if step is None:
        return np.full((2, 3), np.nan)
    whole = np.vstack([invert(roi), [0, 0, 1]]) @ np.vstack([step, [0, 0, 1]]) @ np.vstack([roi, [0, 0, 1]])
    return np.asarray(whole[:2], np.float64)


def _flow(before: Picture, after: Picture, points: Points) -> Points:
    moved, _, _ = cv2.calcOpticalFlowPyrLK(before, after, points, np.empty_like(points), winSize=(31, 31), maxLevel=4)
    return np.asarray(moved, np.float32)


def _grey(patch: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), np.uint8)


def _upper_face(landmarks: Points) -> Iterator[tuple[float, float]]:
    """A grid of points inside the outline and above the mouth, which moves by itself."""
    five = five_points(landmarks)
    lowest = 0.75 * five[3:, 1].mean() + 0.25 * five[:2, 1].mean()
    hull = cv2.convexHull(landmarks[MESH["outline"]].astype(np.float32))
    for y in range(0, min(int(lowest), _PATCH_PX), _SPACING_PX):
        for x in range(0, _PATCH_PX, _SPACING_PX):
            if cv2.pointPolygonTest(hull, (float(x), float(y)), True) > _SPACING_PX:
                yield float(x), float(y)
