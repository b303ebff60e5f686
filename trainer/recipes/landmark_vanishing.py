"""Does a follower let go of a face that goes? Pictures whose face leaves the frame or disappears behind something.

The follower is the landmark predictor alone, pointed each time at where it saw the face last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from alignment.landmarks import PRESENCE_THRESHOLD, Landmarker, roi_from_box, roi_from_landmarks
from alignment.points import Points

from .landmark_data import Picture
from .landmark_faceless import faceless_picture

_NUM_FRAMES = 30
_GONE_SHARE = 0.15
"""Share of the face's box still to be seen at which the face counts as gone."""
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_COVERS = ("flat", "dark", "skin", "chelsea", "clock")
"""What slides before the face from below: colours, the picture's own cheek, scikit-image's pictures."""


def evaluate_vanishing(predictor: Landmarker, faces: Sequence[tuple[Picture, Points]]) -> dict[str, Any]:
    """Follow faces that go, over one second of frames.

    Args:
        predictor: what follows.
        faces: pictures and the box (4,) of the face in each.

    Returns:
        For `leaves` and `covered`: `num_clips`; `never_lost`, of those; `late_frames`, the most frames for which a lost
        face was still followed after only 15 % of it was to be seen; `seen_percent`, how much of a face was to be seen
        when it was given up (median), and `least_held_percent`, at the earliest.
    """
    rows: dict[str, list[tuple[int | None, float]]] = {"leaves": [], "covered": []}
    for picture, box in faces:
        rows["leaves"] += [follow_until_lost(predictor, picture, box, leaving(picture, box, d)) for d in _DIRECTIONS]
        rows["covered"] += [follow_until_lost(predictor, picture, box, covered(picture, box, c)) for c in _COVERS]
    return {name: _figures(found) for name, found in rows.items()}


def follow_until_lost(
    predictor: Landmarker, picture: Picture, box: Points, frames: Iterator[tuple[Picture, float]]
) -> tuple[int | None, float]:
    """Follow a face from its box in a picture through frames with the share of it that is to be seen.

    Returns:
        The frames for which it was followed after it was gone (negative: given up before that; None: never lost), and
        the share that was to be seen when it was given up.
    """
    size = predictor.roi_size_px
    landmarks = predictor.predict(picture, [roi_from_box(box, size)])[0].landmarks
    gone, nth_lost = None, None
    seen = 0.0
    for nth, (frame, share) in enumerate(frames):
        result = predictor.predict(frame, [roi_from_landmarks(landmarks, size)])[0]
        landmarks = result.landmarks
        gone = nth if gone is None and share < _GONE_SHARE else gone
        if nth_lost is None and result.presence < PRESENCE_THRESHOLD:
            nth_lost, seen = nth, share
    return (None, 0.0) if nth_lost is None or gone is None else (nth_lost - gone, seen)


def leaving(picture: Picture, box: Points, direction: str) -> Iterator[tuple[Picture, float]]:
    """Frames in which the picture slides off, its mirror picture behind it, and the share of the face's box in them."""
    height, width = picture.shape[:2]
    x, y = _DIRECTIONS[direction]
    way = {"left": box[2], "right": width - box[0], "up": box[3], "down": height - box[1]}[direction]
    for step in np.linspace(0, 1.25, _NUM_FRAMES) * way:
        shift = np.array([[1, 0, x * step], [0, 1, y * step]], np.float64)
        frame = cv2.warpAffine(picture, shift, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        low, high = box[:2] + shift[:, 2], box[2:] + shift[:, 2]
        inside = np.maximum(np.minimum(high, (width, height)) - np.maximum(low, 0), 0).prod()
        yield np.asarray(frame, np.uint8), float(inside / (box[2:] - box[:2]).prod())


def covered(picture: Picture, box: Points, cover: str) -> Iterator[tuple[Picture, float]]:
    """Frames in which something slides up before the face and stays, and the share of the face's box above it."""
    height = picture.shape[0]
    side = box[2:] - box[:2]
    left, right = max(int(box[0] - 0.2 * side[0]), 0), int(box[2] + 0.2 * side[0])
    bottom, filling = box[3] + 0.2 * side[1], _filling(picture, box, cover)
    for share in np.minimum(np.linspace(0, 1.3, _NUM_FRAMES), 1.0):
        top = int(max(bottom - 1.4 * share * side[1], 0))
        frame = picture.copy()
        frame[top : min(int(bottom), height), left:right] = filling[top : min(int(bottom), height), left:right]
        yield frame, float(np.clip((top - box[1]) / side[1], 0, 1))


def _filling(picture: Picture, box: Points, cover: str) -> Picture:
    x, y = (box[:2] * (0.7, 0.4) + box[2:] * (0.3, 0.6)).astype(int)
    colours = {"flat": (120, 90, 70), "dark": (12, 12, 12), "skin": picture[y, x]}
    if cover in colours:
        return np.asarray(np.zeros_like(picture) + np.array(colours[cover]), np.uint8)
    return np.asarray(cv2.resize(faceless_picture(cover), picture.shape[1::-1]), np.uint8)


def _figures(rows: Sequence[tuple[int | None, float]]) -> dict[str, float]:
    late = [frames for frames, _ in rows if frames is not None]
    seen = [share for frames, share in rows if frames is not None]
    return {
        "num_clips": len(rows),
        "never_lost": len(rows) - len(late),
        "late_frames": max(late, default=_NUM_FRAMES),
        "seen_percent": round(100 * float(np.median(seen)) if seen else 0.0, 1),
        "least_held_percent": round(100 * max(seen, default=0.0), 1),
    }
